"""Answers `GET /v1/subscriptions/…` as Stripe does, and costs next to nothing: what is measured is who asks.

The sandbox is a whole Stripe and takes longer to answer than some handlers to ask.
"""

import asyncio
import json
import re
import threading
import time

_PATH = re.compile(rb"GET \S*/v1/subscriptions/(sub_\w+)")


def subscription(name: str) -> bytes:
    """One that is active, of the customer of the same name."""
    now = int(time.time())
    price = {"id": "price_basic", "object": "price", "lookup_key": "basic_monthly", "currency": "usd"}
    item = {
        "id": f"si_{name}",
        "object": "subscription_item",
        "price": price,
        "current_period_start": now,
        "current_period_end": now + 2_592_000,
    }
    return json.dumps(
        {
            "id": f"sub_{name}",
            "object": "subscription",
            "customer": f"cus_{name}",
            "status": "active",
            "created": now,
            "cancel_at_period_end": False,
            "items": {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
        }
    ).encode()


class StripeStandIn:
    """Args:
    seconds: that each answer takes; Stripe's own takes 100 ms and more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stripe")
        self.url = ""

    def __enter__(self) -> "StripeStandIn":
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self._server = server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = _PATH.match(head)
                status, body = (
                    (b"200 OK", subscription(found[1].decode().removeprefix("sub_")))
                    if found
                    else (b"404 Not Found", b"{}")
                )
                await asyncio.sleep(self._seconds)
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

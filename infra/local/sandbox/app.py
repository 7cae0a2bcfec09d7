"""The sandbox as one process: `python -m infra.local.sandbox.app --port P`."""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from infra.local import dispatcher as tasks
from infra.local.sandbox import cloudflare, index, mailbox, mux, stripe
from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.state import State
from infra.local.settings import LocalSettings

log = logging.getLogger(__name__)


def create_app() -> Starlette:
    """The application of the installation in `STREAMLY_LOCAL_DIR`, behind a gateway on `PORT`, its mail server on `SMTP_PORT`."""
    settings = LocalSettings.load(Path(os.environ["STREAMLY_LOCAL_DIR"]), int(os.environ["PORT"]))
    return build_app(replace(settings, smtp_port=int(os.environ["SMTP_PORT"])))


def build_app(settings: LocalSettings) -> Starlette:
    """Everything under `/sandbox/`; its lifespan takes mails, delivers webhooks and calls tasks."""
    state = State(settings.data_dir / "sandbox.sqlite")
    deliveries = Deliveries(state)
    dispatcher = tasks.Dispatcher(settings)
    mails = mailbox.Mailbox(state)
    parts = {
        "/sandbox/stripe": stripe.create_app(state, deliveries, settings),
        "/sandbox/mux": mux.create_app(state, deliveries, settings),
        "/sandbox/cloudflare": cloudflare.create_app(state, deliveries, settings),
        "/sandbox/tasks": tasks.create_app(dispatcher),
        "/sandbox": index.create_app(state, deliveries, dispatcher),
    }

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            running.callback(state.close)
            # Starlette does not run the lifespans of what is mounted.
            for part in parts.values():
                await running.enter_async_context(part.router.lifespan_context(part))
            await running.enter_async_context(mails.serving(settings.smtp_port))
            await running.enter_async_context(_kept_going(deliveries.run()))
            await running.enter_async_context(_kept_going(dispatcher.run()))
            yield

    mounted = [Mount(path, part) for path, part in parts.items()]
    return Starlette(routes=[*mailbox.routes(mails), *mounted], lifespan=lifespan)


@asynccontextmanager
async def _kept_going(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a loop meanwhile. Should it fail, the process ends, and the supervisor starts another."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a background loop failed", exc_info=error)
            signal.raise_signal(signal.SIGTERM)

    task = asyncio.create_task(loop)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def main() -> None:
    """Serve on 127.0.0.1, for the gateway."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        create_app(),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        # Longer than the gateway keeps an idle connection.
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()

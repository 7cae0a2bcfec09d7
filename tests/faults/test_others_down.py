"""Everybody we call, out of order in every way: each call ends in time and in one kind of error, and reads no more than
it should.

The adapters are the real ones, with the real SDKs. Who answers them is a wire that says whatever it is told to.
"""

import base64
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lib.accounts.ports import Letter, MailError, Words
from lib.adapters.account_syncs import ProcessTaskSyncs
from lib.adapters.cloud_tasks import CloudTasks
from lib.adapters.cloudflare_videos import CloudflareVideos
from lib.adapters.dispatcher_tasks import DispatcherTasks
from lib.adapters.mux_videos import MuxVideos
from lib.adapters.oidc_callers import OidcCallers
from lib.adapters.smtp_mail import SmtpMail
from lib.adapters.stripe_books import StripeBooks
from lib.adapters.stripe_payments import StripePayments
from lib.billing.ports import Film
from lib.config import CallerSettings, Environment, MailSettings, SyncSettings
from lib.errors import UnavailableError
from lib.web.ports import Task
from tests.billing import BASIC
from tests.faults.conftest import THOROUGH
from tests.faults.counts import tried
from tests.faults.wire import Weather, Wire

# What each wait may take, of those whose patience can be set; their whole is a few of these.
SECONDS = 0.5
NOW = datetime(2026, 11, 26, tzinfo=UTC)
# In seconds, whatever happens; the bytes that come one by one would take twice as long. On an idle machine it is three.
BOUND = 15
DRIPS = 300
MEGABYTE = 1024 * 1024
# What may have been said before somebody stops listening: what they take at most, and what lies in sockets on the way.
MOST_READ = 32 * MEGABYTE

Call = Callable[[], object]


@dataclass(frozen=True)
class Other:
    """Somebody we call.

    Args:
        calls: of a port on loopback: what is asked, each with a client of its own.
        failure: what it raises. None: it gives back False.
    """

    calls: Callable[[int, dict[str, str]], dict[str, Call]]
    failure: type[Exception] | None = UnavailableError


def stripe(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = Environment(settings | {"STRIPE_API_BASE": f"http://127.0.0.1:{port}"}).stripe()
    payments = StripePayments(at, "https://app.example.com", SECONDS)
    books = StripeBooks(at, SECONDS)
    user = uuid.UUID(int=7)
    film = Film(user, "A film", 399, "usd", 48)
    return {
        "create_customer": lambda: payments.create_customer(user_id=user, email="a@example.com", attempt="1"),
        "open_checkout": lambda: payments.open_checkout(
            customer_id="cus_1", user_id=user, plan=BASIC, trial_days=0, promotion_code=None, attempt="1"
        ),
        "open_film_checkout": lambda: payments.open_film_checkout(
            customer_id="cus_1", user_id=user, film=film, promotion_code=None, attempt="1"
        ),
        "checkout": lambda: payments.checkout("cs_1"),
        "expire_checkout": lambda: payments.expire_checkout("cs_1"),
        "open_checkouts": lambda: payments.open_checkouts("cus_1"),
        "delete_customer": lambda: payments.delete_customer("cus_1"),
        "open_portal": lambda: payments.open_portal("cus_1"),
        "customer": lambda: payments.customer("cus_1", films=True),
        "customer_of": lambda: payments.customer_of("charge", "ch_1"),
        "events": lambda: books.events(since=NOW, after=None),
        "subscriptions": lambda: books.subscriptions(after=None),
        "customers": lambda: books.customers(after=None),
    }


def mux(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = Environment(settings | {"MUX_API_BASE": f"http://127.0.0.1:{port}"}).mux()
    videos = MuxVideos(at, "https://app.example.com", (SECONDS, SECONDS))
    return {
        "create_upload": lambda: videos.create_upload(video_id=uuid.uuid4(), title="A film", size=None),
        "progress of an upload": lambda: videos.progress(upload_id="u", asset_id=None),
        "progress of an asset": lambda: videos.progress(upload_id="u", asset_id="a"),
        "delete": lambda: videos.delete(upload_id="u", asset_id=None),
    }


def cloudflare(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = Environment(settings | {"CLOUDFLARE_API_BASE": f"http://127.0.0.1:{port}"}).cloudflare()
    videos = CloudflareVideos(at, (SECONDS, SECONDS))
    return {
        "create_upload by a form": lambda: videos.create_upload(
            video_id=uuid.uuid4(), title="A film", size=1
        ),
        "create_upload by tus": lambda: videos.create_upload(
            video_id=uuid.uuid4(), title="A film", size=2**30
        ),
        "progress": lambda: videos.progress(upload_id="u", asset_id=None),
    }


TASK = Task("a-name", "mail", {"mail_id": "1"})


def dispatcher(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = replace(Environment(settings).tasks(), dispatcher=f"http://127.0.0.1:{port}")
    return {"enqueue": lambda: DispatcherTasks(at, SECONDS).enqueue(TASK)}


def cloud_tasks(port: int, settings: dict[str, str]) -> dict[str, Call]:
    queue = "projects/p/locations/l/queues/q"
    at = replace(Environment(settings).tasks(), queue=queue, endpoint=f"127.0.0.1:{port}")
    return {"enqueue": lambda: CloudTasks(at, SECONDS).enqueue(TASK)}


def process_task(port: int, settings: dict[str, str]) -> dict[str, Call]:
    base = f"http://127.0.0.1:{port}"
    syncs = ProcessTaskSyncs(SyncSettings(f"{base}/process-task", base), SECONDS)
    return {"sync": lambda: syncs.sync(uuid.uuid4())}


# Signed by nobody; it says by whose key, so that the keys are asked for.
_HEADER, _CLAIMS = (
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"RS256","kid":"k"}', b'{"iss":"x"}')
)
TOKEN = f"{_HEADER}.{_CLAIMS}.c2ln"


def issuer(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = CallerSettings(("x",), f"http://127.0.0.1:{port}/certs", "a", frozenset({"e"}))
    return {"check": lambda: OidcCallers(at, SECONDS).check(TOKEN)}


def mail(port: int, settings: dict[str, str]) -> dict[str, Call]:
    at = MailSettings(
        host="127.0.0.1",
        port=port,
        security="none",
        user=None,
        password=None,
        sender="a@example.com",
        sender_name="A",
    )
    letter = Letter(uuid.uuid4(), "b@example.com", Words("Subject", "Text", "<p>Text</p>"))
    return {"send": lambda: SmtpMail(at, SECONDS).send(letter)}


OTHERS = {
    "Stripe": Other(stripe),
    "Mux": Other(mux),
    "Cloudflare": Other(cloudflare),
    "local dispatcher": Other(dispatcher),
    "Cloud Tasks": Other(cloud_tasks),
    "process-task": Other(process_task, None),
    "OIDC issuer": Other(issuer),
    "mail server": Other(mail, MailError),
}


# -- what goes wrong --------------------------------------------------------------------------------------


def _http(status: str, body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _said(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


def _dripping(words: bytes, then: bytes) -> Callable[[], Iterator[bytes]]:
    """A byte every now and then, for longer than anybody should listen."""

    def drip() -> Iterator[bytes]:
        for sign in itertools.islice(itertools.chain(words, itertools.cycle(then)), DRIPS):
            yield bytes([sign])
            time.sleep(SECONDS / 5)

    return drip


def _endless(head: bytes, counted: list[int]) -> Callable[[], Iterator[bytes]]:
    """A hundred megabytes; how many of them were taken is counted."""

    def flood() -> Iterator[bytes]:
        yield head
        for _ in range(1600):
            yield b" " * 65536
            counted[0] += 65536

    return flood


HTML = b"<html><body><h1>It works!</h1></body></html>"
WRONG = {
    "429": _http("429 Too Many Requests", b'{"error": {"type": "rate_limit"}}'),
    "500": _http("500 Internal Server Error", b'{"error": {"message": "oops"}}'),
    "503 in HTML": _http("503 Service Unavailable", HTML, "text/html"),
    "200 in HTML": _http("200 OK", HTML, "text/html"),
    "200 and nothing": _http("200 OK", b""),
    "a list": _http("200 OK", b"[]"),
    "an empty object": _http("200 OK", b"{}"),
    "null": _http("200 OK", b"null"),
    "a number": _http("200 OK", b"5"),
    "a text": _http("200 OK", b'"x"'),
    "data that is a number": _http("200 OK", b'{"data": 5, "result": 5, "keys": 5}'),
    "data that is a text": _http("200 OK", b'{"data": "x", "result": "x", "keys": "x"}'),
    "data without anything": _http("200 OK", b'{"data": {}, "result": {}, "keys": []}'),
    "no UTF-8": _http("200 OK", b'{"data": "\xff\xfe"}'),
    "cut in mid-answer": _http("200 OK", b'{"id": "x', length=500),
    "cut in mid-line": b"HTTP/1.1 20",
    "not HTTP": b"\x00\x15\x03\x01 what?\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
}
# Of a mail server, which speaks first.
WRONG_GREETINGS = {
    "421": b"421 4.3.2 Closing\r\n",
    "554": b"554 No service\r\n",
    "a web server": WRONG["200 in HTML"],
    "half a line": b"220 mail.exam",
    "no number": b"hello there\r\n",
    "a line without end": b"2" * 100_000,
}


def weathers(counted: list[int], *, greets: bool) -> dict[str, Weather]:
    kind: Any = "greets" if greets else "said"
    found = {"refused": Weather("refused"), "silent": Weather("silent")}
    words = WRONG_GREETINGS if greets else WRONG
    found |= {name: Weather(kind, words=_said(said)) for name, said in words.items()}
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if greets:
        found["dripping"] = Weather(kind, words=_dripping(b"", b"2"))
        found["100 MB"] = Weather(kind, words=_endless(b"220-", counted))
    else:
        found["dripping headers"] = Weather(kind, words=_dripping(head, b"X"))
        found["dripping body"] = Weather(kind, words=_dripping(head + b"\r\n", b" "))
        found["dripping chunks"] = Weather(
            kind, words=_dripping(head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")
        )
        found["100 MB"] = Weather(kind, words=_endless(head + b"\r\n", counted))
    return found


def outcome(call: Call, failure: type[Exception] | None) -> str:
    """Empty if it failed as it should."""
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 - any other kind is what is looked for
        if failure is not None and isinstance(error, failure):
            return ""
        return f"raised {error!r}"
    return "" if failure is None and answer is False else f"gave {answer!r}"


# Asked for by an answer that is not one: nothing wrong with these.
FINE = {
    # Whoever says 2xx has taken it.
    ("local dispatcher", said)
    for said in WRONG
    if said not in ("429", "500", "503 in HTML", "cut in mid-line", "not HTTP", "a redirect")
} | {
    # Nothing more is needed to close or delete than a status.
    ("Mux", "delete"),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_out_of_order(name: str, environment: dict[str, str], dice: random.Random) -> None:
    other = OTHERS[name]
    greets = name == "mail server"
    calls = list(other.calls(1, environment))
    cases = [(said, call) for said in weathers([0], greets=greets) for call in calls]
    if not THOROUGH:
        # Each weather once, with one of the calls.
        cases = [(said, dice.choice(calls)) for said in weathers([0], greets=greets)]
    slowest = 0.0
    most = 0

    def attempt(case: tuple[str, str]) -> tuple[str, float, int]:
        said, call = case
        counted = [0]
        with Wire(("127.0.0.1", 1)) as wire:
            wire.weather = weathers(counted, greets=greets)[said]
            asked = other.calls(wire.port, environment)[call]
            began = time.monotonic()
            wrong = outcome(asked, other.failure)
            return wrong, time.monotonic() - began, counted[0]

    wrong = []
    with ThreadPoolExecutor(6) as pool:
        for (said, call), (found, seconds, read) in zip(cases, pool.map(attempt, cases), strict=True):
            slowest, most = max(slowest, seconds), max(most, read)
            if found and (name, said) not in FINE and (name, call) not in FINE:
                wrong.append(f"{call}, {said}: {found[:200]}")
            if seconds > BOUND:
                wrong.append(f"{call}, {said}: {seconds:.1f} s")
            if read > MOST_READ:
                wrong.append(f"{call}, {said}: {read} bytes read")
    tried(
        f"out of order: {name}",
        calls=len(calls),
        ways=len(weathers([0], greets=greets)),
        cases=len(cases),
        slowest_seconds=round(slowest, 1),
        most_read_megabytes=round(most / MEGABYTE),
    )
    assert wrong == []

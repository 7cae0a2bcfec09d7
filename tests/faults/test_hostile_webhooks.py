"""Webhooks: signatures in every odd shape, and bodies that are signed well and make no sense. Never a fault, and what
comes after them counts as if they had not been.
"""

import copy
import hashlib
import hmac
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from infra.local.supervisor import Stack
from lib.database.engine import Database
from lib.database.schema import inbox, videos
from tests.faults.counts import tried
from tests.faults.hostile import WEBHOOKS, functions_url, signatures

MIB = 1 << 20
FUNCTIONS = sorted(WEBHOOKS)
NONSENSE: list[Any] = [
    None, True, 0, -1, 7.5, 10**40, 1e308, "", " ", "\x00", "a\x00b", "\ud800", "a\udfffb", "\uffff", "é" * 300,
    "x" * 5000, "../../etc/passwd", "' OR 1=1 --", "{{7*7}}", str(uuid.uuid4()), [], [[]], [None], ["\ud800"], {},
    {"id": None}, {"id": "\ud800", "object": "customer"}, {"": {"": {}}},
]  # fmt: skip
BODIES = [
    b"", b" ", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"true", b"1", b'"text"', b"[]", b"{}", b"{", b"{}{}",
    b"NaN", b'{"id": NaN, "type": Infinity, "data": -Infinity}', b"9" * 10_000, b"-" + b"9" * (MIB - 1), b"1e999999999",
    b"[" * MIB, b"{" * MIB, b'{"a":' * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 500_000 + b"]" * 500_000, b'{"id":"' + b"\\ud800" * 1000 + b'","type":"x","data":{}}',
    b'{"id":"evt_\xc3","type":"x"}', b'{"id":"evt_\xed\xa0\x80","type":"x"}', '{"id":"evt_1"}'.encode("utf-16"),
    b'{"type":"x","type":{"a":1},"id":1,"id":"evt_twice","data":[],"data":null}', b'{"uid":"u","status":"ready"}',
    b'{"__proto__":{"id":"x"},"constructor":{}}', b"id=evt_1&type=x", b"<event/>",
    b'{"id":"evt_1","type":"x","data":' + b"9" * 100_000 + b"}", b" " * (MIB - 2) + b"{}",
]  # fmt: skip


def stripe_event() -> dict[str, Any]:
    """Of a customer that is not ours, so that nobody has to work on it."""
    customer = {"id": f"cus_{uuid.uuid4().hex}", "object": "customer"}
    about = {"id": f"sub_{uuid.uuid4().hex}", "object": "subscription", "customer": customer}
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "customer.subscription.updated",
        "created": 1,
        "data": {"object": about},
        "related_object": {"id": "sub_1", "type": "subscription"},
    }


def mux_event(video_id: uuid.UUID, type_: str = "video.asset.ready") -> dict[str, Any]:
    data = {
        "id": f"upload-{video_id}" if type_.startswith("video.upload") else f"asset-{video_id}",
        "upload_id": f"upload-{video_id}",
        "passthrough": str(video_id),
        "asset_id": f"asset-{video_id}",
        "new_asset_settings": {"passthrough": str(video_id)},
        "status": "ready",
        "duration": 60.5,
        "playback_ids": [{"id": f"playback-{video_id}", "policy": "signed"}],
        "tracks": [{"type": "text", "language_code": "de"}, {"type": "audio", "language_code": "en"}],
        "errors": {"type": "invalid_input", "messages": ["no"]},
    }
    return {"type": type_, "id": str(uuid.uuid4()), "data": data}


def cloudflare_event(video_id: uuid.UUID, state: str = "ready") -> dict[str, Any]:
    return {
        "uid": video_id.hex,
        "creator": str(video_id),
        "readyToStream": True,
        "requireSignedURLs": True,
        "duration": 60.5,
        "status": {"state": state, "errorReasonCode": "ERR", "errorReasonText": "no"},
        "meta": {"name": "film"},
    }


def events(function: str, video_id: uuid.UUID) -> list[dict[str, Any]]:
    if function == "stripe-webhook":
        thin = stripe_event() | {"object": "v2.core.event", "type": "v1.customer.subscription.updated"}
        return [stripe_event(), thin | {"snapshot_event": f"evt_{uuid.uuid4().hex}", "data": {}}]
    if function == "mux-webhook":
        types = ("upload.asset_created", "upload.errored", "asset.deleted", "asset.ready", "asset.errored")
        return [mux_event(video_id, f"video.{type_}") for type_ in types]
    return [cloudflare_event(video_id, state) for state in ("ready", "error", "pendingupload", "inprogress")]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in it, the whole first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inner:
        yield from places(found, (*path, key))


def changed(event: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The event with something else there; `...`: nothing."""
    if not path:
        return {} if value is ... else value
    damaged = copy.deepcopy(event)
    holder = damaged
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return damaged


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=functions_url(stack), timeout=60) as client:
        yield client


def send(http: httpx.Client, function: str, body: bytes, headers: dict[str, Any]) -> httpx.Response:
    return http.post(f"/{function}", content=body, headers={"Content-Type": "application/json"} | headers)


def film(database: Database, provider: str) -> uuid.UUID:
    """One that waits for its file."""
    video_id = uuid.uuid4()
    upload = video_id.hex if provider == "cloudflare" else f"upload-{video_id}"
    row = {"title": "A film", "level": 1, "published": True, "status": "waiting", "provider": provider}
    with database.transaction() as tx:
        tx.execute(insert(videos).values(id=video_id, upload_id=upload, **row))
    return video_id


def status(database: Database, video_id: uuid.UUID) -> str:
    with database.transaction() as tx:
        return str(tx.execute(select(videos.c.status).where(videos.c.id == video_id)).scalar_one())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signed_nonsense(
    http: httpx.Client,
    environment: dict[str, str],
    database: Database,
    dice: random.Random,
    thorough: bool,
    function: str,
) -> None:
    provider = function.removesuffix("-webhook")
    victim = film(database, provider) if provider != "stripe" else uuid.uuid4()
    bodies = list(BODIES)
    for event in events(function, victim):
        damages = [
            (path, value)
            for path in places(event)
            for value in [..., *NONSENSE]
            # Whole and of this film, it would be no nonsense; two events of one id would be one.
            if path != ("meta", "name")
        ]
        for path, value in damages if thorough else dice.sample(damages, 90):
            fresh = event | ({"id": f"evt_{uuid.uuid4().hex}"} if provider == "stripe" else {})
            bodies.append(json.dumps(changed(fresh, path, value)).encode())
    answers: Counter[int] = Counter()
    kept: set[str] = set()
    for body in bodies:
        answer = send(http, function, body, signatures(environment, function, body))
        answers[answer.status_code] += 1
        assert answer.status_code in (200, 400), (body[:300], answer.text)
        if answer.status_code == 400:
            assert answer.json()["code"] == "malformed_request", (body[:300], answer.text)
        elif provider == "stripe":
            read = json.loads(body)
            kept.add(read.get("snapshot_event") or read["id"])
    tried(f"signed nonsense: {function}", tries=len(bodies), held=answers.total(), statuses=dict(answers))
    if provider == "stripe":
        with database.transaction() as tx:
            there = tx.execute(select(inbox.c.event_id).where(inbox.c.event_id.in_(kept))).scalars()
            assert set(there) == kept, "what was acknowledged is kept"
        return
    # Whatever became of that film: another that waits is told of as ever.
    whole = film(database, provider)
    event = mux_event(whole) if provider == "mux" else cloudflare_event(whole)
    body = json.dumps(event).encode()
    assert send(http, function, body, signatures(environment, function, body)).status_code == 200
    assert status(database, whole) == "ready"


def odd_signatures(function: str, environment: dict[str, str], body: bytes) -> dict[str, bytes | None]:
    """Headers that sign nothing, however near they come."""
    webhook, now = WEBHOOKS[function], int(time.time())
    t, v = webhook.names
    secret = environment[webhook.secrets].split(",")[0].encode()

    def digest(moment: object, payload: bytes = body, key: bytes = secret, how: str = "sha256") -> str:
        return hmac.new(key, f"{moment}.".encode() + payload, getattr(hashlib, how)).hexdigest()

    good = digest(now)
    raw = {
        "none": None,
        "empty": b"",
        "commas": b"," * 4000,
        "equal signs": b"=" * 4000,
        "no time": f"{v}={good}",
        "no signature": f"{t}={now}",
        "two times": f"{t}={now},{t}={now},{v}={good}",
        "two times, one good": f"{t}=1,{t}={now},{v}={good}",
        "an old time": f"{t}={now - 301},{v}={digest(now - 301)}",
        "a coming time": f"{t}={now + 330},{v}={digest(now + 330)}",
        "another time's": f"{t}={now},{v}={digest(now - 1)}",
        "the year 33658": f"{t}={10**12},{v}={digest(10**12)}",
        "a time without end": f"{t}={'9' * 3000},{v}={digest('9' * 3000)}",
        "a time below none": f"{t}=-{now},{v}={digest(-now)}",
        "a time with a sign": f"{t}=+{now},{v}={digest(f'+{now}')}",
        "a time with a point": f"{t}={now}.0,{v}={digest(f'{now}.0')}",
        "a time in powers": f"{t}=1e9,{v}={digest('1e9')}",
        "a time in hexadecimal": f"{t}={now:#x},{v}={digest(f'{now:#x}')}",
        "a time of Arabic digits": f"{t}=١٧٦٤,{v}={good}".encode(),
        "a time of spaces": f"{t}= {now},{v}={digest(f' {now}')}",
        "milliseconds": f"{t}={now * 1000},{v}={digest(now * 1000)}",
        "half": f"{t}={now},{v}={good[:32]}",
        "one more": f"{t}={now},{v}={good}0",
        "capitals": f"{t}={now},{v}={good.upper()}",
        "nothing": f"{t}={now},{v}=",
        "zeros": f"{t}={now},{v}={'0' * 64}",
        "letters beyond ASCII": f"{t}={now},{v}=é{good}".encode("latin-1"),
        "another scheme": f"{t}={now},v0={good}",
        "another scheme's name": f"{t}={now},{v}0={good}",
        "SHA-1": f"{t}={now},{v}={digest(now, how='sha1')}",
        "SHA-512": f"{t}={now},{v}={digest(now, how='sha512')}",
        "an empty key": f"{t}={now},{v}={digest(now, key=b'')}",
        "the header's name as key": f"{t}={now},{v}={digest(now, key=webhook.header.encode())}",
        "another body": f"{t}={now},{v}={digest(now, payload=body + b' ')}",
        "no body": f"{t}={now},{v}={digest(now, payload=b'')}",
        "body alone": f"{t}={now},{v}={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
        "good beyond what is read": f"{t}={now},{','.join([f'{v}={chr(48) * 64}'] * 100)},{v}={good}",
        "JSON": json.dumps({t: now, v: good}),
        "semicolons": f"{t}={now};{v}={good}",
    }
    return {name: value.encode("latin-1") if isinstance(value, str) else value for name, value in raw.items()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_odd_signatures(http: httpx.Client, environment: dict[str, str], function: str) -> None:
    body = json.dumps(events(function, uuid.uuid4())[0]).encode()
    odd = odd_signatures(function, environment, body)
    name = WEBHOOKS[function].header
    for what, value in odd.items():
        answer = send(http, function, body, {} if value is None else {name: value})
        assert (answer.status_code, answer.json().get("code")) == (400, "invalid_signature"), what
    # Other providers' headers and secrets are nobody's here.
    for other in FUNCTIONS:
        if other != function:
            headers = signatures(environment, other, body)
            answers = [
                send(http, function, body, headers),
                send(http, function, body, {name: next(iter(headers.values()))}),
            ]
            assert [answer.status_code for answer in answers] == [400, 400], other
    (good,) = signatures(environment, function, body).values()
    webhook = WEBHOOKS[function]
    many = f"{good.replace(',', ' , ')}, {webhook.names[1]}={'f' * 64}, v0=x, unknown"
    for taken in (good, many):
        assert send(http, function, body, {name: taken}).status_code == 200, taken
    tried(f"odd signatures: {function}", tries=len(odd) + 4, held=len(odd) + 4)

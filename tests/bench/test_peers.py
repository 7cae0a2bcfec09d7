"""What `make bench` compares with does the same: the peers give Streamly's answers, and the instruments are true."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from infra.local.supervisor import Stack
from tests.bench.delay import DelayProxy
from tests.bench.served import Program, Running, framework_peer, function, running, uvicorn_peer
from tests.bench.stripe_stand_in import StripeStandIn
from tests.billing import event, signed
from tests.factories import Factory, Person, wait_for
from tests.integration.test_playback import moment

PEERS = ("full_stack", "tuned")


@pytest.fixture(scope="module")
def servers(
    stack: Stack, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Running]]:
    """Ours and the two that answer get-playback, over the same database."""
    folder = tmp_path_factory.mktemp("peers")
    programs: dict[str, Program] = {name: uvicorn_peer(name) for name in PEERS}
    programs["ours"] = function("get-playback")
    with ExitStack() as started:
        found = {
            name: started.enter_context(running(program, environment, folder / f"{name}.log"))
            for name, program in programs.items()
        }
        for server in found.values():
            wait_for(server.listens, 60)
        yield found


@pytest.fixture
def answers(servers: dict[str, Running]) -> Callable[..., dict[str, httpx.Response]]:
    def ask(person: Person, **query: str) -> dict[str, httpx.Response]:
        headers = {"Authorization": f"Bearer {person.api.token}"}
        return {
            name: httpx.get(server.url, params=query, headers=headers, timeout=30)
            for name, server in servers.items()
        }

    return ask


Answers = Callable[..., dict[str, httpx.Response]]


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found | {"exp": 0} | jwt.get_unverified_header(token)


def body(answer: httpx.Response) -> dict[str, Any]:
    """What it says, without the moments and the signatures."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json()
    left = moment(found.pop("expires_at")) - datetime.now(UTC)
    assert timedelta(minutes=25) < left < timedelta(minutes=35)
    assert moment(found.pop("refresh_after")) > datetime.now(UTC)
    tokens = {kind: token and claims(token) for kind, token in found.pop("tokens").items()}
    urls = {
        name: found.pop(name).partition("?token=")
        for name in ("playback_url", "thumbnail_url", "storyboard_url")
    }
    told = {name: (base, claims(token)) for name, (base, _, token) in urls.items()}
    return found | {"tokens": tokens, "urls": told}


def test_a_yes_is_the_same_yes(answers: Answers, make: Factory) -> None:
    person = make.person()
    make.entitle(person)
    found = answers(person, video_id=str(make.video()))
    assert body(found["full_stack"]) == body(found["tuned"]) == body(found["ours"])


def test_an_admin_s_and_a_free_film_s(answers: Answers, make: Factory) -> None:
    for person, film in (
        (make.admin(), make.video(level=9, published=False)),
        (make.person(), make.video(level=0)),
    ):
        found = answers(person, video_id=str(film))
        assert body(found["full_stack"]) == body(found["tuned"]) == body(found["ours"])


def test_a_no_is_the_same_no(answers: Answers, make: Factory) -> None:
    payer, stranger = make.person(), make.person()
    make.entitle(payer, streams=1)
    film, other = str(make.video()), str(make.video())
    asked = {
        (200, ""): answers(payer, video_id=film),
        (429, "too_many_streams"): answers(payer, video_id=other),
        (402, "subscription_required"): answers(stranger, video_id=film),
        (403, "plan_upgrade_required"): answers(payer, video_id=str(make.video(level=2))),
        (404, "video_not_found"): answers(payer, video_id=str(uuid.uuid4())),
        (404, "video_not_found "): answers(payer, video_id=str(make.video(published=False))),
    }
    for (status, code), found in asked.items():
        assert {name: answer.status_code for name, answer in found.items()} == dict.fromkeys(found, status)
        if code:
            codes = {answer.json().get("code") or answer.json()["detail"] for answer in found.values()}
            assert codes == {code.strip()}


def test_a_login_that_ended_and_no_login(answers: Answers, make: Factory) -> None:
    person = make.person()
    make.entitle(person)
    film = str(make.video())
    nobody = replace(person, api=make.client("nonsense"))
    assert person.api.post("logout").status_code == 204
    for found in (answers(person, video_id=film), answers(nobody, video_id=film)):
        assert {answer.status_code for answer in found.values()} == {401}


def test_the_inline_handler_does_its_work(
    stack: Stack, environment: dict[str, str], make: Factory, tmp_path: Path
) -> None:
    payer = make.subscriber()
    customer = make.customer(payer)
    name = customer.removeprefix("cus_")
    payload = event(
        customer, data={"object": {"id": f"sub_{name}", "object": "subscription", "customer": customer}}
    )
    signature = signed(payload, secret=stack.settings.stripe_webhook_secret)
    with (
        StripeStandIn(0) as stripe,
        running(
            framework_peer("inline_webhook", 2),
            environment | {"STRIPE_API_BASE": stripe.url},
            tmp_path / "log",
        ) as server,
    ):
        wait_for(server.listens, 60)
        forged = httpx.post(server.url, content=payload, headers={"Stripe-Signature": signed(payload)})
        assert forged.status_code == 400
        for _ in range(2):
            told = httpx.post(
                server.url, content=payload, headers={"Stripe-Signature": signature}, timeout=30
            )
            assert (told.status_code, told.json()) == (200, {"received": True})
    subscription = make.database.read(
        "SELECT status, user_id FROM subscriptions WHERE stripe_id = :id", id=f"sub_{name}"
    )
    assert subscription == {"status": "active", "user_id": payer.id}


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says again what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                while piece := client.recv(1 << 16):
                    client.sendall(piece)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_the_delay_is_what_it_says_and_loses_nothing(echo: int) -> None:
    """At least so long each way, whatever else the machine does; that it is not much longer, `make bench` shows."""
    with DelayProxy(f"postgresql://127.0.0.1:{echo}/x", 0.02) as proxy:
        port = int(proxy.url.partition("127.0.0.1:")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as client:
            quickest = 1.0
            for _ in range(5):
                began = time.monotonic()
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                quickest = min(quickest, time.monotonic() - began)
            assert 0.04 <= quickest < 0.08
            sent = os.urandom(1_000_000)
            threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
            heard = b""
            while len(heard) < len(sent):
                heard += client.recv(1 << 16)
            assert heard == sent

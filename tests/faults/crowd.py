"""People who do all sorts of things at once, for as long as one likes, and remember every answer they got.

Each has an account of their own and knows what they must be told: whoever paid may watch, whoever did not may not,
whoever logged out is out. What was answered with a yes is remembered, to be looked for afterwards.
"""

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from infra.local.settings import DEFAULT_PLANS
from lib.billing.gifts import Gifts
from lib.config import Environment
from lib.web.ports import SystemClock
from tests.factories import PASSWORD, Factory, Person

RIGHT = {
    # What each is told when nothing is wrong.
    "watch": 200,
    "heartbeat": 200,
    "account": 200,
    "list": 200,
    "login": 200,
    "refresh": 200,
    "register": 201,
    "watch unpaid": 402,
    "watch logged out": 401,
    "keys": 200,
}
# How often each is done, of 100: a service that is watched more than it is logged in to.
OFTEN = {
    "watch": 25,
    "heartbeat": 35,
    "account": 8,
    "list": 10,
    "login": 3,
    "refresh": 6,
    "register": 2,
    "watch unpaid": 4,
    "watch logged out": 3,
    "keys": 4,
}
# Seconds between two positions.
STEP = 0.1
# They need no database.
APART = ("keys",)


@dataclass(frozen=True, slots=True)
class Answer:
    at: float
    """When it was asked for."""
    seconds: float
    what: str
    status: int
    """0: the connection ended without an answer."""
    retry_after: str | None

    @property
    def right(self) -> bool:
        return self.status == RIGHT[self.what]

    @property
    def refused(self) -> bool:
        """Told to come again, and when."""
        return self.status == 503 and self.retry_after is not None and self.retry_after.isdigit()

    @property
    def wrong(self) -> bool:
        return not self.right and not self.refused


class Client:
    """HTTP at its cheapest, so that asking takes little from who answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, token: str | None = None, body: Any = None
    ) -> tuple[int, str | None, Any]:
        """Status, Retry-After and body; 0 where the connection ended."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, None, None
        found = json.loads(content) if content[:1] == b"{" else None
        return response.status, response.headers["Retry-After"], found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Member:
    """Somebody, and what they were told."""

    person: Person
    stranger: str
    ended: str
    films: Sequence[uuid.UUID]
    dice: random.Random
    token: str = ""
    refresh_token: str = ""
    playing: str = ""
    position: float = 0.0
    """The last one that was said to be kept."""
    registered: list[str] = field(default_factory=list)

    def act(self, client: Client, what: str) -> tuple[int, str | None]:
        do: Callable[[Client], tuple[int, str | None, Any]] = getattr(self, "_" + what.replace(" ", "_"))
        status, retry_after, _ = do(client)
        return status, retry_after

    def _watch(self, client: Client) -> tuple[int, str | None, Any]:
        film = self.films[0]
        found = client.ask("GET", f"/get-playback?video_id={film}", self.token)
        if found[0] == 200:
            self.playing = found[2]["session_id"]
        return found

    def _heartbeat(self, client: Client) -> tuple[int, str | None, Any]:
        wanted = round(self.position + STEP, 1)
        body = {"session_id": self.playing, "position": wanted}
        found = client.ask("POST", "/heartbeat", self.token, body)
        if found[0] == 200:
            self.position = wanted
        return found

    def _account(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("GET", "/account", self.token)

    def _list(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("GET", "/list-videos?limit=5")

    def _login(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("POST", "/login", None, {"email": self.person.email, "password": PASSWORD})

    def _refresh(self, client: Client) -> tuple[int, str | None, Any]:
        found = client.ask("POST", "/refresh", None, {"refresh_token": self.refresh_token})
        if found[0] == 200:
            self.token, self.refresh_token = found[2]["access_token"], found[2]["refresh_token"]
        return found

    def _register(self, client: Client) -> tuple[int, str | None, Any]:
        email = f"{uuid.uuid4().hex}@example.com"
        found = client.ask("POST", "/register", None, {"email": email, "password": PASSWORD})
        if found[0] == 201:
            self.registered.append(email)
        return found

    def _watch_unpaid(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("GET", f"/get-playback?video_id={self.films[1]}", self.stranger)

    def _watch_logged_out(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("GET", f"/get-playback?video_id={self.films[0]}", self.ended)

    def _keys(self, client: Client) -> tuple[int, str | None, Any]:
        return client.ask("GET", "/jwks")


class Crowd:
    """So many members, each in a thread of their own."""

    def __init__(self, make: Factory, dice: random.Random, members: int = 6) -> None:
        self._port = make.stack.port
        films = (make.video(level=1, duration=7200.0), make.video(level=1, duration=7200.0))
        self.members = [self._member(make, films, random.Random(dice.random())) for _ in range(members)]  # noqa: S311 - chance, no secret
        self.answers: list[Answer] = []
        self._over = threading.Event()

    @staticmethod
    def _member(make: Factory, films: Sequence[uuid.UUID], dice: random.Random) -> Member:
        person, stranger, ended = make.person(), make.person(), make.person()
        plans = Environment({"PLANS": json.dumps(DEFAULT_PLANS)}).plans()
        gifts = Gifts(make.database, plans, SystemClock())
        until = datetime.now(UTC) + timedelta(days=30)
        with make.database.transaction() as tx:
            for entitled in (person, ended):
                gifts.give(tx, entitled.id, "basic", until=until, actor="operator:test")
        assert ended.api.post("logout").status_code == 204
        assert stranger.api.token is not None
        assert ended.api.token is not None
        assert person.api.token is not None
        member = Member(person, stranger.api.token, ended.api.token, films, dice)
        member.token, member.refresh_token = person.api.token, person.refresh_token
        with closing(Client(make.stack.port)) as client:
            assert member.act(client, "watch")[0] == 200
        return member

    @contextmanager
    def busy(self, rate: float) -> Iterator[None]:
        """They are at it while the block runs: so many requests a second, together.

        None waits for another's answer, and who was kept waiting catches up: a server that is slow is asked no less.
        """
        self._over.clear()
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._go_on, args=(member, number, rate, began))
            for number, member in enumerate(self.members)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _go_on(self, member: Member, number: int, rate: float, began: float) -> None:
        client = Client(self._port)
        pause = len(self.members) / rate
        due = began + pause * number / len(self.members)
        while not self._over.is_set():
            wait = due - time.monotonic()
            if wait > 0 and self._over.wait(wait):
                break
            # Who is late by more than a second has been kept waiting: no storm after it.
            due = max(due + pause, time.monotonic() - 1)
            (what,) = member.dice.choices(list(OFTEN), list(OFTEN.values()))
            asked = time.monotonic()
            status, retry_after = member.act(client, what)
            self.answers.append(Answer(asked, time.monotonic() - asked, what, status, retry_after))
        client.close()

    def lost(self, make: Factory) -> list[str]:
        """What was said to be done and is not there."""
        found = []
        for member in self.members:
            with make.database.transaction() as tx:
                there = set(
                    tx.execute(
                        text("SELECT email FROM users WHERE email = ANY(:emails)"),
                        {"emails": member.registered},
                    ).scalars()
                )
                kept = tx.execute(
                    text("SELECT max(position) FROM playback_sessions WHERE user_id = :user"),
                    {"user": member.person.id},
                ).scalar_one()
            found += [f"account {email}" for email in member.registered if email not in there]
            # One step back is borne: a heartbeat whose answer was lost may be carried out after the next one.
            if kept < member.position - STEP - 0.01:
                found.append(f"position {member.position}, kept {kept}")
            with closing(Client(self._port)) as client:
                if member.act(client, "refresh")[0] != 200:
                    found.append("a refresh token")
        return found


def told(answers: Sequence[Answer]) -> dict[str, int]:
    """How many were right, told to wait, or wrong."""
    counted = Counter(
        "right" if each.right else "told to wait" if each.refused else "wrong" for each in answers
    )
    return {"requests": len(answers), "right": 0, "told to wait": 0, "wrong": 0} | dict(counted)

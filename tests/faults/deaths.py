"""A world in which processes die: every step a request takes towards the outside is seen, numbered, and can kill it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import insert, make_url, text, update

from infra.local.supervisor import Stack
from lib.accounts import mail_store, store
from lib.accounts.outbox import LeftMails
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.dispatcher_tasks import DispatcherTasks
from lib.adapters.jwt_tokens import JwtTokens
from lib.billing import event_walk, walk_store
from lib.billing.closures import Closures
from lib.billing.events import LeftEvents
from lib.billing.gifts import Gifts
from lib.config import Environment, TaskSettings
from lib.database.engine import Database
from lib.database.schema import users, videos
from lib.video.mending import LeftVideos
from lib.web.ports import Claims, SystemClock
from tests.factories import PASSWORD, wait_for
from tests.faults.wire import Moment, Wire

PASSWORD_HASH = Argon2Hasher(1).hash(PASSWORD)
# Of seconds: reconcile leaves alone what happened at Stripe just now.
NO_LONGER_ON_ITS_WAY = 25


@dataclass(frozen=True)
class Call:
    """A request as a client, a provider or the queue makes it."""

    method: str
    path: str
    body: Any = None
    token: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Death:
    """At which step, counted from 1, and on which side of it."""

    step: int
    moment: Moment


@dataclass
class Outcome:
    """What became of a call: an answer, or silence."""

    steps: list[str]
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def died(self) -> bool:
        return self.status is None

    @property
    def code(self) -> str | None:
        return self.body.get("code") if isinstance(self.body, dict) else None


@dataclass
class Person:
    id: uuid.UUID
    email: str
    session: uuid.UUID
    token: str
    refresh_token: str


class Queue:
    """Takes tasks as Cloud Tasks does, remembers their names, and gives them to nobody by itself."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self._names: set[str] = set()
        queue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(queue.take(task))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = ("127.0.0.1", self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, task: dict[str, Any]) -> int:
        if task["name"] in self._names:
            return 409
        self._names.add(task["name"])
        self.waiting.append(task["body"])
        return 201

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class World:
    """The functions in processes that may die, a database of its own, the sandbox's providers, and wires to all."""

    def __init__(self, stack: Stack, url: str, environment: Mapping[str, str]) -> None:
        self.stack = stack
        self.database = Database(Environment({"DATABASE_URL": url}).database())
        self._http = httpx.Client(base_url=f"{stack.base_url}/sandbox", timeout=30)
        self.queue = Queue()
        self._guard = threading.Lock()
        self._steps: list[str] = []
        self._victim: int | None = None
        self._death: Death | None = None
        self._sql = ""
        self._networks = 0
        self.move()
        at = make_url(url)
        assert at.host is not None
        assert at.port is not None
        gateway = ("127.0.0.1", stack.port)
        self.wires = {
            name: Wire(target, partial(self._saw, name))
            for name, target in (
                ("database", (at.host, at.port)),
                ("provider", gateway),
                ("queue", self.queue.address),
                ("mail", ("localhost", stack.settings.smtp_port)),
            )
        }
        ports = {name: wire.port for name, wire in self.wires.items()}
        through = at.set(host="127.0.0.1", port=ports["database"])
        sandbox = f"http://127.0.0.1:{ports['provider']}/sandbox"
        self.environment = {
            **environment,
            "DATABASE_URL": through.render_as_string(hide_password=False),
            "STRIPE_API_BASE": f"{sandbox}/stripe",
            "MUX_API_BASE": f"{sandbox}/mux",
            "CLOUDFLARE_API_BASE": f"{sandbox}/cloudflare/client/v4",
            "DISPATCHER_URL": f"http://127.0.0.1:{ports['queue']}",
            "SMTP_URL": f"smtp://127.0.0.1:{ports['mail']}",
        }
        env = Environment(self.environment)
        self.tokens = JwtTokens(env.tokens())
        machines = stack.settings.oidc_private_key.encode()
        self._machines_key = load_pem_private_key(machines, None, unsafe_skip_rsa_key_validation=True)
        self._gifts = Gifts(self.database, env.plans(), SystemClock())
        tasks = DispatcherTasks(_straight_to(env.tasks(), self.queue))
        self._left = (
            LeftMails(self.database, tasks).reconcile,
            LeftEvents(self.database, tasks).reconcile,
            Closures(self.database, tasks).reconcile,
            LeftVideos(self.database, tasks, pause=0).reconcile,
        )
        # The sandbox's Stripe has what others did there before: nobody here has missed that.
        with self.database.transaction() as tx:
            now = {"since": int(time.time()), "newest": None, "after": None}
            walk_store.position(tx, event_walk.NAME, now)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forking"],
            env={"PATH": os.environ["PATH"], **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "ready" in self._hear()

    def close(self) -> None:
        self._process.communicate(timeout=30)
        for wire in self.wires.values():
            wire.close()
        self.queue.close()
        self._http.close()
        self.database.dispose()

    # -- requests -----------------------------------------------------------------------------------------

    def call(self, call: Call, death: Death | None = None, *, ahead: float = 0) -> Outcome:
        """Have it carried out by a process of its own, which dies where it is told to."""
        headers = dict(call.headers)
        if call.token is not None:
            headers["Authorization"] = f"Bearer {call.token}"
        body = call.body
        if not isinstance(body, str):
            headers["Content-Type"] = "application/json"
            body = "" if body is None else json.dumps(body)
        order = {"method": call.method, "path": f"/{call.path}", "headers": headers, "body": body}
        self._tell(**order, ahead=ahead, address=self._address)
        with self._guard:
            self._steps, self._death, self._sql = [], death, ""
            self._victim = self._hear()["pid"]
        self._tell()
        answer = self._hear()
        with self._guard:
            self._victim = None
            steps = self._steps
        if "status" not in answer:
            assert answer == {"signal": signal.SIGKILL}, answer
            return Outcome(steps)
        said = answer["body"]
        return Outcome(steps, answer["status"], json.loads(said) if said else None, answer["headers"])

    def _tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def _saw(self, wire: str, heard: bytes, moment: Moment) -> bool:
        with self._guard:
            if self._victim is None:
                # Of somebody who is dead, or is done.
                return True
            if moment == "before":
                step = self._step_of(wire, heard)
                if step is None:
                    return True
                self._steps.append(step)
            elif not self._is_step(wire, heard):
                return True
            if self._death == Death(len(self._steps), moment):
                if wire == "database" and moment == "after":
                    wait_for(partial(is_done, self.database))
                os.kill(self._victim, signal.SIGKILL)
                return False
            return True

    def _is_step(self, wire: str, heard: bytes) -> bool:
        return wire != "database" or bool(_messages(heard) & {b"B", b"Q"})

    def _step_of(self, wire: str, heard: bytes) -> str | None:
        """What it asks, in words; None for what changes nothing: the handshake, and a statement only prepared."""
        if wire != "database":
            return f"{wire}: {_line_of(heard)}"
        kinds = _messages(heard)
        if b"P" in kinds:
            self._sql = _text_of(heard)
        if b"Q" in kinds:
            return f"database: {_text_of(heard)[:70]}"
        return f"database: {self._sql[:70]}" if b"B" in kinds else None

    def move(self) -> None:
        """To a network from where nobody has asked for anything yet."""
        self._networks += 1
        self._address = f"10.{self._networks // 256}.{self._networks % 256}.7"

    # -- who and what there is ----------------------------------------------------------------------------

    def person(self, *, role: str = "viewer") -> Person:
        email, refresh_token = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
        now = SystemClock().now()
        with self.database.transaction() as tx:
            user = store.add_user(tx, email=email, name=None, password_hash=PASSWORD_HASH)
            assert user is not None
            store.record(tx, "registered", user.id, {})
            tx.execute(update(users).where(users.c.id == user.id).values(role=role))
            later = now + timedelta(days=14)
            session = uuid.uuid4()
            tx.execute(
                text(
                    "SELECT add_session(:session, :user, NULL, '198.51.100.9', :later, "
                    "sha256(CAST(:token AS bytea)), :later)"
                ),
                {"session": session, "user": user.id, "later": later, "token": refresh_token.encode()},
            )
        token, _ = self.tokens.issue(Claims(user.id, session), now=now)
        return Person(user.id, email, session, token, refresh_token)

    def entitle(self, person: Person) -> None:
        """Access by a grant of staff, as an operator gives it."""
        with self.database.transaction() as tx:
            self._gifts.give(
                tx, person.id, "basic", until=SystemClock().now() + timedelta(days=30), actor="operator:test"
            )

    def gift_code(self) -> str:
        (code,) = self._gifts.make(
            "basic", days=30, count=1, note=None, expires_at=None, actor="operator:test"
        )
        return code

    def link(self, person: Person, purpose: str, email: str | None = None) -> str:
        """A token as a mail brings it."""
        token = uuid.uuid4().hex
        with self.database.transaction() as tx:
            mail_store.add_link(
                tx,
                mail_store.hash_of(token),
                user_id=person.id,
                purpose=purpose,
                email=email,
                lives=timedelta(hours=1),
            )
        return token

    def film(self, **values: Any) -> uuid.UUID:
        video_id: uuid.UUID = values.pop("id", uuid.uuid4())
        row = {
            "title": f"A film {video_id}",
            "level": 1,
            "published": True,
            "status": "ready",
            "provider": "mux",
            "asset_id": f"asset-{video_id}",
            "playback_id": f"playback-{video_id}",
            "duration": 60.0,
        } | values
        with self.database.transaction() as tx:
            tx.execute(insert(videos).values(id=video_id, **row))
        return video_id

    def customer(self, person: Person) -> str:
        """A customer of theirs at Stripe, made by create-checkout; the page it opened is paid for."""
        page = self.done(Call("POST", "create-checkout", {"plan": "basic"}, person.token))
        paid = self._http.post(page.body["checkout_url"], data={"card": "4242424242424242"})
        assert paid.status_code == 303, paid.text
        return str(
            self.sql("SELECT stripe_customer_id FROM billing_accounts WHERE user_id = :u", u=person.id)[0]
        )

    def subscribe_past_us(self, customer: str) -> None:
        """A subscription of the customer's that none of our pages sold."""
        lines = {"line_items[0][price]": self._price("basic_monthly"), "line_items[0][quantity]": "1"}
        page = {"mode": "subscription", "customer": customer, "success_url": "http://127.0.0.1/", **lines}
        opened = self._ask_stripe("checkout/sessions", page)
        assert self._http.post(opened["url"], data={"card": "4242424242424242"}).status_code == 303

    def move_up(self, customer: str) -> None:
        """The newest subscription of the customer changes from basic to premium at once, for the difference."""
        newest = self.stripe("subscriptions", customer=customer)[0]
        item = {
            "items[0][id]": newest["items"]["data"][0]["id"],
            "items[0][price]": self._price("premium_monthly"),
        }
        self._ask_stripe(f"subscriptions/{newest['id']}", item | {"proration_behavior": "always_invoice"})

    def _price(self, key: str) -> str:
        return str(self.stripe("prices", **{"lookup_keys[0]": key})[0]["id"])

    def _ask_stripe(self, path: str, form: Mapping[str, str]) -> Any:
        answer = self._http.post(
            f"/stripe/v1/{path}",
            data=dict(form),
            headers={"Authorization": f"Bearer {self.stack.settings.stripe_secret_key}"},
        )
        return answer.raise_for_status().json()

    def stripe(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """A list at Stripe."""
        answer = self._http.get(
            f"/stripe/v1/{path}",
            params={"limit": 100, **query},
            headers={"Authorization": f"Bearer {self.stack.settings.stripe_secret_key}"},
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return found

    def mails(self, email: str) -> list[str]:
        """The subjects of those that arrived."""
        answer = self._http.get("/mail", params={"to": email}, headers={"Accept": "application/json"})
        return [mail["subject"] for mail in answer.raise_for_status().json()["mails"]]

    def sql(self, query: str, **parameters: Any) -> list[Any]:
        """The first column of what a query finds or changes."""
        with self.database.transaction() as tx:
            found = tx.execute(text(query), parameters)
            return list(found.scalars()) if found.returns_rows else []

    def counted(self, queries: Mapping[str, str], about: Mapping[str, str]) -> dict[str, int]:
        """Numbers, each by its query, in one round trip. What is asked about stands in parameters of one name each."""
        columns = ", ".join(f'({query}) AS "{name}"' for name, query in queries.items())
        typed = re.sub(r":user\b", "CAST(:user AS uuid)", columns)
        with self.database.transaction() as tx:
            return dict(tx.execute(text(f"SELECT {typed}"), dict(about)).mappings().one())

    def counted_by(self, query: str, about: Mapping[str, str]) -> dict[str, int]:
        typed = re.sub(r":user\b", "CAST(:user AS uuid)", query)
        with self.database.transaction() as tx:
            return {
                f"noted: {kind}": int(count) for kind, count in tx.execute(text(typed), dict(about)).all()
            }

    # -- machines -----------------------------------------------------------------------------------------

    def task(self, body: Any, *, ago: int = 0) -> Call:
        """As the queue calls; `ago`, so many seconds before now."""
        token = self._identity("process-task", "tasks@local.streamly", ago)
        return Call("POST", "process-task", body, token)

    def reconcile(self) -> Call:
        return Call("POST", "reconcile", {}, self._identity("reconcile", "scheduler@local.streamly"))

    def _identity(self, function: str, email: str, ago: int = 0) -> str:
        settings, now = self.stack.settings, int(time.time()) - ago
        claims = {
            "iss": self.environment["OIDC_ISSUER"],
            "aud": self.environment["TASKS_URL" if function == "process-task" else "RECONCILE_URL"],
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
        assert isinstance(self._machines_key, RSAPrivateKey)
        return jwt.encode(
            claims, self._machines_key, algorithm="RS256", headers={"kid": settings.oidc_key_id}
        )

    def done(self, call: Call) -> Outcome:
        """A call that nothing happens to."""
        outcome = self.call(call)
        assert outcome.status is not None, call
        assert outcome.status < 300, (call, outcome.status, outcome.body)
        return outcome

    def settle(self) -> None:
        """What time brings: the queue's tasks, and what reconcile finds once it seems lost."""
        self._work()
        for overdue in (
            "UPDATE mails SET due_at = now() - interval '1 s' WHERE state = 'waiting'",
            "UPDATE mails SET claimed_at = now() - interval '1 h' WHERE state = 'sending'",
            "UPDATE inbox SET enqueued_at = now() - interval '1 h' WHERE state = 'received'",
            "UPDATE closures SET enqueued_at = now() - interval '1 h'",
            "UPDATE videos SET purge_at = now() - interval '1 h' WHERE purge_at < now() AND purged_at IS NULL",
        ):
            self.sql(overdue)
        for left in self._left:
            left()
        self._work()

    def catch_up(self) -> None:
        """Nothing is left that reconcile could find: what there was is dealt with."""
        assert self.call(self.reconcile(), ahead=NO_LONGER_ON_ITS_WAY).status == 200
        self.settle()

    def _work(self) -> None:
        while self.queue.waiting:
            outcome = self.call(self.task(self.queue.waiting.pop(0)))
            assert outcome.status == 204, (outcome.status, outcome.body)


def is_done(database: Database) -> bool:
    """Whether nothing is being carried out there. The first words of an answer may come before its commit, and who
    is cut off then has done nothing."""
    at_work = """
        SELECT count(*) AS many FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
          AND state = 'active'
    """
    return database.read(at_work) == {"many": 0}


def _straight_to(settings: TaskSettings, queue: Queue) -> TaskSettings:
    return replace(settings, dispatcher=f"http://127.0.0.1:{queue.address[1]}")


def _messages(heard: bytes) -> set[bytes]:
    """The kinds of PostgreSQL's messages in what a client sends at once; none of the first ones, which have no kind."""
    kinds, at = set[bytes](), 0
    while at + 5 <= len(heard) and heard[at : at + 1].isalpha():
        kinds.add(heard[at : at + 1])
        at += 1 + int.from_bytes(heard[at + 1 : at + 5], "big")
    return kinds


def _text_of(heard: bytes) -> str:
    """The statement of a Query or Parse message at the beginning."""
    parts = heard[5:].split(b"\0")
    words = parts[0] if heard[:1] == b"Q" else parts[1]
    return re.sub(r"\s+", " ", words.decode(errors="replace")).strip()


def _line_of(heard: bytes) -> str:
    """Of HTTP method and path, of SMTP its word."""
    first = heard.split(b"\r\n", 1)[0].decode(errors="replace")
    method, _, rest = first.partition(" ")
    if method not in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        return method[:10] if method.isalpha() and method.isupper() else "the message"
    path = rest.partition(" ")[0].partition("?")[0]
    return f"{method} {re.sub(r'(cus|cs|sub|in)_(test_)?[A-Za-z0-9]+', '…', path)}"

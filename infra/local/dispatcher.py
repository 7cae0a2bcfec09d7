"""Cloud Tasks and Cloud Scheduler of one machine: calls made with a signed identity, retried until taken.

Tasks live in memory only. What a restart loses, `reconcile` enqueues again, as it does in the cloud.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.settings import LocalSettings

log = logging.getLogger(__name__)

SCHEDULER = "scheduler@local.streamly"
# As whom get-playback calls process-task.
PLAYBACK = "playback@local.streamly"
TOKEN_SECONDS = 3600
_FIELDS = {"name": str, "url": str, "audience": str, "service_account": str, "body": dict}
_MAX_BODY_BYTES = 100 * 1024  # Cloud Tasks' own limit for a task


@dataclass(frozen=True)
class Pace:
    """How fast and how often tasks are tried; seconds."""

    first_retry: float = 0.1
    longest_retry: float = 30
    attempts: int = 20
    answer: float = 30
    """How long one attempt may take."""
    concurrency: int = 4
    """Attempts under way at once; fewer than the functions have threads."""
    waiting: int = 10_000
    """Tasks not finished yet; one more is refused."""
    remembered: int = 100_000
    """Names, finished or not; the oldest is forgotten first."""
    reconcile_first: float = 5
    reconcile_every: float = 60


@dataclass
class Task:
    """One enqueued call and what became of it."""

    name: str
    url: str
    audience: str
    service_account: str
    body: dict[str, Any]
    status: str = "pending"
    """`pending`, `done` or `failed`."""
    attempts: int = 0
    last_answer: str = ""
    """Status code of the last attempt, or why there was none."""
    created_at: float = field(default_factory=time.time)


class Dispatcher:
    """Takes tasks and calls them; `run` must be going, in the event loop everything else is called from."""

    def __init__(self, settings: LocalSettings, pace: Pace | None = None) -> None:
        self._base_url = settings.base_url
        self._issuer = f"{settings.base_url}/sandbox/tasks"
        self._pace = pace or Pace()
        self._key_id = settings.oidc_key_id
        # Our own key: the check of its primes (50 ms) can be left out.
        key = serialization.load_pem_private_key(
            settings.oidc_private_key.encode(), None, unsafe_skip_rsa_key_validation=True
        )
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the dispatcher's key should be an RSA key")
        self._key = key
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._slots = asyncio.Semaphore(self._pace.concurrency)
        self._calls: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=self._pace.answer)

    def certs(self) -> dict[str, Any]:
        """The public keys of the callers' tokens, as a JWK set."""
        public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        public.pop("key_ops", None)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": "RS256"}]}

    def identity(self, service_account: str, audience: str) -> str:
        """A token that says who is calling, in the shape of Google's (RS256, one hour)."""
        now = int(time.time())
        subject = str(int.from_bytes(hashlib.sha256(service_account.encode()).digest()[:8], "big"))
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": service_account,
            "email_verified": True,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def enqueue(self, document: Any) -> Task:
        """Take a task to be called soon.

        Args:
            document: `{name, url, audience, service_account, body}`, all strings but `body`, an object.

        Raises:
            TaskRefusedError: 400 malformed or a url that is not ours, 409 a name used before, 429 too many.
        """
        if not isinstance(document, dict) or set(document) != set(_FIELDS):
            raise TaskRefusedError(400, f"a task has exactly {', '.join(_FIELDS)}")
        for name, kind in _FIELDS.items():
            if not isinstance(document[name], kind) or (kind is str and not document[name]):
                raise TaskRefusedError(400, f"{name} is missing or not {kind.__name__}")
        if not self._is_ours(document["url"]):
            raise TaskRefusedError(400, f"only urls under {self._base_url} are called")
        if document["name"] in self._tasks:
            raise TaskRefusedError(409, "this name has been used before")
        if len(self._calls) >= self._pace.waiting:
            raise TaskRefusedError(429, "too many tasks are waiting")
        task = Task(**document)
        self._tasks[task.name] = task
        while len(self._tasks) > self._pace.remembered:
            self._tasks.popitem(last=False)
        call = asyncio.create_task(self._call_until_taken(task))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return task

    def recent(self, limit: int = 50) -> list[Task]:
        """The newest tasks first."""
        names = list(self._tasks)[-limit:]
        return [self._tasks[name] for name in reversed(names)]

    async def reconcile(self) -> httpx.Response:
        """Call `reconcile` once, as Cloud Scheduler would.

        Raises:
            httpx.HTTPError: There was no answer.
        """
        url = f"{self._base_url}/reconcile"
        return await self._post(url, {}, SCHEDULER, url, {"X-CloudScheduler": "true"})

    async def run(self) -> None:
        """Call `reconcile` on its schedule until cancelled; then end all calls under way."""
        try:
            await asyncio.sleep(self._pace.reconcile_first)
            while True:
                try:
                    answer = await self.reconcile()
                except httpx.HTTPError as error:
                    log.warning("reconcile: no answer (%r)", error)
                else:
                    level = logging.DEBUG if answer.is_success else logging.WARNING
                    log.log(level, "reconcile: %s", answer.status_code)
                await asyncio.sleep(self._pace.reconcile_every)
        finally:
            for call in list(self._calls):
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            await self._client.aclose()

    def _is_ours(self, url: str) -> bool:
        try:
            httpx.URL(url)
        except httpx.InvalidURL:
            return False
        return url.startswith(f"{self._base_url}/")

    async def _call_until_taken(self, task: Task) -> None:
        delay = self._pace.first_retry
        while not await self._attempt(task):
            if task.attempts >= self._pace.attempts:
                task.status = "failed"
                log.error("task %s given up: %s", task.name, task.last_answer)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._pace.longest_retry)
        task.status = "done"

    async def _attempt(self, task: Task) -> bool:
        async with self._slots:
            headers = {"X-CloudTasks-TaskName": task.name, "X-CloudTasks-TaskRetryCount": str(task.attempts)}
            task.attempts += 1
            try:
                answer = await self._post(task.url, task.body, task.service_account, task.audience, headers)
            except httpx.HTTPError as error:
                task.last_answer = repr(error)
                return False
        task.last_answer = str(answer.status_code)
        if not answer.is_success:
            log.warning("task %s: attempt %d answered %s", task.name, task.attempts, task.last_answer)
        return answer.is_success

    async def _post(
        self, url: str, body: dict[str, Any], service_account: str, audience: str, headers: dict[str, str]
    ) -> httpx.Response:
        token = self.identity(service_account, audience)
        return await self._client.post(
            url, json=body, headers={**headers, "Authorization": f"Bearer {token}"}
        )


class TaskRefusedError(Exception):
    """A task was not taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def create_app(dispatcher: Dispatcher) -> Starlette:
    """The dispatcher over HTTP, to be mounted under `/sandbox/tasks`.

    `POST /queue` a task → 201 `{name}` (400, 409, 413, 429 `{error}`); `GET /certs` → JWK set;
    `POST /reconcile` calls reconcile now → `{status, body}` (503 `{error}` without an answer);
    `GET /computeMetadata/…/identity?audience=` → an identity token, as Google's metadata server gives it to a function.
    """

    async def queue(request: Request) -> Response:
        raw = await request.body()
        if len(raw) > _MAX_BODY_BYTES:
            return JSONResponse({"error": "a task is at most 100 KiB"}, 413)
        try:
            task = dispatcher.enqueue(json.loads(raw))
        except ValueError:
            return JSONResponse({"error": "not JSON"}, 400)
        except TaskRefusedError as refusal:
            return JSONResponse({"error": str(refusal)}, refusal.status)
        return JSONResponse({"name": task.name}, 201)

    async def certs(request: Request) -> Response:
        return JSONResponse(dispatcher.certs(), headers={"Cache-Control": "public, max-age=300"})

    async def reconcile(request: Request) -> Response:
        try:
            answer = await dispatcher.reconcile()
        except httpx.HTTPError as error:
            return JSONResponse({"error": repr(error)}, 503)
        return JSONResponse({"status": answer.status_code, "body": answer.text})

    return Starlette(
        routes=[
            _metadata(dispatcher),
            Route("/queue", queue, methods=["POST"]),
            Route("/certs", certs, methods=["GET"]),
            Route("/reconcile", reconcile, methods=["POST"]),
        ]
    )


def _metadata(dispatcher: Dispatcher) -> Route:
    """The metadata server's one question that get-playback has."""

    async def identity(request: Request) -> Response:
        # What a page of another site cannot make a browser send: the real server asks for it for the same reason.
        if request.headers.get("metadata-flavor") != "Google":
            return Response("Missing Metadata-Flavor:Google header.", 403)
        audience = request.query_params.get("audience")
        if not audience:
            return Response("non-empty audience parameter required", 400)
        return Response(dispatcher.identity(PLAYBACK, audience), headers={"Metadata-Flavor": "Google"})

    return Route("/computeMetadata/v1/instance/service-accounts/default/identity", identity, methods=["GET"])

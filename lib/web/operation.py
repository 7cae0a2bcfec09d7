"""An operation: one method of one function, described well enough to be served and documented."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from lib.errors import Refusal
from lib.web.ports import Caller, Claims

if TYPE_CHECKING:
    from lib.web.bodies import Body


class Who(Enum):
    """Who may call, and how far the endpoint checks it before the handler runs."""

    ANYONE = "anyone"
    EITHER = "either"  # a stranger, or a user: a token that comes along has to be good
    TOKEN = "token"  # noqa: S105 - a kind of caller; signature only, the handler's own query asks for the login
    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter, for the documentation; handlers read `call.query`.

    Args:
        least, most: bounds of a whole number.
        shortest, longest: how many characters a text has at least, and at most. One that is required has one at least.
        choices: the values there are, where they can be counted.
    """

    name: str
    description: str
    required: bool = False
    kind: str = "string"
    least: int | None = None
    most: int | None = None
    shortest: int | None = None
    longest: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """Facts of one method of one function.

    Args:
        body: the pydantic model of the JSON body; None for no body, or for a raw one (`raw`).
        answers: status -> "module:Model" of the answer, or None for an answer without a body. A string,
            so that serving imports no models.
        signature: the header with the signature of a raw body.
        refusals: the function's own; the common ones follow from `who` and `body`.
        idempotent: honours Idempotency-Key.
    """

    function: str
    method: str
    summary: str
    who: Who
    answers: Mapping[int, str | None]
    body: "type[Body] | None" = None
    raw: str | None = None
    signature: str = ""
    query: tuple[Query, ...] = ()
    refusals: tuple[type[Refusal], ...] = ()
    idempotent: bool = False
    description: str = ""
    tag: str = ""
    path: str = ""


class Headers(Protocol):
    """What came with a request, by name."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(slots=True)
class Call:
    """One request, as a handler sees it.

    `claims` is there from Who.TOKEN on, `caller` from Who.USER on (and for Who.EITHER with a token), `service` for
    Who.SERVICE.
    `attempt` stands for the request and all its repetitions, where it came with an `Idempotency-Key`: an id to name by
    it what must not be made twice.
    What a handler puts into `notes` joins the log line.
    """

    body: Any = None
    raw: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Headers = field(default_factory=dict[str, str])
    address: str = ""
    claims: Claims | None = None
    caller: Caller | None = None
    service: str | None = None
    attempt: uuid.UUID | None = None
    notes: dict[str, object] = field(default_factory=dict)

    def user(self) -> Caller:
        """The caller of a Who.USER or Who.ADMIN operation."""
        if self.caller is None:
            raise TypeError("this operation has no caller")
        return self.caller


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers. `body` becomes JSON; `content` is sent as it is.

    `private` answers carry credentials or signed URLs and are never stored on the way. `tagged` ones have an
    ETag, and are not sent again to who has them.
    """

    status: int
    body: Mapping[str, Any] | None = None
    private: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    tagged: bool = False


Handler = Callable[[Call], Answer]


def as_uuid(text: str) -> uuid.UUID | None:
    """The id, or None: a malformed id is the id of nothing."""
    try:
        return uuid.UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def rfc3339(moment: datetime | None) -> str | None:
    """`2026-11-23T12:00:00Z`, to the second, or None."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None

"""Stripe's SDK as all our adapters use it: bounded, and out of reach in one kind of error."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import stripe

from lib.adapters.bounded_http import bounded_session
from lib.config import StripeSettings
from lib.errors import UnavailableError
from lib.web import log

TIMEOUT_SECONDS = 6
# The SDK repeats connection errors, 409 and 5xx with the same idempotency key.
RETRIES = 1

T = TypeVar("T", bound=stripe.StripeObject)


def connect(settings: StripeSettings, seconds: float = TIMEOUT_SECONDS) -> stripe.StripeClient:
    """A client of one Stripe account.

    Args:
        seconds: how long an answer may take, all of it; it is asked for twice.
    """
    return stripe.StripeClient(
        settings.secret_key,
        http_client=stripe.RequestsClient(timeout=seconds, session=_session(seconds)),
        max_network_retries=RETRIES,
        base_addresses={"api": settings.api_base} if settings.api_base else {},
    )


def _session(seconds: float) -> requests.Session:
    session = bounded_session(seconds)
    session.hooks["response"].append(_refuse_nonsense)
    return session


def _refuse_nonsense(response: requests.Response, *_: Any, **__: Any) -> None:
    """Whoever answers for Stripe and gives none of its objects is not Stripe: a proxy, or a page for humans."""
    content = response.content
    if response.ok and not (content.lstrip()[:1] == b"{" and b'"object"' in content):
        raise requests.ConnectionError("an answer that is none of Stripe's")


@contextmanager
def answered() -> Iterator[None]:
    """Out of reach, busy or slow becomes a refusal; a mistake of ours stays an error."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        raise UnavailableError("The payment provider is out of reach") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # Until an operator sets a key that works. Events wait for that as for any outage; the log names the error.
        raise UnavailableError("The payment provider does not take our key", retry_after=60) from error


def bounded(found: "stripe.ListObject[T]", most: int, what: str) -> Iterator[T]:
    """All entries of a list, page after page; an error in the log where there are more than anybody should have."""
    for number, each in enumerate(found.auto_paging_iter()):
        if number == most:
            log.line("ERROR", "a list at Stripe is longer than is read", {"what": what, "read": most})
            return
        yield each


def once(what: str, attempt: str, wanted: Mapping[str, Any]) -> stripe.RequestOptions:
    """An idempotency key that differs where the request does: Stripe refuses a key for another request."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
    return {"idempotency_key": f"{what}-{attempt}-{digest}"}


def replayed(made: "stripe.StripeObject") -> bool:
    """Whether Stripe had made it before, for the same key, and tells how it was then."""
    answer = made.last_response
    return answer is not None and (answer.headers or {}).get("Idempotent-Replayed") == "true"

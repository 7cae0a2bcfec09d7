"""Stripe's SDK as all our adapters use it: bounded, and out of reach in one kind of error."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import stripe

from lib.config import StripeSettings
from lib.errors import UnavailableError

TIMEOUT_SECONDS = 6
# The SDK repeats connection errors, 409 and 5xx with the same idempotency key.
RETRIES = 1


def connect(settings: StripeSettings, seconds: float = TIMEOUT_SECONDS) -> stripe.StripeClient:
    """A client of one Stripe account.

    Args:
        seconds: how long each wait for an answer may take; it is asked for twice.
    """
    return stripe.StripeClient(
        settings.secret_key,
        http_client=stripe.RequestsClient(timeout=seconds),
        max_network_retries=RETRIES,
        base_addresses={"api": settings.api_base} if settings.api_base else {},
    )


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


def once(what: str, attempt: str, wanted: Mapping[str, Any]) -> stripe.RequestOptions:
    """An idempotency key that differs where the request does: Stripe refuses a key for another request."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
    return {"idempotency_key": f"{what}-{attempt}-{digest}"}


def replayed(made: "stripe.StripeObject") -> bool:
    """Whether Stripe had made it before, for the same key, and tells how it was then."""
    answer = made.last_response
    return answer is not None and (answer.headers or {}).get("Idempotent-Replayed") == "true"

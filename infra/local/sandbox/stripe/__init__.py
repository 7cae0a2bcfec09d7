"""A strict, stateful stand-in for Stripe's API, its checkout page, its portal and its webhooks.

``create_app`` is mounted at ``/sandbox/stripe``. The real library speaks to it:
``StripeClient(key, base_addresses={"api": base_url + "/sandbox/stripe"})``.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.routing import Route

from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.state import State
from infra.local.sandbox.stripe import account_setup, catalog, lifecycle
from infra.local.sandbox.stripe.api import Api
from infra.local.sandbox.stripe.book import Book
from infra.local.sandbox.stripe.idempotency import Answers
from infra.local.sandbox.stripe.site import Site
from infra.local.sandbox.stripe.weather import Weather
from infra.local.settings import DEFAULT_PLANS

log = logging.getLogger(__name__)


class Settings(Protocol):
    """What the stand-in needs to know of the installation."""

    @property
    def base_url(self) -> str:
        """Where everything is reached, without a trailing slash."""

    @property
    def stripe_secret_key(self) -> str:
        """The one API key."""

    @property
    def stripe_webhook_secret(self) -> str:
        """What webhooks are signed with."""


def create_app(
    state: State,
    deliveries: Deliveries,
    settings: Settings,
    plans: Sequence[Mapping[str, Any]] = DEFAULT_PLANS,
) -> Starlette:
    """The application, to be mounted at ``/sandbox/stripe``.

    Args:
        state: Where everything is kept.
        deliveries: Takes the webhooks; whoever owns it runs it. The channel is registered here.
        settings: Keys and the public address.
        plans: The setting ``PLANS``; a product and a price is there for each from the start.
    """
    base = f"{settings.base_url}/sandbox/stripe"
    weather = Weather()
    book = Book(state, deliveries, weather.deliveries)
    with book.transaction():
        catalog.seed(book, plans)
        account_setup.seed(
            book, deliveries, f"{settings.base_url}/stripe-webhook", settings.stripe_webhook_secret
        )
    site = Site(book, deliveries, weather)
    api = Api(book, Answers(state), settings.stripe_secret_key, base, weather)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        clockwork = asyncio.create_task(_clockwork(book))
        yield
        clockwork.cancel()
        await asyncio.wait([clockwork])

    return Starlette(
        routes=[
            Route("/v1/{path:path}", api.handle, methods=["GET", "POST", "DELETE", "PUT", "PATCH"]),
            Route("/pay/{id}", site.pay, methods=["GET", "POST"]),
            Route("/portal/{id}", site.portal, methods=["GET", "POST"]),
            Route("/control", site.control, methods=["POST"]),
            Route("/deliveries", site.deliveries, methods=["GET"]),
            Route("/deliveries/{id}/redeliver", site.redeliver, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


async def _clockwork(book: Book) -> None:
    """Let happen what falls due, within a second: sessions expire, subscriptions renew."""
    seen, due = -1, None
    while True:
        try:
            if book.changes != seen or (due is not None and due <= book.now()):
                with book.transaction():
                    due = lifecycle.catch_up(book, book.now())
                seen = book.changes
        except Exception:
            log.exception("what fell due could not be done")
        await asyncio.sleep(1)

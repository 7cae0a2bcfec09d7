"""The one sync that all ways lead to."""

import uuid

from sqlalchemy import Connection

from lib.billing import grants, store
from lib.billing.entitlement import KNOWN_STATUSES, LIVE_STATUSES, of_purchase, of_subscription
from lib.billing.ports import CheckoutSession, Customer, CustomerGoneError, Payments
from lib.config import AccessSettings, Plan
from lib.errors import UnavailableError
from lib.web import log
from lib.web.ports import Clock


class Sync:
    """Makes our rows say what the payment provider says.

    Webhooks, the return from checkout and reconcile all call this. The account's row is locked first and
    the truth fetched after, so that of two syncs the later one writes the later truth; the order in which
    events arrive means nothing.
    """

    def __init__(
        self, payments: Payments, plans: tuple[Plan, ...], settings: AccessSettings, clock: Clock
    ) -> None:
        self._payments = payments
        self._by_key: dict[str | None, Plan] = {plan.lookup_key: plan for plan in plans}
        self._by_code = {plan.code: plan for plan in plans}
        self._settings = settings
        self._clock = clock

    def account(self, tx: Connection, user_id: uuid.UUID, *, actor: str) -> None:
        """Fetch and write, inside the caller's transaction.

        Raises:
            UnavailableError: the provider is out of reach, or never knew the customer, as with a key of
                another account; nothing is written then.
        """
        row = store.lock_account(tx, user_id)
        if row.stripe_customer_id is None:
            return
        # The page first, the subscriptions after: a payment in between is then seen, and a page that is
        # closed here as paid has its subscription in what follows.
        waiting = store.open_checkout(tx, user_id)
        if waiting is not None:
            self._settle(tx, self._payments.checkout(waiting.stripe_session_id))
        try:
            customer = self._payments.customer(row.stripe_customer_id, films=store.films_bought(tx, user_id))
        except CustomerGoneError as error:
            log.line(
                "ERROR",
                "the provider does not know a customer of ours: is the key another account's?",
                {"user_id": user_id},
            )
            raise UnavailableError("The payment provider does not know this customer") from error
        for subscription in customer.subscriptions:
            if subscription.status not in KNOWN_STATUSES:
                log.line(
                    "ERROR",
                    "unknown subscription status gives no access",
                    {"user_id": user_id, "subscription": subscription.id, "status": subscription.status},
                )
        self._write(tx, user_id, customer, actor)

    def _write(self, tx: Connection, user_id: uuid.UUID, customer: Customer, actor: str) -> None:
        plans, now = self._plans_of(tx, user_id, customer), self._clock.now()
        codes = {id_: plan.code if plan else None for id_, plan in plans.items()}
        store.replace_subscriptions(
            tx, user_id, [(found, codes[found.id]) for found in customer.subscriptions]
        )
        bought = [
            of_subscription(found, plans[found.id], self._settings, now) for found in customer.subscriptions
        ]
        grants.keep(tx, user_id, bought, cause=actor)
        # A subscription that is not listed any more is over, as above.
        listed = {found.id for found in customer.subscriptions}
        grants.withhold(tx, user_id, "subscription", "canceled", except_for=listed, cause=actor)
        films = [of_purchase(found, self._settings, now) for found in customer.films]
        grants.keep(tx, user_id, films, cause=actor)
        if customer.deleted:
            grants.withhold(tx, user_id, "purchase", "canceled", except_for=(), cause=actor)
        store.keep_synced(tx, user_id, deleted=customer.deleted)
        grants.recompute(tx, user_id, self._clock, actor=actor)

    def _plans_of(self, tx: Connection, user_id: uuid.UUID, customer: Customer) -> dict[str, Plan | None]:
        """subscription id -> the plan it pays for.

        By the price's lookup key; for a price that lost its key to a newer one, what it sold before. While
        a payment is overdue the plan stays the one that was paid for last: nobody moves up unpaid.
        """
        found = customer.subscriptions
        keyed = {
            item.price_id: self._by_key[item.lookup_key] for item in found if item.lookup_key in self._by_key
        }
        store.remember_prices(tx, {price_id: plan.code for price_id, plan in keyed.items()})
        before = store.plans_sold_by(tx, {item.price_id for item in found})
        paid = {row.stripe_id: row.plan for row in store.subscriptions_of(tx, user_id)}
        plans: dict[str, Plan | None] = {}
        for item in found:
            code = keyed[item.price_id].code if item.price_id in keyed else before.get(item.price_id)
            if item.status == "past_due":
                code = paid.get(item.id) or code
            plans[item.id] = self._by_code.get(code) if code else None
            if plans[item.id] is None and item.status in LIVE_STATUSES:
                log.line(
                    "ERROR",
                    "a subscription's price belongs to no plan",
                    {"user_id": user_id, "subscription": item.id, "price": item.price_id},
                )
        return plans

    @staticmethod
    def _settle(tx: Connection, session: CheckoutSession) -> None:
        if session.state != "open":
            store.close_checkout(tx, session.id, session.state)

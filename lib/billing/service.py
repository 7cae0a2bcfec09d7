"""Rules of billing: one sync that all ways lead to, and checkouts that cannot be doubled."""

import uuid
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import entitlement, store
from lib.billing.entitlement import KNOWN_STATUSES, LIVE_STATUSES
from lib.billing.membership import AccountMembership
from lib.billing.ports import CheckoutSession, Customer, CustomerGoneError, Payments
from lib.config import AccessSettings, Plan
from lib.database.engine import Database
from lib.errors import (
    AlreadySubscribedError,
    NoCustomerError,
    NotFoundError,
    UnavailableError,
    UnknownPlanError,
)
from lib.web import log
from lib.web.operation import rfc3339
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
            customer = self._payments.customer(row.stripe_customer_id)
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
        plans = self._plans_of(tx, user_id, customer)
        codes = {id_: plan.code if plan else None for id_, plan in plans.items()}
        store.replace_subscriptions(
            tx, user_id, [(found, codes[found.id]) for found in customer.subscriptions]
        )
        given = entitlement.of_customer(
            customer, lambda found: plans[found.id], self._settings, self._clock.now()
        )
        if store.keep_entitlement(tx, user_id, given, deleted=customer.deleted):
            detail = {
                "plan": given.plan,
                "level": given.level,
                "reason": given.reason,
                "until": rfc3339(given.until),
            }
            store.record(tx, "entitlement_changed", user_id, actor, detail)

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


class Checkouts:
    """Sells plans."""

    def __init__(
        self,
        database: Database,
        payments: Payments,
        sync: Sync,
        plans: tuple[Plan, ...],
        clock: Clock,
    ) -> None:
        self._database = database
        self._payments = payments
        self._sync = sync
        self._plans = {plan.code: plan for plan in plans if plan.sold}
        self._clock = clock

    def open(
        self, user_id: uuid.UUID, *, plan_code: str, promotion_code: str | None
    ) -> tuple[CheckoutSession, bool]:
        """A page to pay on, and whether it is new.

        The account's row stays locked throughout: a double click waits and finds the first one's page.
        Every call to the provider carries a key made from what is committed, so that after a crash the
        same request finds what the lost one made.

        Raises:
            UnknownPlanError: not one of PLANS.
            AlreadySubscribedError: paying again would charge twice.
            InvalidPromotionCodeError: the provider does not take the code.
            UnavailableError: the provider is out of reach, or a payment is under way right now.
        """
        plan = self._plans.get(plan_code)
        if plan is None:
            raise UnknownPlanError
        with self._database.transaction(slow=True) as tx:
            account = store.lock_account(tx, user_id)
            subscribed = self._is_subscribed(tx, user_id)
            if subscribed and not self._is_entitled(tx, user_id):
                # Our rows say subscribed but not paid. Perhaps the news of its end was lost.
                self._sync.account(tx, user_id, actor="create-checkout")
                subscribed = self._is_subscribed(tx, user_id)
            waiting = None if subscribed else store.open_checkout(tx, user_id)
            if waiting is not None:
                session = self._payments.checkout(waiting.stripe_session_id)
                if session.state == "open":
                    if (waiting.plan, waiting.promotion_code) == (plan_code, promotion_code):
                        return session, False
                    session = self._payments.expire_checkout(session.id)
                if session.state == "open":
                    raise UnavailableError("A payment is under way on the page opened before", retry_after=10)
                store.close_checkout(tx, session.id, session.state)
                if session.state == "complete":
                    # Paid, and the news is still on its way.
                    self._sync.account(tx, user_id, actor="create-checkout")
                    subscribed = self._is_subscribed(tx, user_id)
            if not subscribed:
                return self._open(tx, user_id, account, plan, promotion_code), True
        # Raised after the commit: what the sync found stays.
        raise AlreadySubscribedError

    def _open(
        self,
        tx: Connection,
        user_id: uuid.UUID,
        account: Row[Any],
        plan: Plan,
        promotion_code: str | None,
    ) -> CheckoutSession:
        number = store.checkouts_opened(tx, user_id)
        first = not store.subscriptions_of(tx, user_id)

        def page(customer_id: str) -> CheckoutSession:
            return self._payments.open_checkout(
                customer_id=customer_id,
                user_id=user_id,
                plan=plan,
                trial_days=plan.trial_days if first else 0,
                promotion_code=promotion_code,
                attempt=f"{user_id}-{number}",
            )

        known = None if account.customer_deleted else account.stripe_customer_id
        try:
            session = page(known or self._new_customer(tx, user_id, f"{user_id}-{number}"))
        except CustomerGoneError:
            # Deleted at the provider, and nobody told us yet.
            session = page(self._new_customer(tx, user_id, f"{user_id}-{number}-anew"))
        store.add_checkout(tx, user_id, plan=plan.code, promotion_code=promotion_code, session=session)
        store.record(
            tx, "checkout_opened", user_id, f"user:{user_id}", {"plan": plan.code, "session": session.id}
        )
        return session

    def _new_customer(self, tx: Connection, user_id: uuid.UUID, attempt: str) -> str:
        customer_id = self._payments.create_customer(
            user_id=user_id, email=store.email_of(tx, user_id), attempt=attempt
        )
        store.keep_customer(tx, user_id, customer_id)
        return customer_id

    @staticmethod
    def _is_subscribed(tx: Connection, user_id: uuid.UUID) -> bool:
        """Whether a subscription of a plan of ours lives; one of an unknown price opens nothing."""
        return any(row.status in LIVE_STATUSES and row.plan for row in store.subscriptions_of(tx, user_id))

    def _is_entitled(self, tx: Connection, user_id: uuid.UUID) -> bool:
        row = store.entitlement_of(tx, user_id)
        return row is not None and row.until is not None and row.until > self._clock.now()


class Confirmations:
    """For somebody back from the page, who should not have to wait for a webhook."""

    def __init__(self, database: Database, sync: Sync, membership: AccountMembership) -> None:
        self._database = database
        self._sync = sync
        self._membership = membership

    def confirm(
        self, user_id: uuid.UUID, role: str, session_id: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Sync the account at once; subscription and entitlement.

        Raises:
            NotFoundError: not a checkout of this user.
            UnavailableError: the provider is out of reach.
        """
        with self._database.transaction(slow=True) as tx:
            if not store.owns_checkout(tx, user_id, session_id):
                raise NotFoundError("There is no such checkout")
            self._sync.account(tx, user_id, actor="confirm-checkout")
            return self._membership.of(tx, user_id, role)


class Portal:
    """The provider's own page for changing cards, plans and minds."""

    def __init__(self, database: Database, payments: Payments) -> None:
        self._database = database
        self._payments = payments

    def open(self, user_id: uuid.UUID) -> str:
        """Its address, good for a visit.

        Raises:
            NoCustomerError: nothing was ever bought, so there is nothing to manage.
            UnavailableError: the provider is out of reach.
        """
        with self._database.transaction() as tx:
            customer_id = store.customer_of(tx, user_id)
        if customer_id is None:
            raise NoCustomerError
        try:
            return self._payments.open_portal(customer_id)
        except CustomerGoneError:
            raise NoCustomerError from None

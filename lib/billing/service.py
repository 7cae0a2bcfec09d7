"""Rules of billing: checkouts that cannot be doubled, the way back from them, and the portal."""

import uuid
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import store
from lib.billing.entitlement import LIVE_STATUSES
from lib.billing.membership import AccountMembership
from lib.billing.ports import CheckoutSession, CustomerGoneError, Payments
from lib.billing.sync import Sync
from lib.config import Plan
from lib.database.engine import Database
from lib.errors import (
    AlreadySubscribedError,
    NoCustomerError,
    NotFoundError,
    UnavailableError,
    UnknownPlanError,
)
from lib.web.ports import Clock


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

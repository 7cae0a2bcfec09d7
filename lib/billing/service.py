"""Rules of billing: checkouts that cannot be doubled, the way back from them, and the portal."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import grants, store
from lib.billing.entitlement import LIVE_STATUSES
from lib.billing.membership import AccountMembership
from lib.billing.ports import CheckoutSession, CustomerGoneError, Film, Payments
from lib.billing.sync import Sync
from lib.config import Plan
from lib.database.engine import Database
from lib.errors import (
    AlreadyBoughtError,
    AlreadySubscribedError,
    NoCustomerError,
    NotForSaleError,
    NotFoundError,
    UnavailableError,
    UnknownPlanError,
    VideoNotFoundError,
    VideoNotReadyError,
)
from lib.web.ports import Clock


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks a page for. `level` is that of the plans that open a film."""

    thing: Plan | Film
    promotion_code: str | None
    level: int = 0

    @property
    def plan_code(self) -> str | None:
        return self.thing.code if isinstance(self.thing, Plan) else None

    @property
    def video_id(self) -> uuid.UUID | None:
        return self.thing.id if isinstance(self.thing, Film) else None

    def is_of(self, page: Row[Any]) -> bool:
        """Whether a page that was opened before is the one wished for."""
        wished = (self.plan_code, self.video_id, self.promotion_code)
        return wished == (page.plan, page.video_id, page.promotion_code)


class _NoCustomerYetError(Exception):
    """A customer has to be made first."""


class Checkouts:
    """Sells plans, and films by themselves."""

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
        self, user_id: uuid.UUID, *, plan_code: str, promotion_code: str | None, address: str = ""
    ) -> tuple[CheckoutSession, bool]:
        """A page to pay for a plan on, and whether it is new.

        Args:
            address: from where it is asked for, for the audit log.

        Raises:
            UnknownPlanError: not one of PLANS.
            AlreadySubscribedError: paying again would charge twice.
            InvalidPromotionCodeError: the provider does not take the code.
            UnavailableError: the provider is out of reach, or a payment is under way right now.
        """
        plan = self._plans.get(plan_code)
        if plan is None:
            raise UnknownPlanError
        page = self._sold(user_id, lambda _: Wish(plan, promotion_code), address)
        # Raised after the commit: what a sync found stays.
        if page is None:
            raise AlreadySubscribedError
        return page

    def open_film(
        self, user_id: uuid.UUID, *, video_id: uuid.UUID | None, promotion_code: str | None, address: str = ""
    ) -> tuple[CheckoutSession, bool]:
        """A page to pay for one film on, and whether it is new.

        Args:
            video_id: None where what was asked for is no UUID, hence no video.

        Raises:
            VideoNotFoundError: there is none that viewers can see.
            VideoNotReadyError: it cannot be watched yet, so it is not sold yet.
            NotForSaleError: it is not sold by itself.
            AlreadySubscribedError: the account's plan opens it.
            AlreadyBoughtError: it was bought, or rented and can still be watched.
            InvalidPromotionCodeError, UnavailableError: as `open`.
        """

        def wish(tx: Connection) -> Wish:
            row = store.find_video(tx, video_id) if video_id else None
            if row is None or row.status == "removed" or not row.published:
                raise VideoNotFoundError
            if row.status != "ready":
                raise VideoNotReadyError
            if row.price_amount is None or row.level == 0:
                raise NotForSaleError
            film = Film(row.id, row.title, row.price_amount, row.price_currency, row.rental_hours)
            return Wish(film, promotion_code, row.level)

        page = self._sold(user_id, wish, address)
        if page is None:
            with self._database.transaction() as tx:
                by_plan = self._level(tx, user_id) >= wish(tx).level
            raise (
                AlreadySubscribedError("The account's plan opens this film")
                if by_plan
                else AlreadyBoughtError
            )
        return page

    def _sold(
        self, user_id: uuid.UUID, wish: Callable[[Connection], Wish], address: str
    ) -> tuple[CheckoutSession, bool] | None:
        """As `_page`, in a transaction of its own; in two where a customer has to be made first.

        That one is about to be made is committed before it is: should the answer be lost with the process, the
        account's next page or its deletion looks for the customer.
        """
        begun = False
        while True:
            with self._database.transaction(slow=True) as tx:
                try:
                    return self._page(tx, user_id, wish(tx), address, begun=begun)
                except _NoCustomerYetError:
                    if begun:
                        raise UnavailableError("The customer is gone as soon as it is made") from None
                    store.begin_customer(tx, user_id)
                    begun = True

    def _page(
        self, tx: Connection, user_id: uuid.UUID, wish: Wish, address: str, *, begun: bool
    ) -> tuple[CheckoutSession, bool] | None:
        """The page and whether it is new; None for somebody who has what they wish for.

        The account's row stays locked throughout: a double click waits and finds the first one's page.
        Every call to the provider carries a key made from what is committed, so that after a crash the
        same request finds what the lost one made.

        Args:
            begun: it is committed that a customer is about to be made.

        Raises:
            _NoCustomerYetError: one has to be made, and it is not.
        """
        account = store.lock_account(tx, user_id)
        has = self._has(tx, user_id, wish)
        if has and wish.plan_code and not self._level(tx, user_id):
            # Our rows say subscribed but not paid. Perhaps the news of its end was lost.
            self._sync.account(tx, user_id, actor="create-checkout")
            has = self._has(tx, user_id, wish)
        waiting = None if has else store.open_checkout(tx, user_id)
        if waiting is not None:
            session = self._payments.checkout(waiting.stripe_session_id)
            if session.state == "open":
                # A price that changed meanwhile is not the one that was shown beside the button.
                if wish.is_of(waiting) and session.offer == self._payments.offer(wish.thing):
                    return session, False
                session = self._payments.expire_checkout(session.id)
            if session.state == "open":
                raise UnavailableError("A payment is under way on the page opened before", retry_after=10)
            store.close_checkout(tx, session.id, session.state)
            if session.state == "complete":
                # Paid, and the news is still on its way.
                self._sync.account(tx, user_id, actor="create-checkout")
                has = self._has(tx, user_id, wish)
        if has:
            return None
        customer_id = self._customer(tx, user_id, account, begun=begun)
        return self._open(tx, user_id, customer_id, wish, address), True

    def _customer(self, tx: Connection, user_id: uuid.UUID, account: Row[Any], *, begun: bool) -> str:
        """The account's customer, made if there is none.

        Raises:
            _NoCustomerYetError: it has to be made, and that is not written down yet.
        """
        if account.stripe_customer_id is not None and not account.customer_deleted:
            return str(account.stripe_customer_id)
        if begun:
            customer_id = self._payments.create_customer(
                user_id=user_id, email=store.email_of(tx, user_id), attempt=str(account.customer_attempt)
            )
        else:
            # Begun before, and never heard of again.
            lost = account.customer_begun_at and self._payments.find_customers(
                user_id, begun_at=account.customer_begun_at
            )
            if not lost:
                raise _NoCustomerYetError
            customer_id = lost[0]
        store.keep_customer(tx, user_id, customer_id)
        return customer_id

    def _open(
        self, tx: Connection, user_id: uuid.UUID, customer_id: str, wish: Wish, address: str
    ) -> CheckoutSession:
        attempt = f"{user_id}-{store.checkouts_opened(tx, user_id)}"
        try:
            session = self._ask(tx, user_id, customer_id, wish, attempt)
        except CustomerGoneError:
            # Deleted at the provider, and nobody told us yet; what it paid for goes too. A customer that was never
            # known there is refused: with another account's key everybody would get a new one.
            self._sync.account(tx, user_id, actor="create-checkout")
            raise _NoCustomerYetError from None
        store.add_checkout(
            tx,
            user_id,
            plan=wish.plan_code,
            video_id=wish.video_id,
            promotion_code=wish.promotion_code,
            session=session,
        )
        sold = {"plan": wish.plan_code} if wish.plan_code else {"video_id": str(wish.video_id)}
        detail = sold | {"session": session.id}
        store.record(tx, "checkout_opened", user_id, f"user:{user_id}", detail, address=address)
        return session

    def _ask(
        self, tx: Connection, user_id: uuid.UUID, customer_id: str, wish: Wish, attempt: str
    ) -> CheckoutSession:
        thing = wish.thing
        if isinstance(thing, Film):
            return self._payments.open_film_checkout(
                customer_id=customer_id,
                user_id=user_id,
                film=thing,
                promotion_code=wish.promotion_code,
                attempt=attempt,
            )
        first = not store.subscriptions_of(tx, user_id)
        return self._payments.open_checkout(
            customer_id=customer_id,
            user_id=user_id,
            plan=thing,
            trial_days=thing.trial_days if first else 0,
            promotion_code=wish.promotion_code,
            attempt=attempt,
        )

    def _has(self, tx: Connection, user_id: uuid.UUID, wish: Wish) -> bool:
        """Whether paying for it would be paying twice."""
        if wish.video_id is None:
            # A subscription of a plan of ours that lives; one of an unknown price opens nothing.
            return any(
                row.status in LIVE_STATUSES and row.plan for row in store.subscriptions_of(tx, user_id)
            )
        if self._level(tx, user_id) >= wish.level:
            return True
        now = self._clock.now()
        held = [grant for grant in grants.of_account(tx, user_id) if grant.holds(now)]
        return any(
            grant.level >= wish.level if grant.video_id is None else grant.video_id == wish.video_id
            for grant in held
        )

    def _level(self, tx: Connection, user_id: uuid.UUID) -> int:
        row = store.entitlement_of(tx, user_id)
        return row.level if row is not None and row.until is not None and row.until > self._clock.now() else 0


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

"""A payment provider that keeps state in memory, as `Payments`."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lib.billing.ports import (
    CheckoutSession,
    Customer,
    CustomerGoneError,
    Film,
    FilmPurchase,
    PaidSubscription,
)
from lib.config import Plan
from lib.errors import InvalidPromotionCodeError, UnavailableError


class FakePayments:
    """Answers as Stripe does, without a network.

    `down` makes every call fail; `calls` lists the calls made, for tests that count them; `customers` are
    those made, by attempt.
    """

    def __init__(self) -> None:
        self.down = False
        self.calls: list[str] = []
        self.promotion_codes = {"WELCOME10"}
        self.paying: set[str] = set()
        """Pages whose payment is under way: they cannot be expired."""
        self._ids = itertools.count(1)
        self.customers: dict[str, str] = {}
        self.owners: dict[uuid.UUID, str] = {}
        """Whose user id stands in which customer, and in what it bought."""
        self._made: dict[str, tuple[uuid.UUID, datetime]] = {}
        self._deleted: set[str] = set()
        self._attempts: dict[str, str] = {}
        self._sessions: dict[str, CheckoutSession] = {}
        self._sold: dict[str, tuple[str, tuple[Plan, int] | Film]] = {}
        self.refunded: dict[str, datetime] = {}
        """Subscription that was ended from here -> from when on its money was given back."""
        self._subscriptions: dict[str, list[PaidSubscription]] = {}
        self._payers: dict[str, str] = {}
        self.prices: dict[str, str] = {}
        """Lookup key -> the price that has it, where it is not the first."""
        self._films: dict[str, list[FilmPurchase]] = {}

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        self._call("create_customer")
        key = attempt
        while self.customers.get(key) in self._deleted:
            key = f"{attempt}-{self.customers[key]}"
        made = self.customers.setdefault(key, f"cus_{uuid.uuid4().hex}")
        self.owners[user_id] = made
        self._made.setdefault(made, (user_id, datetime.now(UTC)))
        return made

    def find_customers(self, user_id: uuid.UUID, *, begun_at: datetime) -> tuple[str, ...]:
        self._call("find_customers")
        found = [
            customer_id
            for customer_id, (owner, at) in self._made.items()
            if owner == user_id and customer_id not in self._deleted
            if timedelta(minutes=-1) <= at - begun_at <= timedelta(minutes=10)
        ]
        return tuple(reversed(found))

    def open_checkout(
        self,
        *,
        customer_id: str,
        user_id: uuid.UUID,
        plan: Plan,
        trial_days: int,
        promotion_code: str | None,
        attempt: str,
    ) -> CheckoutSession:
        self._call("open_checkout")
        return self._open(customer_id, (plan, trial_days), promotion_code, attempt)

    def _open(
        self, customer_id: str, sold: tuple[Plan, int] | Film, promotion_code: str | None, attempt: str
    ) -> CheckoutSession:
        self._refuse_gone(customer_id)
        if promotion_code is not None and promotion_code not in self.promotion_codes:
            raise InvalidPromotionCodeError
        first = attempt
        while attempt in self._attempts and self._sessions[self._attempts[attempt]].state != "open":
            attempt = f"{first}-{self._attempts[attempt]}"
        if attempt not in self._attempts:
            session_id = f"cs_{next(self._ids)}_{uuid.uuid4().hex}"
            self._attempts[attempt] = session_id
            self._sold[session_id] = (customer_id, sold)
            self._sessions[session_id] = CheckoutSession(
                session_id,
                "open",
                f"https://pay.invalid/{session_id}",
                _now() + timedelta(hours=24),
                self._offer(sold if isinstance(sold, Film) else sold[0]),
            )
        return self._sessions[self._attempts[attempt]]

    def open_film_checkout(
        self,
        *,
        customer_id: str,
        user_id: uuid.UUID,
        film: Film,
        promotion_code: str | None,
        attempt: str,
    ) -> CheckoutSession:
        self._call("open_film_checkout")
        return self._open(customer_id, film, promotion_code, attempt)

    def offer(self, wanted: Plan | Film) -> str:
        self._call("offer")
        return self._offer(wanted)

    def _offer(self, wanted: Plan | Film) -> str:
        if isinstance(wanted, Film):
            return f"{wanted.amount} {wanted.currency} {wanted.rental_hours}"
        return self.prices.get(wanted.lookup_key, f"price_{wanted.code}")

    def end_subscription(self, subscription_id: str, why: str, *, refund_from: datetime | None) -> int:
        self._call("end_subscription")
        for found in self._subscriptions.values():
            for number, item in enumerate(found):
                if item.id == subscription_id and item.status != "canceled":
                    found[number] = replace(
                        item, status="canceled", payment_missed_at=None, ended_because=why
                    )
                    if refund_from is not None:
                        self.refunded[subscription_id] = refund_from
        return 0

    def checkout(self, session_id: str) -> CheckoutSession:
        self._call("checkout")
        if session_id not in self._sessions:
            return CheckoutSession(session_id, "expired", None, _now())
        return self._sessions[session_id]

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        self._call("expire_checkout")
        if self._sessions[session_id].state == "open" and session_id not in self.paying:
            self._close(session_id, "expired")
        return self._sessions[session_id]

    def open_checkouts(self, customer_id: str) -> tuple[str, ...]:
        self._call("open_checkouts")
        return tuple(
            session.id
            for session in self._sessions.values()
            if session.state == "open" and self._sold[session.id][0] == customer_id
        )

    def delete_customer(self, customer_id: str) -> None:
        self._call("delete_customer")
        if customer_id not in self.customers.values():
            raise CustomerGoneError(customer_id)
        self.delete(customer_id)

    def open_portal(self, customer_id: str) -> str:
        self._call("open_portal")
        self._refuse_gone(customer_id)
        return f"https://portal.invalid/{next(self._ids)}/{customer_id}"

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        self._call("customer")
        if customer_id in self._deleted:
            return Customer(deleted=True, subscriptions=())
        if customer_id not in self.customers.values():
            raise CustomerGoneError(customer_id)
        found = sorted(
            self._subscriptions.get(customer_id, []), key=lambda item: item.created_at, reverse=True
        )
        bought = self._films.get(customer_id, []) if films else []
        return Customer(deleted=False, subscriptions=tuple(found), films=tuple(reversed(bought)))

    def customer_of(self, kind: str, object_id: str) -> str | None:
        self._call("customer_of")
        if kind == "checkout":
            return self._sold[object_id][0] if object_id in self._sold else None
        if kind == "subscription":
            return next(
                (
                    customer_id
                    for customer_id, found in self._subscriptions.items()
                    if object_id in {item.id for item in found}
                ),
                None,
            )
        return self._payers.get(object_id)

    def _refuse_gone(self, customer_id: str) -> None:
        if customer_id in self._deleted or customer_id not in self.customers.values():
            raise CustomerGoneError(customer_id)

    # -- what a customer or a bank would do -----------------------------------------------------------

    def asked_to_pay(self, session_id: str) -> str:
        """Whom the page asks to pay."""
        return self._sold[session_id][0]

    def sells_film(self, session_id: str) -> bool:
        return isinstance(self._sold[session_id][1], Film)

    def warn_of_fraud(self, customer_id: str) -> str:
        """The bank takes a payment of the customer's for fraud; the warning's id."""
        warning_id = f"issfr_{next(self._ids)}_{uuid.uuid4().hex}"
        self._payers[warning_id] = customer_id
        return warning_id

    def pay(self, session_id: str, card: str = "4242424242424242") -> PaidSubscription:
        """The customer pays on the page."""
        customer_id, sold = self._sold[session_id]
        assert isinstance(sold, tuple)
        plan, trial_days = sold
        self._close(session_id, "complete")
        trial_end = _now() + timedelta(days=trial_days) if trial_days else None
        return self.subscribe(
            customer_id,
            plan,
            status="trialing" if trial_days else "active",
            trial_end=trial_end,
            current_period_end=trial_end or _now() + timedelta(days=30),
            trial_card=card if trial_days else None,
        )

    def pay_film(self, session_id: str) -> FilmPurchase:
        """The customer pays for a film on the page."""
        customer_id, film = self._sold[session_id]
        assert isinstance(film, Film)
        self._close(session_id, "complete")
        bought = FilmPurchase(session_id, film.id, film.rental_hours, _now())
        self._films.setdefault(customer_id, []).append(bought)
        return bought

    def take_back_film(self, session_id: str, how: str) -> None:
        """The money for a film is `refunded` or `disputed`."""
        for found in self._films.values():
            for number, item in enumerate(found):
                if item.id == session_id:
                    found[number] = replace(item, taken_back=how)

    def subscribe(self, customer_id: str, plan: Plan, **facts: object) -> PaidSubscription:
        """A subscription, with whatever facts the test is about."""
        number = next(self._ids)
        subscription = PaidSubscription(
            id=f"sub_{number}_{uuid.uuid4().hex}",
            status="active",
            price_id=self._offer(plan),
            lookup_key=plan.lookup_key,
            current_period_end=_now() + timedelta(days=30),
            cancel_at_period_end=False,
            cancel_at=None,
            trial_end=None,
            paused=False,
            payment_missed_at=None,
            created_at=_now() + timedelta(seconds=number),
        )
        subscription = replace(subscription, **facts)  # type: ignore[arg-type]
        self._subscriptions.setdefault(customer_id, []).append(subscription)
        return subscription

    def all_subscriptions(self) -> list[tuple[str, PaidSubscription]]:
        """Every subscription, each with its customer."""
        return [(customer, item) for customer, items in self._subscriptions.items() for item in items]

    def change(self, customer_id: str, **facts: object) -> None:
        """Changes the newest subscription."""
        found = self._subscriptions[customer_id]
        found[-1] = replace(found[-1], **facts)  # type: ignore[arg-type]

    def forget(self, customer_id: str) -> None:
        """Its subscriptions are not there any more, and never were."""
        self._subscriptions[customer_id] = []

    def take_back(self, customer_id: str, how: str) -> str:
        """The money of the newest subscription is `refunded` or `disputed`; the refund's or dispute's id."""
        self.change(customer_id, taken_back=how)
        taken_id = f"{how}_{next(self._ids)}_{uuid.uuid4().hex}"
        self._payers[taken_id] = customer_id
        return taken_id

    def delete(self, customer_id: str) -> None:
        """The customer is deleted: its subscriptions are canceled."""
        self._deleted.add(customer_id)
        found = self._subscriptions.get(customer_id, [])
        self._subscriptions[customer_id] = [replace(item, status="canceled") for item in found]

    def _close(self, session_id: str, state: str) -> None:
        self._sessions[session_id] = replace(self._sessions[session_id], state=state, url=None)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise UnavailableError("The payment provider is out of reach")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)

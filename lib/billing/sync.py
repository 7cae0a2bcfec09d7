"""The one sync that all ways lead to."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from lib.billing import grants, store
from lib.billing.entitlement import KNOWN_STATUSES, LIVE_STATUSES, of_purchase, of_subscription
from lib.billing.ports import CheckoutSession, Customer, CustomerGoneError, PaidSubscription, Payments
from lib.billing.unknown_customer import unknown_customer
from lib.config import AccessSettings, Plan
from lib.web import log
from lib.web.ports import Clock

# Subscription -> why it must not go on, and from when on its money is given back.
_Wrong: TypeAlias = dict[str, tuple[str, datetime | None]]


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

    def account(
        self,
        tx: Connection,
        user_id: uuid.UUID,
        *,
        actor: str,
        films: bool = False,
        dry_run: bool = False,
    ) -> None:
        """Fetch and write, inside the caller's transaction.

        Args:
            films: ask for films that were paid for, whether or not our rows tell of a page for one.
            dry_run: what would be ended at the provider is taken to be ended, and is not. The caller takes back
                what is written.

        Raises:
            UnavailableError: the provider is out of reach, or never knew the customer, as with a key of
                another account; nothing is written then.
        """
        row = store.lock_account(tx, user_id)
        grants.follow_plans(tx, user_id, self._by_code.values(), cause=actor)
        if row.stripe_customer_id is None:
            grants.recompute(tx, user_id, self._clock, actor=actor)
            return
        # The page first, the subscriptions after: a payment in between is then seen, and a page that is
        # closed here as paid has its subscription in what follows.
        waiting = store.open_checkout(tx, user_id)
        if waiting is not None:
            page = self._payments.checkout(waiting.stripe_session_id)
            film = waiting.video_id
            if page.state == "open" and film and not dry_run and store.is_withdrawn(tx, film):
                # Nobody should pay for what is not shown any more.
                page = self._payments.expire_checkout(page.id)
            self._settle(tx, page)
        films = films or store.films_bought(tx, user_id)
        customer = self._fetch(user_id, row.stripe_customer_id, films=films)
        for subscription in customer.subscriptions:
            if subscription.status not in KNOWN_STATUSES:
                log.line(
                    "ERROR",
                    "unknown subscription status gives no access",
                    {"user_id": user_id, "subscription": subscription.id, "status": subscription.status},
                )
        plans = self._plans_of(tx, user_id, customer)
        wrong = self._wrong(tx, customer, plans)
        if wrong and dry_run:
            customer = _without(customer, wrong)
        elif wrong:
            self._end(user_id, wrong)
            # Ended there; what is written is what is said there now.
            customer = self._fetch(user_id, row.stripe_customer_id, films=films)
            plans = self._plans_of(tx, user_id, customer)
        self._write(tx, user_id, customer, plans, actor)

    def _wrong(self, tx: Connection, customer: Customer, plans: dict[str, Plan | None]) -> _Wrong:
        """What must not go on: a trial with a card that had one, a subscription beside a better one."""
        wrong: _Wrong = {}
        for found in customer.subscriptions:
            if found.trial_card and plans[found.id]:
                holder = store.claim_trial_card(tx, found.trial_card, found.id)
                if holder != found.id:
                    # Charging for what was announced as free would be worse: nobody is charged, and a page
                    # opened next sells without a trial.
                    wrong[found.id] = ("trial_used", None)
        paying = [found for found in customer.subscriptions if found.id not in wrong and _renews(found)]
        best = self._best(paying, plans)
        if best is not None:
            level, kept = best
            others = (found for found in paying if found.id != kept.id)
            wrong |= {
                found.id: ("duplicate", kept.created_at)
                for found in others
                # A higher one that is overdue may recover yet, and is the better one then.
                if (plan := plans[found.id]) and not (found.status == "past_due" and plan.level > level)
            }
        return wrong

    def _end(self, user_id: uuid.UUID, wrong: _Wrong) -> None:
        """Ends it at the provider, before the commit. Dying in between does no harm: every step can be repeated,
        and the reason is read back from there.
        """
        for id_, (why, refund_from) in wrong.items():
            refunded = self._payments.end_subscription(id_, why, refund_from=refund_from)
            facts = {"user_id": user_id, "subscription": id_, "because": why, "refunded": refunded}
            log.line("WARNING", "subscription ended by us", facts)

    def _best(
        self, paying: Sequence[PaidSubscription], plans: dict[str, Plan | None]
    ) -> tuple[int, PaidSubscription] | None:
        """What to keep of several, and its level: the highest plan that is paid for, of one level the one bought first.

        None that is overdue, though it may give access still: whether it recovers is not known yet.
        """
        now = self._clock.now()
        given = [
            (grant.level, -found.created_at.timestamp(), found.id, found)
            for found in paying
            if found.status != "past_due"
            and (grant := of_subscription(found, plans[found.id], self._settings, now)).holds(now)
        ]
        if not given:
            return None
        level, _, _, kept = max(given)
        return level, kept

    def _fetch(self, user_id: uuid.UUID, customer_id: str, *, films: bool) -> Customer:
        try:
            return self._payments.customer(customer_id, films=films)
        except CustomerGoneError as error:
            raise unknown_customer(user_id) from error

    def _write(
        self,
        tx: Connection,
        user_id: uuid.UUID,
        customer: Customer,
        plans: dict[str, Plan | None],
        actor: str,
    ) -> None:
        now = self._clock.now()
        codes = {id_: plan.code if plan else None for id_, plan in plans.items()}
        store.replace_subscriptions(
            tx, user_id, [(found, codes[found.id]) for found in customer.subscriptions]
        )
        self._note_ends(tx, user_id, customer, actor)
        bought = [
            of_subscription(found, plans[found.id], self._settings, now) for found in customer.subscriptions
        ]
        grants.keep(tx, user_id, bought, cause=actor)
        # A subscription that is not listed any more is over, as above.
        listed = {found.id for found in customer.subscriptions}
        grants.withhold(tx, user_id, "subscription", "canceled", except_for=listed, cause=actor)
        known = store.known_videos(tx, {found.video_id for found in customer.films})
        films = [
            of_purchase(found, self._settings, now) for found in customer.films if found.video_id in known
        ]
        grants.keep(tx, user_id, films, cause=actor)
        if customer.deleted:
            grants.withhold(tx, user_id, "purchase", "canceled", except_for=(), cause=actor)
        store.keep_synced(tx, user_id, deleted=customer.deleted)
        grants.recompute(tx, user_id, self._clock, actor=actor)

    @staticmethod
    def _note_ends(tx: Connection, user_id: uuid.UUID, customer: Customer, actor: str) -> None:
        """Audits, once each, what was ended from here; by what the provider says, so that no crash hides it."""
        ended = {found.id: found.ended_because for found in customer.subscriptions if found.ended_because}
        known = {row.source_id: row.withheld for row in grants.rows_of(tx, user_id)} if ended else {}
        for id_, why in ended.items():
            if known.get(id_) != why:
                store.record(tx, "subscription_ended", user_id, actor, {"subscription": id_, "because": why})

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


def _renews(found: PaidSubscription) -> bool:
    """Whether it will be charged for again."""
    ending = found.cancel_at_period_end or found.cancel_at is not None
    return found.status in ("active", "trialing", "past_due") and not found.paused and not ending


def _without(customer: Customer, wrong: _Wrong) -> Customer:
    """As the customer will be when these are ended."""
    left = (
        replace(found, status="canceled", payment_missed_at=None, ended_because=wrong[found.id][0])
        if found.id in wrong
        else found
        for found in customer.subscriptions
    )
    return replace(customer, subscriptions=tuple(left))

"""What is given and not sold: gift codes, and what staff give by hand. Needs no payment provider."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import gift_codes, grants, store
from lib.billing.entitlement import Grant
from lib.billing.membership import AccountMembership
from lib.config import Plan
from lib.database.engine import Database
from lib.errors import (
    AlreadyRedeemedError,
    NotFoundError,
    TooManyRequestsError,
    UnavailableError,
    UnknownCodeError,
    UnknownPlanError,
)
from lib.web import log
from lib.web.attempts import count_attempt
from lib.web.limits import Limit
from lib.web.operation import rfc3339
from lib.web.ports import Clock

# Crockford's: no letter that is taken for a digit. 20 of 32 signs are 100 random bits.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 20
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})

ATTEMPTS = 20


def code_hash(code: str) -> bytes:
    """Of the code however it was typed."""
    return hashlib.sha256(code.upper().translate(_READ_AS).encode()).digest()


def new_code() -> str:
    signs = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    return "-".join(signs[start : start + 4] for start in range(0, CODE_LENGTH, 4))


class Gifts:
    """Operators' side: makes codes, gives and takes back by hand."""

    def __init__(self, database: Database, plans: tuple[Plan, ...], clock: Clock) -> None:
        self._database = database
        self._plans = {plan.code: plan for plan in plans}
        self._clock = clock

    def make(
        self,
        plan_code: str,
        *,
        days: int,
        count: int,
        note: str | None,
        expires_at: datetime | None,
        actor: str,
    ) -> list[str]:
        """New codes for a plan. They exist in the answer, nowhere else.

        Raises:
            UnknownPlanError: not one of PLANS.
        """
        if plan_code not in self._plans:
            raise UnknownPlanError
        codes = [new_code() for _ in range(count)]
        with self._database.transaction() as tx:
            gift_codes.add(
                tx,
                [code_hash(code) for code in codes],
                plan=plan_code,
                days=days,
                note=note,
                expires_at=expires_at,
                made_by=actor,
            )
            detail = {"plan": plan_code, "days": days, "count": count, "note": note}
            store.record(tx, "gift_codes_made", None, actor, detail)
        return codes

    def give(
        self, tx: Connection, user_id: uuid.UUID, plan_code: str, *, until: datetime, actor: str
    ) -> uuid.UUID:
        """A plan until a day, as staff's gift; the grant's id.

        Raises:
            UnknownPlanError: not one of PLANS.
        """
        plan = self._plans.get(plan_code)
        if plan is None:
            raise UnknownPlanError
        store.lock_account(tx, user_id)
        now = self._clock.now()
        grant = _of_plan(plan, "staff", str(uuid.uuid4()), "staff", now, until)
        grant_id = grants.add(tx, user_id, grant, cause=actor)
        detail = {"grant": str(grant_id), "plan": plan.code, "until": rfc3339(until)}
        store.record(tx, "grant_given", user_id, actor, detail)
        grants.recompute(tx, user_id, self._clock, actor=actor)
        return grant_id

    def take_back(self, tx: Connection, user_id: uuid.UUID, grant_id: uuid.UUID, *, actor: str) -> None:
        """Ends what was given. What was paid for is refunded at the payment provider, which ends it too.

        Raises:
            NotFoundError: no gift of this account, nor staff's.
        """
        store.lock_account(tx, user_id)
        before = next((row for row in grants.rows_of(tx, user_id) if row.id == grant_id), None)
        if not grants.revoke(tx, user_id, grant_id, sources=("gift", "staff"), cause=actor):
            raise NotFoundError("This account has no such grant of a gift code or of staff")
        store.record(tx, "grant_revoked", user_id, actor, {"grant": str(grant_id)})
        if before is not None and before.source == "gift" and before.withheld is None:
            # Whoever gave the gifts behind it gave days, and no day in the calendar.
            grants.close_gap(tx, before, now=self._clock.now(), cause=actor)
        grants.recompute(tx, user_id, self._clock, actor=actor)


class Redemptions:
    """Viewers' side: a code becomes a grant, once."""

    def __init__(
        self, database: Database, plans: tuple[Plan, ...], membership: AccountMembership, clock: Clock
    ) -> None:
        self._database = database
        self._plans = {plan.code: plan for plan in plans}
        self._membership = membership
        self._clock = clock

    def redeem(self, user_id: uuid.UUID, role: str, code: str, *, address: str = "") -> dict[str, Any]:
        """The account's entitlement with the gift.

        Raises:
            TooManyRequestsError: too many codes were tried.
            UnknownCodeError: there is none, or it has expired.
            AlreadyRedeemedError: by this account or another one.
        """
        # A transaction of its own, so that a refused attempt counts.
        with self._database.transaction() as tx:
            refusal = count_attempt(tx, Limit(f"redeem:{user_id}", ATTEMPTS, TooManyRequestsError))
        if refusal:
            raise refusal
        hashed = code_hash(code)
        with self._database.transaction() as tx:
            store.hold_user(tx, user_id)
            store.lock_account(tx, user_id)
            gift = gift_codes.redeem(tx, hashed, user_id)
            if gift is None:
                raise _refusal(gift_codes.find(tx, hashed), user_id)
            self._grant(tx, user_id, gift, address)
            return self._membership.of(tx, user_id, role)[1]

    def _grant(self, tx: Connection, user_id: uuid.UUID, gift: Row[Any], address: str) -> None:
        plan = self._plans.get(gift.plan)
        if plan is None:
            log.line("ERROR", "a gift code is for a plan that PLANS lacks", {"plan": gift.plan})
            raise UnavailableError("This gift cannot be redeemed now")
        starts_at = self._start(grants.of_account(tx, user_id), plan)
        ends_at = starts_at + timedelta(days=gift.days)
        source_id = bytes(gift.code_hash).hex()
        actor = f"user:{user_id}"
        grants.add(tx, user_id, _of_plan(plan, "gift", source_id, "gift", starts_at, ends_at), cause=actor)
        detail = {"plan": plan.code, "days": gift.days, "until": rfc3339(ends_at)}
        store.record(tx, "gift_redeemed", user_id, actor, detail, address=address)
        grants.recompute(tx, user_id, self._clock, actor=actor)

    def _start(self, held: Sequence[Grant], plan: Plan) -> datetime:
        """Now; after a gift of the same plan where one runs: two gifts give both their days."""
        ends = (
            grant.ends_at
            for grant in held
            if grant.source == "gift" and grant.plan == plan.code and grant.withheld is None and grant.ends_at
        )
        return max([self._clock.now(), *ends])


def _of_plan(
    plan: Plan, source: str, source_id: str, reason: str, starts_at: datetime, ends_at: datetime
) -> Grant:
    return Grant(source, source_id, plan.code, plan.level, plan.streams, reason, starts_at, ends_at)


def _refusal(gift: Row[Any] | None, user_id: uuid.UUID) -> UnknownCodeError | AlreadyRedeemedError:
    if gift is None:
        return UnknownCodeError()
    if gift.redeemed_at is None:
        return UnknownCodeError("This code has expired")
    own = gift.redeemed_by == user_id
    return AlreadyRedeemedError("This account has redeemed this code already" if own else None)

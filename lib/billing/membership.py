"""What an account has, in the contract's words. Reads our own rows, needs no payment provider."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import grants, store
from lib.billing.entitlement import LIVE_STATUSES, Entitlement, of_grants
from lib.config import Plan
from lib.web.operation import rfc3339
from lib.web.ports import Clock

_MOST_FILMS = 500
_NOTHING = (None, 0, "none", None)


class AccountMembership:
    """What an account has, as the contract writes it. Reads only our own rows."""

    def __init__(self, clock: Clock, plans: tuple[Plan, ...]) -> None:
        self._clock = clock
        # Staff may watch everything, and a level is what the answer has to say so with.
        self._staff_level = max(plan.level for plan in plans)

    def of(
        self, tx: Connection, user_id: uuid.UUID, role: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """`subscription` or None, and `entitlement`."""
        rows = store.subscriptions_of(tx, user_id)
        live = [row for row in rows if row.status in LIVE_STATUSES]
        shown = next(iter(live or rows), None)
        subscription = shown and {
            "plan": shown.plan,
            "status": shown.status,
            "current_period_end": rfc3339(shown.current_period_end),
            "cancel_at_period_end": shown.cancel_at_period_end,
            "trial_end": rfc3339(shown.trial_end),
        }
        now = self._clock.now()
        found: Row[Any] | Entitlement | None = store.entitlement_of(tx, user_id)
        if found is not None and (found.until is None or found.until <= now):
            # What was kept is over; another grant may hold still, or hold since then.
            held = grants.of_account(tx, user_id)
            found = of_grants(held, now) if held else found
        return subscription, self._entitlement(found, role, now)

    def films(self, tx: Connection, user_id: uuid.UUID) -> list[dict[str, Any]]:
        """Films that were paid for by themselves and can be watched now, newest first."""
        return [
            {
                "video_id": str(row.video_id),
                "title": row.title,
                "reason": row.reason,
                "until": rfc3339(row.ends_at),
                "window_hours": row.window_hours,
                "first_played_at": rfc3339(row.first_played_at),
            }
            for row in grants.films_held(tx, user_id, self._clock.now(), limit=_MOST_FILMS)
        ]

    def _entitlement(self, kept: Row[Any] | Entitlement | None, role: str, now: datetime) -> dict[str, Any]:
        plan, level, reason, until = (kept.plan, kept.level, kept.reason, kept.until) if kept else _NOTHING
        if until is not None and until <= now:
            plan, level, until = None, 0, None
            reason = "payment_failed" if reason == "grace" else "expired"
        if role == "admin":
            plan, level, reason, until = None, self._staff_level, "staff", None
        return {
            "active": level > 0,
            "plan": plan,
            "level": level,
            "reason": reason,
            "until": rfc3339(until),
        }

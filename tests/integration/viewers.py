"""People, logins and rights by their rows alone: as many as a test likes, in no time."""

import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.billing.entitlement import Grant
from lib.database.engine import Database
from lib.database.schema import (
    billing_accounts,
    entitlements,
    grants,
    playback_sessions,
    sessions,
    users,
    videos,
)
from lib.video.playback import _OPEN_PLAYBACK
from lib.web.ports import Claims


class Viewer:
    """Somebody with one login, or more, who asks the database to open films."""

    def __init__(self, database: Database, *, role: str = "viewer", device: str = "Television") -> None:
        self.database = database
        self.id = uuid.uuid4()
        with database.transaction() as tx:
            tx.execute(
                insert(users).values(
                    id=self.id, email=f"{self.id}@example.com", role=role, password_hash="$argon2id$none"
                )
            )
        self.session = self.login(device)

    def login(self, device: str | None = None, *, hours: float = 24) -> uuid.UUID:
        """Another login; it ends after `hours`."""
        session_id, now = uuid.uuid4(), datetime.now(UTC)
        with self.database.transaction() as tx:
            tx.execute(
                insert(sessions).values(
                    id=session_id,
                    user_id=self.id,
                    device_name=device,
                    created_at=now - timedelta(days=1),
                    expires_at=now + timedelta(hours=hours),
                )
            )
        return session_id

    def revoke(self, session_id: uuid.UUID) -> None:
        self._change(update(sessions).where(sessions.c.id == session_id).values(revoked_at=datetime.now(UTC)))

    def may(self, **values: Any) -> "Viewer":
        """Gives access: basic, for an hour, two streams, unless told otherwise."""
        row = {
            "plan": "basic",
            "level": 1,
            "streams": 2,
            "reason": "subscription",
            "until": datetime.now(UTC) + timedelta(hours=1),
        } | values
        self._change(insert(billing_accounts).values(user_id=self.id))
        self._change(insert(entitlements).values(user_id=self.id, **row))
        return self

    def holds(self, *held: Grant) -> "Viewer":
        """Gives grants by their rows; what they come to is not computed."""
        self._change(upsert(billing_accounts).values(user_id=self.id).on_conflict_do_nothing())
        for grant in held:
            row = {"id": uuid.uuid4(), "user_id": self.id, "cause": "test"} | asdict(grant)
            self._change(insert(grants).values(**row))
        return self

    def keeps(self, **values: Any) -> "Viewer":
        """What was computed of the grants before, whether it is still true or not."""
        self._change(upsert(billing_accounts).values(user_id=self.id).on_conflict_do_nothing())
        self._change(insert(entitlements).values(user_id=self.id, **values))
        return self

    def open(
        self,
        video_id: uuid.UUID | None,
        session_id: uuid.UUID | None = None,
        *,
        takeover: uuid.UUID | None = None,
        user_id: uuid.UUID | None = None,
        lease_seconds: int = 90,
        through: Database | None = None,
    ) -> dict[str, Any]:
        """What open_playback says, asked with get-playback's own statement."""
        found = (through or self.database).read(
            _OPEN_PLAYBACK,
            session_id=session_id or self.session,
            user_id=user_id or self.id,
            video_id=video_id,
            takeover=takeover,
            lease_seconds=lease_seconds,
            providers=["mux", "cloudflare"],
        )
        assert found is not None
        return found

    def let_leases_end(self) -> None:
        """As if nothing had been heard of any of the films since long."""
        ended = datetime.now(UTC) - timedelta(seconds=1)
        mine = playback_sessions.c.user_id == self.id
        self._change(update(playback_sessions).where(mine).values(expires_at=ended))

    def _change(self, statement: Any) -> None:
        with self.database.transaction() as tx:
            tx.execute(statement)


def add_film(database: Database, **values: Any) -> uuid.UUID:
    """One that is ready, by its row alone."""
    video_id = uuid.uuid4()
    row = {
        "title": "A film",
        "level": 1,
        "published": True,
        "status": "ready",
        "provider": "mux",
        "asset_id": f"asset-{video_id}",
        "playback_id": f"playback-{video_id}",
        "duration": 60.0,
        # Its provider knows nothing of it: no reconcile should come to ask.
        "checked_at": datetime.now(UTC) + timedelta(days=1),
    } | values
    with database.transaction() as tx:
        tx.execute(insert(videos).values(id=video_id, **row))
    return video_id


def ask_to_play(database: Database, claims: Claims, video_id: uuid.UUID) -> str:
    """How get-playback's own statement comes out."""
    found = database.read(
        _OPEN_PLAYBACK,
        session_id=claims.session_id,
        user_id=claims.user_id,
        video_id=video_id,
        takeover=None,
        lease_seconds=90,
        providers=["mux", "cloudflare"],
    )
    assert found is not None
    return str(found["outcome"])

"""Idempotency-Key: the same request twice is answered once, by what was answered the first time.

Kept 24 hours for each user and function. Only answers are kept: after a refusal or a fault the key is
free again, since nothing was done. Who died while holding a key loses it after two minutes; who was only
slow may have lost it too, and then neither frees it nor answers for who holds it now.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import and_, delete, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import insert

from lib.database.engine import Database
from lib.database.schema import idempotency_keys as keys
from lib.database.schema import users
from lib.errors import IdempotencyKeyReusedError, UnavailableError
from lib.web.operation import Answer

KEPT = timedelta(hours=24)
# Longer than the slowest honest holder: a checkout makes up to six calls to Stripe, 6 s each and once again,
# and waits for locks before.
HELD = timedelta(seconds=120)


class IdempotentAnswers:
    """Answers kept in the database.

    Args:
        held: how long who works on a request keeps its key from others.
    """

    def __init__(self, database: Database, held: timedelta = HELD) -> None:
        self._database = database
        self._held = held

    def answer(
        self,
        *,
        user_id: uuid.UUID,
        function: str,
        key: str,
        request_hash: bytes,
        fulfil: Callable[[], Answer],
    ) -> Answer:
        """The kept answer, or that of `fulfil`, which runs outside any transaction.

        Raises:
            IdempotencyKeyReusedError: the key came with another body.
            UnavailableError: the first request with this key is still being worked on, or the user just went.
        """
        mine = and_(keys.c.user_id == user_id, keys.c.function == function, keys.c.key == key)
        now = func.now()
        # Of a user who is still there, and who stays until this is committed.
        there = select(
            users.c.id, literal(function), literal(key), literal(request_hash), now + self._held
        ).where(users.c.id == user_id)
        wanted = insert(keys).from_select(
            ["user_id", "function", "key", "request_hash", "held_until"],
            there.with_for_update(read=True, key_share=True),
        )
        claim = wanted.on_conflict_do_update(
            index_elements=[keys.c.user_id, keys.c.function, keys.c.key],
            set_={
                "request_hash": wanted.excluded.request_hash,
                "held_until": wanted.excluded.held_until,
                "created_at": now,
                "status": null(),
                # Not None, which JSONB takes for JSON's null.
                "answer": null(),
            },
            # Taken over: older than a day, or its holder died with the same request in hand.
            where=or_(
                keys.c.created_at < now - KEPT,
                and_(
                    keys.c.status.is_(None),
                    keys.c.held_until < now,
                    keys.c.request_hash == request_hash,
                ),
            ),
        ).returning(keys.c.held_until)
        with self._database.transaction() as tx:
            held_until = tx.scalar(claim)
            if held_until is None:
                kept = tx.execute(keys.select().where(mine)).first()
                if kept is None:
                    raise UnavailableError(
                        "The first request with this key just failed, or the account is gone", retry_after=1
                    )
                if kept.request_hash != request_hash:
                    raise IdempotencyKeyReusedError
                if kept.status is None:
                    raise UnavailableError("The first request with this key is still running", retry_after=1)
                return Answer(kept.status, kept.answer or None, private=True)
        # A takeover comes after the hold's end and begins a later one: its end tells whose hold it is.
        still_held = and_(mine, keys.c.held_until == held_until)
        try:
            answer = fulfil()
        except BaseException:
            with self._database.transaction() as tx:
                tx.execute(delete(keys).where(still_held))
            raise
        with self._database.transaction() as tx:
            tx.execute(
                keys.update().where(still_held).values(status=answer.status, answer=dict(answer.body or {}))
            )
        return answer

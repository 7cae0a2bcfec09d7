"""Idempotency-Key behind the answers: who holds a key, who loses it, and that a slow loser undoes nothing."""

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Row, delete, null, select, update

from lib.database.engine import Database
from lib.database.schema import idempotency_keys as keys
from lib.database.schema import users
from lib.errors import IdempotencyKeyReusedError, UnavailableError
from lib.web.idempotency import HELD, KEPT, IdempotentAnswers
from lib.web.operation import Answer
from tests.integration.viewers import Viewer


class Caller:
    """Somebody who sends requests under one key. `held` as IdempotentAnswers takes it."""

    def __init__(self, database: Database, held: timedelta = HELD) -> None:
        self.database = database
        self.id = Viewer(database).id
        self._answers = IdempotentAnswers(database, held)

    def ask(self, fulfil: Callable[[], Answer], body: str = "same") -> Answer:
        return self._answers.answer(
            user_id=self.id,
            function="upload-asset",
            key="k",
            request_hash=hashlib.sha256(body.encode()).digest(),
            fulfil=fulfil,
        )

    def row(self) -> Row[tuple[object, ...]] | None:
        with self.database.transaction() as tx:
            return tx.execute(select(keys).where(keys.c.user_id == self.id)).first()

    def grow_older(self, by: timedelta) -> None:
        """As if the row had been written earlier."""
        with self.database.transaction() as tx:
            tx.execute(
                update(keys)
                .where(keys.c.user_id == self.id)
                .values(created_at=keys.c.created_at - by, held_until=keys.c.held_until - by)
            )


@pytest.fixture
def caller(database: Database) -> Caller:
    return Caller(database)


@pytest.fixture
def slow_caller(database: Database) -> Caller:
    """Whose every request takes longer than a key is held."""
    return Caller(database, timedelta(0))


def answering(word: str) -> Callable[[], Answer]:
    return lambda: Answer(201, {"word": word})


def never() -> Answer:
    raise AssertionError("this should not be done again")


def said(answer: Answer) -> object:
    return (answer.body or {}).get("word")


def test_an_answer_is_kept_for_a_day(caller: Caller) -> None:
    assert said(caller.ask(answering("first"))) == "first"
    caller.grow_older(KEPT - timedelta(minutes=1))
    assert said(caller.ask(never)) == "first"
    with pytest.raises(IdempotencyKeyReusedError):
        caller.ask(never, "other")


@pytest.mark.parametrize("body", ["same", "other"])
def test_after_a_day_the_key_is_new(caller: Caller, body: str) -> None:
    caller.ask(answering("first"))
    caller.grow_older(KEPT + timedelta(minutes=1))
    assert said(caller.ask(answering("second"), body)) == "second"
    assert said(caller.ask(never, body)) == "second"


def hold(caller: Caller) -> None:
    """Leaves the key held, as a process that died with the request in hand."""
    caller.ask(answering("lost"))
    with caller.database.transaction() as tx:
        tx.execute(update(keys).where(keys.c.user_id == caller.id).values(status=None, answer=null()))


def test_who_died_holding_a_key_loses_it(caller: Caller) -> None:
    hold(caller)
    with pytest.raises(UnavailableError):
        caller.ask(never)
    caller.grow_older(HELD + timedelta(seconds=1))
    with pytest.raises(IdempotencyKeyReusedError):
        caller.ask(never, "other")
    assert said(caller.ask(answering("second"))) == "second"
    assert said(caller.ask(never)) == "second"


def test_a_refusal_or_a_fault_frees_the_key(caller: Caller) -> None:
    with pytest.raises(AssertionError):
        caller.ask(never)
    assert caller.row() is None


def test_who_is_gone_is_refused(caller: Caller) -> None:
    """The token was checked, then the account went. Nothing is done, and a second try is told."""
    with caller.database.transaction() as tx:
        tx.execute(delete(users).where(users.c.id == caller.id))
    with pytest.raises(UnavailableError):
        caller.ask(pytest.fail)


def test_a_slow_holder_that_fails_frees_nobody_else_s_key(slow_caller: Caller) -> None:
    def slow() -> Answer:
        assert said(slow_caller.ask(answering("second"))) == "second"
        raise UnavailableError

    with pytest.raises(UnavailableError):
        slow_caller.ask(slow)
    assert said(slow_caller.ask(never)) == "second"


def test_a_slow_holder_that_succeeds_replaces_nobody_else_s_answer(slow_caller: Caller) -> None:
    def slow() -> Answer:
        assert said(slow_caller.ask(answering("second"))) == "second"
        return Answer(201, {"word": "first"})

    slow_caller.ask(slow)
    assert said(slow_caller.ask(never)) == "second"


def test_a_slow_holder_whose_key_nobody_took_keeps_its_answer(slow_caller: Caller) -> None:
    assert said(slow_caller.ask(answering("first"))) == "first"
    assert said(slow_caller.ask(never)) == "first"

"""Any sequence of calls: a login that ended can never again play, pay or refresh, and a live one always can.

Hypothesis looks for a sequence that breaks it, with the real services over a real database. What the model below
says is what the API promises; it knows no table.
"""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, update

from lib.accounts.changing import Changes, Wishes
from lib.accounts.closing import Closing
from lib.accounts.confirming import CurrentPassword
from lib.accounts.email_changes import EmailChanges
from lib.accounts.logging_in import Logins
from lib.accounts.logging_out import Logouts
from lib.accounts.login import Login
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.refreshing import Refreshing
from lib.accounts.registering import Registrations
from lib.accounts.store import StoredSessions
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.billing.closures import Cancellations, Closures
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import attempts, refresh_tokens
from lib.errors import (
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    InvalidTokenError,
    NotFoundError,
    WrongPasswordError,
)
from lib.web.ports import Caller, SystemClock
from tests.billing import Billing
from tests.factories import PASSWORD
from tests.fakes.payments import FakePayments
from tests.fakes.tasks import FakeTasks
from tests.integration.viewers import add_film, ask_to_play

HERE = "192.0.2.7"


@dataclass(eq=False)
class Person:
    email: str
    password: str
    alive: bool = True
    logins: list["Session"] = field(default_factory=list)


@dataclass(eq=False)
class Session:
    """A login as its client knows it."""

    person: Person
    access_token: str
    # Each followed by the next; the last one is not spent.
    refresh_tokens: list[str]
    live: bool = True
    # So many of the first were spent longer ago than the grace.
    long_spent: int = 0

    def end(self) -> None:
        self.live = False


class Sessions(RuleBasedStateMachine):
    """The calls there are, and what each does to the model."""

    database: Database
    environment: Environment
    seen: Counter[str]

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        database, env, clock = self.database, self.environment, SystemClock()
        self.tokens = JwtTokens(env.tokens())
        hasher = Argon2Hasher(2, memory_kib=64, passes=1)
        # A grace that no slow machine outlasts.
        rules = replace(env.accounts(), refresh_grace_seconds=300)
        queue, payments = FakeTasks(), FakePayments()
        current, outbox = CurrentPassword(database, hasher), Outbox(queue)
        self.queue = queue
        services = (database, hasher, self.tokens, clock, rules)
        self.registrations, self.logins = Registrations(*services, queue), Logins(*services)
        self.refreshing = Refreshing(database, self.tokens, clock, rules, outbox)
        self.logouts = Logouts(database)
        self.changes = Changes(
            database, hasher, current, outbox, EmailChanges(outbox), MailThrottle(count_loopback=True)
        )
        self.closing = Closing(database, current, Closures(database, queue))
        self.cancellations = Cancellations(database, payments)
        self.billing = Billing(database, payments)
        self.living = StoredSessions(database)
        self.film = add_film(database, level=0)
        self.people: list[Person] = []
        # How often one may try is another test's.
        self._forget_attempts()

    # -- calls --------------------------------------------------------------------------------------------

    @rule(target=sessions)
    def register(self) -> Session:
        person = Person(f"{uuid.uuid4().hex}@example.com", PASSWORD)
        self.people.append(person)
        login = self.registrations.register(
            email=person.email, password=person.password, name=None, address=HERE
        )
        assert login is not None
        return self._began(person, login)

    @precondition(lambda self: self.people)
    @rule(target=sessions, which=st.integers(0, 9))
    def log_in(self, which: int) -> Session:
        person = self.people[which % len(self.people)]
        try:
            login = self._log_in(person, person.password)
        except InvalidCredentialsError:
            assert not person.alive
            return Session(person, "none", ["none"], live=False)
        assert person.alive
        return self._began(person, login)

    # One rule for all of them, since hypothesis leaves rules out for whole runs: each then meets the others.
    @rule(
        session=sessions,
        other=sessions,
        call=st.sampled_from(
            [
                *["refresh", "refresh just now", "refresh long after"] * 2,
                *("pay", "wrong login", "wrong password"),
                *("log out", "log out another", "log out others", "log out all"),
                *("change password", "leave"),
            ]
        ),
        times=st.integers(1, 3),
        which=st.integers(0, 3),
    )
    def use(self, session: Session, other: Session, call: str, times: int, which: int) -> None:
        self._saw(call, session)
        calls: dict[str, Callable[[], None]] = {
            "refresh": lambda: self.refresh(session, times, None, which),
            "refresh just now": lambda: self.refresh(session, times, "just now", which),
            "refresh long after": lambda: self.refresh(session, times, "long after", which),
            "pay": lambda: self.pay(session),
            "wrong login": lambda: self.log_in_with_a_wrong_password(session),
            "wrong password": lambda: self.change_password_with_a_wrong_one(session),
            "log out": lambda: self.log_out(session),
            "log out another": lambda: self.log_out_another(session, other),
            "log out others": lambda: self.log_out_all_or_others(session, everywhere=False),
            "log out all": lambda: self.log_out_all_or_others(session, everywhere=True),
            "change password": lambda: self.change_password(session),
            "leave": lambda: self.leave(session),
        }
        calls[call]()

    def log_in_with_a_wrong_password(self, session: Session) -> None:
        with pytest.raises(InvalidCredentialsError):
            self._log_in(session.person, "not the right one")
        self._forget_attempts()

    def refresh(self, session: Session, times: int, again: str | None, which: int) -> None:
        """Renew it some times, then perhaps present a spent token: a lost answer's, or a thief's."""
        for _ in range(times if session.live else 0):
            login = self.refreshing.refresh(session.refresh_tokens[-1], address=HERE)
            session.refresh_tokens.append(login.refresh_token)
            session.access_token = login.access_token
        if again == "long after":
            self._time_passes(session)
        if again and session.live:
            self._present_spent(session, which % (len(session.refresh_tokens) - 1))

    def _present_spent(self, session: Session, place: int) -> None:
        spent = session.refresh_tokens[place]
        if place >= session.long_spent:
            login = self.refreshing.refresh(spent, address=HERE)
            assert login.refresh_token == session.refresh_tokens[place + 1], "the same successor"
            session.access_token = login.access_token
        else:
            self._is_refused(session, spent)
            session.end()

    def _time_passes(self, session: Session) -> None:
        """Longer than the grace, for this login."""
        session.long_spent = len(session.refresh_tokens) - 1
        if session.live:
            session_id = self.tokens.verify(session.access_token).session_id
            ago = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 1)
            mine = (refresh_tokens.c.session_id == session_id, refresh_tokens.c.spent_at.is_not(None))
            with self.database.transaction() as tx:
                tx.execute(update(refresh_tokens).where(*mine).values(spent_at=ago))

    def pay(self, session: Session) -> None:
        caller = self._caller(session)
        if caller is not None:
            page, _ = self.billing.checkouts.open(caller.user_id, plan_code="basic", promotion_code=None)
            assert page.state == "open"

    def log_out(self, session: Session) -> None:
        caller = self._caller(session)
        if caller is not None:
            self.logouts.end(caller.user_id, caller.session_id, address=HERE)
            session.end()

    def log_out_another(self, session: Session, other: Session) -> None:
        caller = self._caller(session)
        if caller is None or other.access_token == "none":
            return
        target = self.tokens.verify(other.access_token).session_id
        if other.person is session.person and other.live:
            self.logouts.end(caller.user_id, target, address=HERE)
            other.end()
        else:
            with pytest.raises(NotFoundError):
                self.logouts.end(caller.user_id, target, address=HERE)

    def log_out_all_or_others(self, session: Session, *, everywhere: bool) -> None:
        caller = self._caller(session)
        if caller is None:
            return
        but = None if everywhere else caller.session_id
        self.logouts.end_all(caller.user_id, but=but, address=HERE)
        self._end_all(session.person, but=None if everywhere else session)

    def change_password(self, session: Session) -> None:
        caller = self._caller(session)
        if caller is None:
            return
        password = f"a password no. {uuid.uuid4().hex}"
        self.changes.apply(caller, self._wishes(password, session.person.password), address=HERE)
        session.person.password = password
        self._end_all(session.person, but=session)

    def change_password_with_a_wrong_one(self, session: Session) -> None:
        caller = self._caller(session)
        if caller is None:
            return
        with pytest.raises(WrongPasswordError):
            self.changes.apply(caller, self._wishes("a better one", "not the right one"), address=HERE)
        self._forget_attempts()

    def leave(self, session: Session) -> None:
        caller = self._caller(session)
        if caller is None:
            return
        self.closing.close(caller, session.person.password)
        session.person.alive = False
        self._end_all(session.person, but=None)
        queued, self.queue.queued = self.queue.queued, []
        for task in queued:
            if task.kind == "close-customer":
                self.cancellations.cancel_everything(dict(task.body))

    # -- what always holds --------------------------------------------------------------------------------

    @invariant()
    def who_is_out_is_out(self) -> None:
        for person in self.people:
            assert person.alive or not any(session.live for session in person.logins)
            for session in person.logins:
                self._saw("checked", session)
                self._plays_if_live(session)
                # What stands before create-checkout, create-portal, account and all functions of admins.
                assert (self._caller(session) is not None) == session.live
                if not session.live:
                    for token in {session.refresh_tokens[0], session.refresh_tokens[-1]}:
                        self._is_refused(session, token)

    def _plays_if_live(self, session: Session) -> None:
        claims = self.tokens.verify(session.access_token)
        outcome = ask_to_play(self.database, claims, self.film)
        assert (outcome != "invalid_token") == session.live
        # One film and one stream at a time: others of the same person may be in the way, never the login itself.
        assert outcome in ({"allowed", "too_many_streams"} if session.live else {"invalid_token"})

    # -- by the way ---------------------------------------------------------------------------------------

    def _began(self, person: Person, login: Login) -> Session:
        session = Session(person, login.access_token, [login.refresh_token])
        person.logins.append(session)
        return session

    def _log_in(self, person: Person, password: str) -> Login:
        return self.logins.login(email=person.email, password=password, device_name=None, address=HERE)

    def _forget_attempts(self) -> None:
        with self.database.transaction() as tx:
            tx.execute(delete(attempts))

    def _caller(self, session: Session) -> Caller | None:
        """As every function that asks who is calling."""
        try:
            return self.living.caller(self.tokens.verify(session.access_token))
        except InvalidTokenError:
            assert not session.live
            return None

    def _is_refused(self, session: Session, token: str) -> None:
        with pytest.raises(InvalidRefreshTokenError):
            self.refreshing.refresh(token, address=HERE)

    @staticmethod
    def _wishes(password: str, current: str) -> Wishes:
        return Wishes(name=None, renamed=False, email=None, password=password, current_password=current)

    @staticmethod
    def _end_all(person: Person, *, but: Session | None) -> None:
        for session in person.logins:
            if session is not but:
                session.end()

    def _saw(self, what: str, session: Session) -> None:
        self.seen[f"{what} {'live' if session.live else 'ended'}"] += 1


# Twenty seconds of work, but many small questions to the database: minutes where others use the machine too.
@pytest.mark.timeout(600)
def test_no_sequence_of_calls_brings_a_login_back(
    database_apart: Database, environment: dict[str, str]
) -> None:
    class Machine(Sessions):
        pass

    Machine.database = database_apart
    Machine.environment = Environment(environment)
    Machine.seen = Counter()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # It has looked where it should.
    calls = (
        "refresh",
        "refresh just now",
        "refresh long after",
        "pay",
        "leave",
        "change password",
        "checked",
    )
    wanted = [*(f"{call} live" for call in calls), "refresh ended", "pay ended", "checked ended"]
    assert [what for what in wanted if not Machine.seen[what]] == []

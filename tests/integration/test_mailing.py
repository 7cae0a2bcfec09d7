"""Mails are sent at most once: through refusals, lost answers, dead processes, and many senders at a time."""

import re
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from lib.accounts import mail_store, store
from lib.accounts.email_changes import EmailChanges
from lib.accounts.mail_kinds import (
    ALREADY_REGISTERED,
    NEW_DEVICE,
    PASSWORD_CHANGED,
    RESET,
    VERIFICATION,
    seen_from,
)
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.mailing import Mailing
from lib.accounts.outbox import LeftMails, Outbox
from lib.accounts.ports import Letter
from lib.accounts.verifying import Verification
from lib.adapters.jinja_templates import JinjaTemplates
from lib.database.engine import Database
from lib.database.schema import MAIL_KINDS, links, mails, users
from lib.errors import InvalidLinkError, UnavailableError
from tests.fakes.mail import FakeMail
from tests.fakes.tasks import FakeTasks
from tests.integration.dying_mail import STEPS

APP = "https://app.example.com"
HASH = "$argon2id$v=19$x"


class PostOffice:
    """Outbox, queue, sender and server, over a database of their own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tasks = FakeTasks()
        self.mail = FakeMail()
        self.outbox = Outbox(self.tasks)
        self.mailing = Mailing(database, self.mail, JinjaTemplates(APP), APP)
        self.left = LeftMails(database, self.tasks)
        self.verification = Verification(database, self.outbox, MailThrottle(count_loopback=True))

    def user(self, email: str | None = None, *, verified: bool = False) -> tuple[uuid.UUID, str]:
        user_id, email = uuid.uuid4(), email or f"{uuid.uuid4().hex}@example.com"
        row = {"id": user_id, "email": email, "password_hash": HASH}
        with self.database.transaction() as tx:
            tx.execute(
                insert(users).values(row | ({"email_verified_at": datetime.now(UTC)} if verified else {}))
            )
        return user_id, email

    def put(self, kind: str, **values: Any) -> uuid.UUID:
        with self.database.transaction() as tx:
            mail_id = self.outbox.put(tx, kind, **values)
        self.outbox.enqueue(mail_id)
        return mail_id

    def work(self) -> None:
        """Do what is queued, once each; who is told to try again is left for later."""
        queued, self.tasks.queued = self.tasks.queued, []
        for task in queued:
            try:
                self.mailing.send(dict(task.body))
            except UnavailableError:
                self.tasks.queued.append(task)

    def row(self, mail_id: uuid.UUID) -> Any:
        with self.database.transaction() as tx:
            return tx.execute(select(mails).where(mails.c.id == mail_id)).one()

    def age(self, mail_id: uuid.UUID, span: timedelta) -> None:
        """As if all that happened to the mail had happened so much earlier."""
        with self.database.transaction() as tx:
            columns = (mails.c.created_at, mails.c.due_at, mails.c.claimed_at)
            earlier = {column: column - span for column in columns}
            tx.execute(update(mails).where(mails.c.id == mail_id).values(earlier))

    def links(self, user_id: uuid.UUID) -> list[Any]:
        with self.database.transaction() as tx:
            return list(tx.execute(select(links).where(links.c.user_id == user_id)))

    def person(self, user_id: uuid.UUID) -> Any:
        with self.database.transaction() as tx:
            return tx.execute(select(users).where(users.c.id == user_id)).one()


def token_of(letter: Letter) -> str:
    found = re.search(r"\?token=([\w-]{43})\n", letter.words.text)
    assert found
    return found[1]


@pytest.fixture
def office(database_apart: Database) -> PostOffice:
    return PostOffice(database_apart)


@pytest.mark.parametrize("step", STEPS)
def test_killed(office: PostOffice, apart: str, tmp_path: Path, step: str) -> None:
    user_id, email = office.user()
    mail_id = office.put(VERIFICATION, user_id=user_id)
    taken = tmp_path / "taken"
    taken.touch()
    command = [sys.executable, "-m", "tests.integration.dying_mail", apart, step, str(mail_id), str(taken)]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()

    # The queue calls again, and reconcile looks, now and when the sender must be dead.
    office.work()
    office.left.reconcile()
    office.age(mail_id, timedelta(minutes=6))
    found = office.left.reconcile()
    office.work()

    sent = len(taken.read_text().splitlines()) + len(office.mail.taken)
    if step == "claimed, not committed":
        assert (office.row(mail_id).state, sent, found["mails_in_doubt"]) == ("sent", 1, 0)
        assert office.mail.taken[0].to == email
    else:
        assert (office.row(mail_id).state, found["mails_in_doubt"]) == ("unknown", 1)
        assert sent == (step == "handed over, not settled")
        assert office.left.reconcile()["mails_in_doubt"] == 0


def test_many_senders_of_one_mail(office: PostOffice) -> None:
    mail_id = office.put(PASSWORD_CHANGED, user_id=office.user()[0])
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(office.mailing.send, [{"mail_id": str(mail_id)}] * 20))
    assert len(office.mail.taken) == 1
    assert (office.row(mail_id).state, office.row(mail_id).attempts) == ("sent", 1)


def test_a_server_that_hangs_does_not_hold_everybody(office: PostOffice) -> None:
    """The second waits its two seconds and is sent away unclaimed."""
    begun, over = threading.Event(), threading.Event()

    class Hanging(FakeMail):
        def send(self, letter: Letter) -> None:
            begun.set()
            over.wait(30)
            super().send(letter)

    mail = Hanging()
    mailing = Mailing(office.database, mail, JinjaTemplates(APP), APP, slots=1)
    first, second = (office.put(PASSWORD_CHANGED, user_id=office.user()[0]) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(mailing.send, {"mail_id": str(first)})
        begun.wait(10)
        with pytest.raises(UnavailableError):
            mailing.send({"mail_id": str(second)})
        assert office.row(second).attempts == 0
        over.set()
        held.result(10)
    mailing.send({"mail_id": str(second)})
    assert len(mail.taken) == 2


def test_a_server_that_is_down_is_tried_again(office: PostOffice) -> None:
    user_id, _ = office.user()
    mail_id = office.put(VERIFICATION, user_id=user_id)
    office.mail.down = True
    office.work()
    office.work()
    assert (office.row(mail_id).state, office.row(mail_id).attempts) == ("waiting", 2)
    assert office.links(user_id) == []
    # The queue has it: reconcile keeps out.
    assert office.left.reconcile()["mails_left"] == 0
    office.mail.down = False
    office.work()
    assert office.row(mail_id).state == "sent"
    assert len(office.links(user_id)) == 1


def test_the_queue_gave_up_or_lost_the_task(office: PostOffice) -> None:
    office.tasks.down = True
    mail_id = office.put(VERIFICATION, user_id=office.user()[0])
    assert office.left.reconcile()["mails_left"] == 0
    office.age(mail_id, timedelta(seconds=31))
    assert office.left.reconcile()["mails_enqueued"] == 0
    office.tasks.down = False
    office.age(mail_id, timedelta(minutes=11))
    assert office.left.reconcile() == {
        "mails_left": 1,
        "mails_enqueued": 1,
        "mails_given_up": 0,
        "mails_in_doubt": 0,
    }
    office.work()
    assert office.row(mail_id).state == "sent"


def test_after_a_day_nobody_waits_for_it(office: PostOffice) -> None:
    mail_id = office.put(RESET, email=office.user()[1])
    office.mail.down = True
    office.work()
    office.age(mail_id, timedelta(hours=25))
    assert office.left.reconcile()["mails_given_up"] == 1
    office.mail.down = False
    office.work()
    assert office.mail.taken == []
    row = office.row(mail_id)
    assert (row.state, row.email, row.last_error) == ("failed", None, "ConnectionRefusedError")


def test_a_notice_is_left_to_reconcile(office: PostOffice) -> None:
    user_id, email = office.user()
    with office.database.transaction() as tx:
        facts = seen_from("198.51.100.7", "Sam's <b>phone</b> 17.2\nhttps://evil.example/ " + "x" * 200)
        mail_id = Outbox(None).put(tx, NEW_DEVICE, user_id=user_id, facts=facts)
    Outbox(None).enqueue(mail_id)
    assert office.tasks.queued == []
    assert office.left.reconcile()["mails_enqueued"] == 1
    office.work()
    (letter,) = office.mail.taken
    assert letter.to == email
    assert "198.51.100.7" in letter.words.text
    assert "Sam's <b>phone</b> 17.2 https evil. example/" in letter.words.text
    assert "<b>" not in letter.words.html
    assert "https://evil" not in letter.words.html + letter.words.text
    assert "x" * 100 not in letter.words.text
    row = office.row(mail_id)
    assert (row.state, row.facts) == ("sent", {})


@pytest.mark.parametrize("kind", MAIL_KINDS)
def test_every_kind_has_its_words(kind: str) -> None:
    link = f"{APP}/reset-password?token=abc"
    facts = {"at": "1 May 2026 at 10:00 UTC", "lives": "an hour", "address": None, "device_name": None}
    words = JinjaTemplates(APP).write(kind, facts, link)
    linked = kind in (VERIFICATION, RESET, ALREADY_REGISTERED, "email_change")
    assert (link in words.text) is linked
    assert (f'<a href="{link}"' in words.html) is linked
    assert words.subject
    assert words.subject in words.html
    assert "None" not in words.text


def test_an_address_is_verified_once_and_told_once(office: PostOffice) -> None:
    user_id, _ = office.user(verified=True)
    mail_id = office.put(VERIFICATION, user_id=user_id)
    office.work()
    assert (office.row(mail_id).state, office.mail.taken) == ("needless", [])


def test_who_registers_an_address_again_ends_the_first_link(office: PostOffice) -> None:
    """The first may have been a stranger, waiting for the owner to click."""
    user_id, _ = office.user()
    office.put(VERIFICATION, user_id=user_id)
    office.work()
    office.put(ALREADY_REGISTERED, user_id=user_id)
    office.work()
    first, second = office.mail.taken
    with pytest.raises(InvalidLinkError):
        office.verification.confirm(token_of(first), "198.51.100.7")
    assert second.words.subject == "You have an account already"
    assert [link.purpose for link in office.links(user_id)] == ["reset"]


def test_a_first_link_that_is_late_does_not_come_after_all(office: PostOffice) -> None:
    """The server put it off; meanwhile the owner registered, and would take it for theirs."""
    user_id, email = office.user()
    office.mail.answers[email] = ["later"]
    first = office.put(VERIFICATION, user_id=user_id)
    office.work()
    office.mailing.send({"mail_id": str(office.put(ALREADY_REGISTERED, user_id=user_id))})
    office.work()
    assert [letter.words.subject for letter in office.mail.taken] == ["You have an account already"]
    assert office.row(first).state == "needless"


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_new_password_ends_what_is_still_on_its_way(office: PostOffice, handed_over: bool) -> None:
    """A thief's wish for another address, which the mail server puts off until the owner has noticed."""
    user_id, _ = office.user()

    def change_password() -> None:
        with office.database.transaction() as tx:
            store.lock_person(tx, user_id)
            mail_store.end_links(tx, user_id)

    class Meanwhile(FakeMail):
        def send(self, letter: Letter) -> None:
            if handed_over:
                change_password()
            super().send(letter)

    with office.database.transaction() as tx:
        mail_id = EmailChanges(office.outbox).ask(tx, user_id, f"{uuid.uuid4().hex}@example.com")
    mail = Meanwhile()
    mail.down = True
    mailing = Mailing(office.database, mail, JinjaTemplates(APP), APP)
    with pytest.raises(UnavailableError):
        mailing.send({"mail_id": str(mail_id)})
    if not handed_over:
        change_password()
    mail.down = False
    mailing.send({"mail_id": str(mail_id)})
    assert (mail.taken, office.links(user_id)) == ([], [])
    row = office.row(mail_id)
    assert (row.state, row.email) == ("needless", None)


def test_a_mail_goes_out_while_its_account_is_deleted(office: PostOffice) -> None:
    """Both lock the account before its mails: neither waits for the other for ever."""
    user_id, _ = office.user()
    mail_id = office.put(PASSWORD_CHANGED, user_id=user_id)
    with ThreadPoolExecutor(1) as pool:
        with office.database.transaction() as tx:
            store.lock_person(tx, user_id, leaving=True)
            sending = pool.submit(office.mailing.send, {"mail_id": str(mail_id)})
            with pytest.raises(TimeoutError):
                sending.result(0.5)
            store.delete_user(tx, user_id)
        sending.result(10)
    assert office.mail.taken == []


def asked(office: PostOffice, user_id: uuid.UUID, email: str) -> Letter:
    """The letter that follows the wish for a new address."""
    with office.database.transaction() as tx:
        mail_id = EmailChanges(office.outbox).ask(tx, user_id, email)
    office.outbox.enqueue(mail_id)
    office.work()
    return office.mail.taken[-1]


def test_a_new_address_counts_once_it_is_verified(office: PostOffice) -> None:
    user_id, old = office.user()
    new = f"{uuid.uuid4().hex}@example.com"
    office.put(RESET, email=old)
    letter = asked(office, user_id, new)
    assert (letter.to, letter.words.subject) == (new, "Confirm your new email address")
    assert office.person(user_id).email == old
    office.verification.confirm(token_of(letter), "198.51.100.7")
    person = office.person(user_id)
    assert (person.email, person.email_verified_at is not None) == (new, True)
    # What was mailed to the old address is of no use any more; it gets a notice.
    assert office.links(user_id) == []
    office.work()
    assert (office.mail.taken[-1].to, office.mail.taken[-1].words.subject) == (
        old,
        "Your email address was changed",
    )


def test_of_two_wishes_the_last_counts(office: PostOffice) -> None:
    user_id, _ = office.user()
    first, second = (asked(office, user_id, f"{uuid.uuid4().hex}@example.com") for _ in range(2))
    with pytest.raises(InvalidLinkError):
        office.verification.confirm(token_of(first), "")
    office.verification.confirm(token_of(second), "")
    assert office.person(user_id).email == second.to


def test_an_address_that_has_an_account_is_told_there(office: PostOffice) -> None:
    user_id, _ = office.user()
    holder_id, taken = office.user(verified=True)
    letter = asked(office, user_id, taken)
    assert (letter.to, letter.words.subject) == (taken, "You have an account already")
    assert (len(office.links(user_id)), len(office.links(holder_id))) == (0, 1)


def test_an_address_that_was_taken_meanwhile(office: PostOffice) -> None:
    user_id, old = office.user()
    letter = asked(office, user_id, f"{uuid.uuid4().hex}@example.com")
    office.user(letter.to)
    for _ in range(2):
        with pytest.raises(InvalidLinkError):
            office.verification.confirm(token_of(letter), "")
    assert office.person(user_id).email == old


def test_one_link_many_clicks(office: PostOffice) -> None:
    user_id, _ = office.user()
    office.put(VERIFICATION, user_id=user_id)
    office.work()
    token = token_of(office.mail.taken[0])

    def click(_: int) -> bool:
        try:
            office.verification.confirm(token, "")
        except InvalidLinkError:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(click, range(10))) == 1


def test_only_the_hash_of_a_token_is_kept(office: PostOffice) -> None:
    user_id, _ = office.user()
    office.put(VERIFICATION, user_id=user_id)
    (task,) = office.tasks.queued
    office.work()
    token = token_of(office.mail.taken[0])
    (link,) = office.links(user_id)
    assert link.token_hash == mail_store.hash_of(token)
    assert set(task.body) == {"mail_id"}

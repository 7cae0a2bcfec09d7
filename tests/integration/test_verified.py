"""REGISTRATION=verified, on a stack started with it: strangers learn nothing, and a mail says the rest.

Clients come through a proxy (TRUSTED_PROXIES=1), so that a test can log in from wherever it likes.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import func, select

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import audit_log, mails, sessions, users
from tests.api import Api, refused
from tests.factories import PASSWORD, wait_for
from tests.mailbox import Mailbox, token_of

NEW = "another walk by another sea"
HOME, ELSEWHERE = "203.0.113.5", "198.51.100.7"


@dataclass
class Place:
    api: Api
    database: Database
    mailbox: Mailbox

    def register(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return self.api.post("register", {"email": email, "password": password}, headers=seen_as(HOME))

    def log_in(
        self, email: str, password: str = PASSWORD, *, address: str = HOME, **body: str
    ) -> httpx.Response:
        wanted = {"email": email, "password": password} | body
        return self.api.post("login", wanted, headers=seen_as(address))

    def member(self) -> str:
        """The address of somebody who has verified it."""
        address = email()
        self.register(address)
        self.api.post("verify-email", {"token": token_of(self.mailbox.newest(address))})
        return address

    def alarms(self, address: str) -> list[str]:
        """Subjects of the mails but the first, once all are sent."""
        self.mailbox.reconcile()

        def settled() -> bool:
            waiting = select(func.count()).select_from(mails).where(mails.c.settled_at.is_(None))
            with self.database.transaction() as tx:
                return tx.scalar(waiting) == 0

        wait_for(settled)
        return [mail["subject"] for mail in self.mailbox.of(address)[:-1]]


def seen_as(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    overrides = {"REGISTRATION": "verified", "TRUSTED_PROXIES": "1"}
    folder = tmp_path_factory.mktemp("verified")
    stack = Stack(folder, free_port(), overrides=overrides, durable=False, film=False, say=lambda _line: None)
    stack.start()
    database = Database(Environment({"DATABASE_URL": stack.database_url}).database())
    with Api(stack.base_url) as api:
        yield Place(api, database, Mailbox(stack.base_url))
    database.dispose()
    stack.stop()


def test_a_member_is_who_followed_the_link(place: Place) -> None:
    address = email()
    answer = place.register(address)
    assert (answer.status_code, answer.json()) == (202, {})
    refused(place.log_in(address), 403, "email_not_verified")
    refused(place.log_in(address, "not the right one"), 401, "invalid_credentials")
    mail = place.mailbox.newest(address)
    assert mail["subject"] == "Confirm your email address"
    assert place.api.post("verify-email", {"token": token_of(mail)}).status_code == 204
    found = place.log_in(address)
    assert found.status_code == 200
    assert found.json()["user"]["email_verified"] is True


def test_who_is_not_verified_has_no_login_anywhere(place: Place) -> None:
    address = email()
    place.register(address)
    place.log_in(address)
    with place.database.transaction() as tx:
        of_them = select(func.count()).select_from(sessions.join(users)).where(users.c.email == address)
        assert tx.scalar(of_them) == 0


def test_known_and_unknown_look_alike(place: Place) -> None:
    member = place.member()
    answers = [place.register(address) for address in (email(), member)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {})] * 2
    assert set(answers[0].headers) == set(answers[1].headers)
    mail = place.mailbox.newest(member, 2)
    assert mail["subject"] == "You have an account already"
    # Neither the password nor anything else has changed.
    assert place.log_in(member).status_code == 200
    # Whoever it was, the audit log does not say that it was the member.
    with place.database.transaction() as tx:
        of_them = (audit_log.c.user_id == users.c.id, users.c.email == member)
        asked = select(audit_log.c.actor).where(*of_them, audit_log.c.kind == "registered_again")
        assert tx.scalars(asked).all() == ["register"]


def test_a_stranger_who_was_first_loses_to_the_owner(place: Place) -> None:
    owner = email()
    place.register(owner, "the stranger's own choice")
    first = place.mailbox.newest(owner)
    place.register(owner, "what the owner typed in")
    second = place.mailbox.newest(owner, 2)
    refused(place.api.post("verify-email", {"token": token_of(first)}), 400, "invalid_link")
    place.api.post("reset-password", {"token": token_of(second), "password": NEW})
    refused(place.log_in(owner, "the stranger's own choice"), 401, "invalid_credentials")
    refused(place.log_in(owner, "what the owner typed in"), 401, "invalid_credentials")
    assert place.log_in(owner, NEW).status_code == 200


def test_an_address_is_not_flooded(place: Place) -> None:
    address = email()
    answers = [place.register(address).status_code for _ in range(6)]
    assert answers == [202] * 5 + [429]


def test_a_first_login_is_no_surprise(place: Place) -> None:
    address = place.member()
    assert place.log_in(address, device_name="Phone").status_code == 200
    assert place.alarms(address) == []


@pytest.mark.parametrize(
    ("address", "device_name", "told"),
    [
        (ELSEWHERE, "Laptop", True),
        (ELSEWHERE, "", True),
        (ELSEWHERE, "Phone", False),
        (HOME, "Laptop", False),
    ],
    ids=["all new", "unnamed", "the phone on its way", "a laptop at home"],
)
def test_a_login_from_a_new_device_is_told(place: Place, address: str, device_name: str, told: bool) -> None:
    member = place.member()
    place.log_in(member, device_name="Phone")
    body = {"device_name": device_name} if device_name else {}
    assert place.log_in(member, address=address, **body).status_code == 200
    assert place.alarms(member) == ["A login from a new device"] * told
    if told:
        assert ELSEWHERE in place.mailbox.newest(member, 2)["text"]
    # Known from now on.
    place.log_in(member, address=address, **body)
    assert len(place.alarms(member)) == told


def test_the_admin_gets_in(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Made by the operator, who knows whose address it is."""
    with place.database.transaction() as tx:
        verified = select(users.c.email_verified_at).where(users.c.role == "admin")
        assert tx.scalar(verified) is not None

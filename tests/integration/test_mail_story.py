"""A stranger's way with mail, over HTTP on the whole stack: register, verify, forget the password."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from infra.local.supervisor import Stack
from lib.database.schema import links, mails
from tests.api import Api, refused
from tests.factories import PASSWORD, Factory, wait_for
from tests.integration.test_refresh import spent_long_ago
from tests.mailbox import Mailbox, token_of

NEW = "another walk by another sea"


@pytest.fixture
def mailbox(stack: Stack) -> Mailbox:
    return Mailbox(stack.base_url)


def test_a_new_address_is_verified_by_its_link(make: Factory, mailbox: Mailbox, stack: Stack) -> None:
    person = make.person()
    mail = mailbox.newest(person.email)
    assert mail["subject"] == "Confirm your email address"
    assert f"{stack.base_url}/verify-email?token=" in mail["text"]
    assert person.api.get("account").json()["user"]["email_verified"] is False
    body = {"token": token_of(mail)}
    stranger = make.client()
    assert stranger.post("verify-email", body).status_code == 204
    assert person.api.get("account").json()["user"]["email_verified"] is True
    refused(stranger.post("verify-email", body), 400, "invalid_link")


def test_to_look_at_a_link_changes_nothing(make: Factory, mailbox: Mailbox, stack: Stack) -> None:
    person = make.person()
    token = token_of(mailbox.newest(person.email))
    for function in ("verify-email", "reset-password"):
        for method in ("GET", "HEAD", "OPTIONS"):
            httpx.request(method, f"{stack.base_url}/{function}", params={"token": token})
    assert person.api.get("account").json()["user"]["email_verified"] is False
    assert make.client().post("verify-email", {"token": token}).status_code == 204


def test_another_mail_for_who_is_logged_in(make: Factory, mailbox: Mailbox) -> None:
    person = make.person()
    first = token_of(mailbox.newest(person.email))
    assert person.api.post("verify-email", {}).status_code == 202
    second = token_of(mailbox.newest(person.email, 2))
    assert first != second
    assert make.client().post("verify-email", {"token": second}).status_code == 204
    # Verified: nothing more to send.
    assert person.api.post("verify-email", {}).status_code == 202
    refused(make.client().post("verify-email", {}), 401, "invalid_token")
    refused(make.client("nonsense").post("verify-email", {"token": first}), 401, "invalid_token")


def test_a_forgotten_password(make: Factory, mailbox: Mailbox) -> None:
    person = make.person()
    other = make.login(person.email)
    verify = token_of(mailbox.newest(person.email))
    stranger = make.client()
    for number in (2, 3):
        answer = stranger.post("reset-password", {"email": person.email.upper()})
        assert (answer.status_code, answer.json()) == (202, {})
        mailbox.newest(person.email, number)
    newest, older, _ = mailbox.of(person.email)
    refused(stranger.post("verify-email", {"token": token_of(newest)}), 400, "invalid_link")
    weak = {"token": token_of(newest), "password": person.email.title()}
    refused(stranger.post("reset-password", weak), 422, "weak_password")
    refused(stranger.post("reset-password", weak | {"password": "short"}), 422, "weak_password")
    body = {"token": token_of(newest), "password": NEW}
    assert stranger.post("reset-password", body).status_code == 204
    for spent in (body, body | {"token": token_of(older)}):
        refused(stranger.post("reset-password", spent), 400, "invalid_link")
    refused(stranger.post("verify-email", {"token": verify}), 400, "invalid_link")
    for login in (person, other):
        refused(login.api.get("account"), 401, "invalid_token")
        refused(
            stranger.post("refresh", {"refresh_token": login.refresh_token}), 401, "invalid_refresh_token"
        )
    refused(stranger.post("login", {"email": person.email, "password": PASSWORD}), 401, "invalid_credentials")
    again = make.login(person.email, NEW)
    assert again.api.get("account").json()["user"]["email_verified"] is True
    assert mailbox.newest(person.email, 4)["subject"] == "Your password was changed"


def test_a_reset_lets_in_whom_guessers_kept_out(make: Factory, mailbox: Mailbox) -> None:
    person = make.person()
    stranger = make.client()
    wrong = {"email": person.email, "password": "not the right one"}
    while stranger.post("login", wrong).status_code == 401:
        pass
    # With a stolen access token.
    guess = {"name": "Ada", "current_password": "guess"}
    while person.api.call("PATCH", "account", json=guess).status_code == 403:
        pass
    stranger.post("reset-password", {"email": person.email})
    token = token_of(mailbox.newest(person.email, 2))
    stranger.post("reset-password", {"token": token, "password": NEW})
    again, known = make.login(person.email, NEW), {"name": "Ada", "current_password": NEW}
    assert again.api.call("PATCH", "account", json=known).status_code == 200


def test_nobody_has_the_address(api: Api, make: Factory, mailbox: Mailbox) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    answer = api.post("reset-password", {"email": email})
    assert (answer.status_code, answer.json()) == (202, {})
    known = make.client().post("reset-password", {"email": make.person().email})
    assert set(answer.headers) == set(known.headers)

    def settled() -> bool:
        with make.database.transaction() as tx:
            left = tx.execute(mails.select().where(mails.c.email == email)).all()
        return not left

    wait_for(settled)
    assert mailbox.of(email) == []


def test_links_run_out(make: Factory, mailbox: Mailbox) -> None:
    person = make.person()
    verify = token_of(mailbox.newest(person.email))
    make.client().post("reset-password", {"email": person.email})
    reset = token_of(mailbox.newest(person.email, 2))
    with make.database.transaction() as tx:
        past = {"created_at": links.c.created_at - links.c.expires_at + links.c.created_at}
        tx.execute(
            update(links).where(links.c.user_id == person.id).values(expires_at=links.c.created_at, **past)
        )
    refused(make.client().post("verify-email", {"token": verify}), 400, "invalid_link")
    spent = {"token": reset, "password": NEW}
    refused(make.client().post("reset-password", spent), 400, "invalid_link")


@pytest.mark.parametrize("ask", ["reset", "verification"])
def test_mails_are_not_asked_for_without_end(make: Factory, ask: str) -> None:
    person = make.person()

    def asked() -> httpx.Response:
        if ask == "reset":
            return make.client().post("reset-password", {"email": person.email})
        return person.api.post("verify-email", {})

    assert [asked().status_code for _ in range(5)] == [202] * 5
    answer = asked()
    refused(answer, 429, "too_many_requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "x"},
        {"password": NEW},
        {"email": "a@example.com", "token": "x", "password": NEW},
        {"email": "a@example.com", "password": NEW},
        {"email": "a@example.com", "token": "x"},
        {"token": "x" * 201, "password": NEW},
        {"token": "", "password": NEW},
    ],
)
def test_half_of_a_request(api: Api, body: dict[str, str]) -> None:
    refused(api.post("reset-password", body), 422, "invalid_request")


@pytest.mark.parametrize("token", ["x", "é" * 10, "\u0000", "a" * 43])
def test_made_up_links(api: Api, token: str) -> None:
    refused(api.post("verify-email", {"token": token}), 400, "invalid_link")
    refused(api.post("reset-password", {"token": token, "password": NEW}), 400, "invalid_link")


def test_a_stolen_login_is_told_of(make: Factory, mailbox: Mailbox) -> None:
    """By reconcile: refresh has no right to the queue."""
    person = make.person()
    login = make.login(person.email, device_name="Sam's phone")
    make.client().post("refresh", {"refresh_token": login.refresh_token})
    spent_long_ago(make, login.refresh_token)
    refused(
        make.client().post("refresh", {"refresh_token": login.refresh_token}), 401, "invalid_refresh_token"
    )
    mailbox.reconcile()
    mail = mailbox.newest(person.email, 2)
    assert mail["subject"] == "We ended one of your logins"
    assert "Sam's phone" in mail["text"]


def test_a_server_that_says_later_is_asked_again(make: Factory, mailbox: Mailbox) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    mailbox.answer(email, "later")
    person = make.person(email=email)

    def row() -> Any:
        with make.database.transaction() as tx:
            return tx.execute(mails.select().where(mails.c.user_id == person.id)).one()

    wait_for(lambda: row().attempts >= 2)
    assert mailbox.of(email) == []
    mailbox.answer(email, "take")
    token = token_of(mailbox.newest(email))
    assert make.client().post("verify-email", {"token": token}).status_code == 204
    wait_for(lambda: row().state == "sent")
    with make.database.transaction() as tx:
        assert tx.execute(links.select().where(links.c.user_id == person.id)).all() == []


@pytest.mark.parametrize(("answer", "state", "arrived"), [("refuse", "failed", 0), ("lose", "unknown", 1)])
def test_what_is_over_is_not_sent_again(
    make: Factory, mailbox: Mailbox, answer: str, state: str, arrived: int
) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    mailbox.answer(email, answer)
    person = make.person(email=email)

    def row() -> Any:
        with make.database.transaction() as tx:
            return tx.execute(mails.select().where(mails.c.user_id == person.id)).one()

    wait_for(lambda: row().state == state)
    mailbox.answer(email, "take")
    mailbox.reconcile()
    assert len(mailbox.of(email)) == arrived
    assert (row().attempts, row().email, row().facts) == (1, None, {})

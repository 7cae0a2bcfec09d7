"""The operator's command line about access: why, and what staff give and take back."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from lib.billing.gifts import code_hash
from lib.database.schema import audit_log, gift_codes
from tests.api import refused
from tests.factories import Factory, Person, wait_for
from tests.integration.command_line import CommandLine
from tests.integration.test_rentals import RENTAL, pay, watch


@pytest.fixture
def cli(environment: dict[str, str]) -> CommandLine:
    return CommandLine(environment)


def entitlement(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = person.api.get("account").json()["entitlement"]
    return found


def explained(cli: CommandLine, person: Person, **more: Any) -> dict[str, Any]:
    words = [word for name, value in more.items() for word in (f"--{name}", str(value))]
    return cli.json("account", "explain", person.email, *words)


def test_event_grant_answer(cli: CommandLine, make: Factory) -> None:
    person = make.subscriber("basic")
    make.control(email=person.email, action="cancel_at_period_end")
    wait_for(lambda: person.api.get("account").json()["subscription"]["cancel_at_period_end"])
    found = explained(cli, person)
    (grant,) = found["grants"]
    assert (grant["source"], grant["plan"], grant["holds"], grant["withheld"]) == (
        "subscription",
        "basic",
        True,
        None,
    )
    assert grant["event"]["type"].startswith(("customer.subscription.", "invoice.", "checkout."))
    assert grant["cause"] == f"event:{grant['event']['id']}"
    assert found["entitlement"] == entitlement(person)
    words = cli.run("account", "explain", person.email).stdout
    assert grant["event"]["id"] in words
    assert "answer: level 1, basic, subscription until" in words


def test_a_film_is_explained_as_it_is_answered(cli: CommandLine, make: Factory) -> None:
    person, video = make.subscriber("basic"), make.video(level=2, **RENTAL)
    for level, answer in ((0, "yes"), (1, "yes"), (2, "plan_upgrade_required")):
        assert explained(cli, person, video=make.video(level=level))["video"]["answer"] == answer
    refused(watch(person, video), 403, "plan_upgrade_required")
    session_id = pay(person, video)
    wait_for(lambda: watch(person, video).status_code == 200)
    told = explained(cli, person, video=video)["video"]
    assert (told["answer"], told["because"]) == ("yes", f"rental {session_id}")
    stranger = make.person()
    refused(watch(stranger, video), 402, "subscription_required")
    assert explained(cli, stranger, video=video)["video"]["answer"] == "subscription_required"
    hidden = make.video(level=1, published=False)
    assert explained(cli, person, video=hidden)["video"]["answer"] == "video_not_found"
    assert explained(cli, make.admin(), video=hidden)["video"]["answer"] == "yes"
    cli.fails(1, "account", "explain", person.email, "--video", str(uuid.uuid4()))


def test_who_has_nothing(cli: CommandLine, make: Factory) -> None:
    person = make.person()
    assert explained(cli, person)["grants"] == []
    assert "nothing was ever bought or given" in cli.run("account", "explain", person.email).stdout
    cli.fails(1, "account", "explain", "nobody@example.com")


def test_staff_give_and_take_back(cli: CommandLine, make: Factory) -> None:
    person = make.person()
    give = ("account", "give", person.email, "premium", "--days", "14")
    assert cli.json(*give, "--dry-run")["grant"] is None
    assert entitlement(person)["active"] is False
    given = cli.json(*give)
    found = entitlement(person)
    assert (found["plan"], found["reason"]) == ("premium", "staff")
    left = datetime.fromisoformat(found["until"]) - datetime.now(UTC)
    assert timedelta(days=13) < left <= timedelta(days=14)
    take_back = ("account", "take-back", person.email, given["grant"])
    cli.json(*take_back, "--dry-run")
    assert entitlement(person)["active"] is True
    cli.json(*take_back)
    assert entitlement(person) == found | {
        "active": False,
        "plan": None,
        "level": 0,
        "reason": "canceled",
        "until": None,
    }
    with make.database.transaction() as tx:
        lines = select(audit_log.c.kind, audit_log.c.actor).where(audit_log.c.user_id == person.id)
        said = tx.execute(lines.order_by(audit_log.c.id)).all()
    by_operator = [line.kind for line in said if line.actor.startswith("operator:")]
    assert by_operator == ["grant_given", "entitlement_changed", "grant_revoked", "entitlement_changed"]


def test_what_was_paid_for_is_not_taken_back_here(cli: CommandLine, make: Factory) -> None:
    """The next sync would give it again: it ends at Stripe, with its money."""
    person = make.subscriber()
    (grant,) = explained(cli, person)["grants"]
    cli.fails(1, "account", "take-back", person.email, grant["id"])
    cli.fails(1, "account", "take-back", make.person().email, grant["id"])
    assert entitlement(person)["active"] is True


@pytest.mark.parametrize("refund", [True, False])
def test_a_subscription_is_ended_by_an_operator(cli: CommandLine, make: Factory, refund: bool) -> None:
    person = make.subscriber()
    (grant,) = explained(cli, person)["grants"]
    words = ("account", "end-subscription", person.email, grant["source_id"], *(["--refund"] * refund))
    assert cli.json(*words, "--dry-run")["refunded"] == 0
    assert entitlement(person)["active"] is True
    assert cli.json(*words)["refunded"] == (799 if refund else 0)
    assert entitlement(person)["reason"] == "canceled"
    (after,) = explained(cli, person)["grants"]
    assert after["withheld"] == "revoked"
    (charge,) = make.stripe("GET", "charges", customer=make.customer(person))["data"]
    assert charge["amount_refunded"] == (799 if refund else 0)
    cli.fails(1, "account", "end-subscription", make.person().email, grant["source_id"])


def test_codes_are_made_shown_once_and_work(cli: CommandLine, make: Factory) -> None:
    words = ("gifts", "make", "basic", "--days", "30", "--count", "3", "--note", "spring")
    assert cli.json(*words, "--dry-run")["codes"] == []
    codes = cli.json(*words)["codes"]
    assert len(set(codes)) == 3
    person = make.person()
    assert person.api.post("redeem", {"code": codes[0]}).status_code == 200
    with make.database.transaction() as tx:
        row = tx.execute(select(gift_codes).where(gift_codes.c.code_hash == code_hash(codes[1]))).one()
    assert (row.plan, row.days, row.note, row.redeemed_at) == ("basic", 30, "spring", None)
    assert row.made_by.startswith("operator:")
    (grant,) = explained(cli, person)["grants"]
    cli.json("account", "take-back", person.email, grant["id"])
    assert entitlement(person)["active"] is False


def test_an_expired_code(cli: CommandLine, make: Factory) -> None:
    (code,) = cli.json("gifts", "make", "basic", "--days", "30", "--expires", "2020-01-01")["codes"]
    refused(make.person().api.post("redeem", {"code": code}), 404, "unknown_code")


def test_only_what_there_is(cli: CommandLine, make: Factory) -> None:
    cli.fails(1, "gifts", "make", "platinum", "--days", "30")
    cli.fails(1, "account", "give", make.person().email, "platinum", "--days", "30")
    cli.fails(2, "gifts", "make", "basic", "--days", "0")

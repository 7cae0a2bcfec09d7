"""The operator's command line, over the running stack."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from infra.local.postgres import EmbeddedPostgres
from infra.local.sandbox.state import State
from infra.local.supervisor import ADMIN_EMAIL, REPOSITORY, Stack
from lib.accounts import mail_store
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.schema import audit_log, billing_accounts, entitlements, inbox, subscriptions
from lib.errors import InvalidTokenError
from lib.web.ports import Claims
from tests.api import refused
from tests.factories import PASSWORD, Factory, wait_for
from tests.integration.command_line import CommandLine


@pytest.fixture
def cli(environment: dict[str, str]) -> CommandLine:
    return CommandLine(environment)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database without a table."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("empty"), durable=False)
    yield server.start()
    server.stop()


def address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


# -- where settings come from ---------------------------------------------------------------------------


def ran(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As from a shell."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *words],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "localhost", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_database_the_settings_of_make_run_are_taken(stack: Stack) -> None:
    # PLANS of this shell are ignored: it is all of one installation, or all of the other.
    words = ("account", "show", ADMIN_EMAIL, "--json")
    done = ran(*words, STREAMLY_LOCAL_DIR=str(stack.data_dir), PLANS="[]")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entitlement"]["reason"] == "staff"


def test_a_missing_setting_is_named_and_ends_with_2(tmp_path: Path) -> None:
    done = ran("admin", "list", STREAMLY_LOCAL_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "DATABASE_URL is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_out_of_reach_ends_with_1() -> None:
    done = ran("events", "list", DATABASE_URL="postgresql+pg8000://streamly:secret-word@127.0.0.1:1/streamly")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: The database cannot be reached (ConnectionRefusedError)\n"


def test_cloud_sql_without_credentials_says_so() -> None:
    instance = {"INSTANCE_CONNECTION_NAME": "project:region:streamly", "DB_NAME": "streamly"}
    done = ran("admin", "list", **instance, DB_USER="you@example.com", NO_GCE_CHECK="true", HOME="/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: The database cannot be reached (DefaultCredentialsError)\n"


def test_an_unknown_command_ends_with_2(cli: CommandLine) -> None:
    assert "No such command" in cli.fails(2, "fly")


# -- migrate --------------------------------------------------------------------------------------------


def test_migrate_tells_what_is_missing_and_applies_it_once(empty: str) -> None:
    cli = CommandLine({"DATABASE_URL": empty})
    versions = sorted((REPOSITORY / "lib/database/migrations/versions").glob("0*.py"))
    missing = [path.name[:4] for path in versions]
    for _ in range(2):
        planned = cli.json("migrate", "--dry-run")
        assert not planned["applied"]
        assert [one["revision"] for one in planned["revisions"]] == missing
    assert planned["revisions"][0]["title"] == "The first schema"
    done = cli.run("migrate")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "applied 0001: The first schema"), done.output
    assert cli.run("migrate", "--dry-run").stdout == "nothing is missing\n"
    assert cli.json("migrate") == {"applied": True, "revisions": []}
    assert cli.json("admin", "list") == {"admins": []}


# -- admin ----------------------------------------------------------------------------------------------


def test_an_admin_is_made_and_may_upload(cli: CommandLine, make: Factory) -> None:
    email = address()
    # Written as people write, kept as register keeps it.
    written = email.upper()
    planned = cli.json("admin", "add", written, "--dry-run")
    assert (planned["email"], planned["created"]) == (email, True)
    assert email not in str(cli.json("admin", "list"))
    made = cli.json("admin", "add", written, "--password-stdin", given=f"{PASSWORD}\n")
    assert made == {
        "user_id": made["user_id"],
        "email": email,
        "created": True,
        "promoted": False,
        "password_set": False,
    }
    person = make.login(email)
    assert str(person.id) == made["user_id"]
    assert person.api.post("upload-asset", {"title": "A film"}).status_code == 201
    assert made["user_id"] in [one["user_id"] for one in cli.json("admin", "list")["admins"]]
    assert email in cli.run("admin", "list").stdout

    assert cli.json("admin", "remove", email, "--dry-run")["removed"] is True
    assert person.api.post("upload-asset", {"title": "A film"}).status_code == 201
    assert cli.json("admin", "remove", email)["removed"] is True
    refused(person.api.post("upload-asset", {"title": "A film"}), 403, "forbidden")
    assert cli.run("admin", "remove", email).stdout == f"{email} was no admin\n"


def test_a_password_is_asked_for_without_showing_it(cli: CommandLine, make: Factory) -> None:
    email = address()
    done = cli.run("admin", "add", email, given=f"{PASSWORD}\n{PASSWORD}\n")
    assert (done.exit_code, done.stdout) == (0, f"{email} is an admin\n"), done.output
    assert PASSWORD not in done.output
    make.login(email)


def test_an_account_that_exists_is_promoted_after_a_question(cli: CommandLine, make: Factory) -> None:
    person = make.person()
    cli.fails(1, "admin", "add", person.email, given="n\n")
    refused(person.api.post("upload-asset", {"title": "A film"}), 403, "forbidden")
    assert cli.json("admin", "add", person.email, "--yes")["promoted"] is True
    # The same login, the same password: only the role is new.
    assert person.api.post("upload-asset", {"title": "A film"}).status_code == 201
    with make.database.transaction() as tx:
        lines = tx.execute(
            select(audit_log.c.actor, audit_log.c.detail).where(
                audit_log.c.user_id == person.id, audit_log.c.kind == "admin_added"
            )
        ).all()
    assert len(lines) == 1
    assert lines[0].actor.startswith("operator:")
    # Once is enough: nothing changes, nothing is written down.
    again = cli.json("admin", "add", person.email)
    assert [again[change] for change in ("created", "promoted", "password_set")] == [False] * 3
    shown = cli.json("account", "show", person.email)
    assert [line["kind"] for line in shown["audit"]].count("admin_added") == 1


def test_a_new_password_ends_the_logins_of_whoever_made_the_account(cli: CommandLine, make: Factory) -> None:
    stranger = make.person()
    done = cli.json("admin", "add", stranger.email, "--password-stdin", given="of the owner alone\n")
    assert (done["promoted"], done["password_set"]) == (True, True)
    refused(stranger.api.get("account"), 401, "invalid_token")
    refused(
        make.client().post("login", {"email": stranger.email, "password": PASSWORD}),
        401,
        "invalid_credentials",
    )
    assert make.login(stranger.email, "of the owner alone").api.get("account").status_code == 200


def test_what_register_refuses_is_refused_here(cli: CommandLine) -> None:
    assert "email" in cli.fails(1, "admin", "add", "nobody", "--password-stdin", given=f"{PASSWORD}\n")
    email = address()
    said = cli.fails(1, "admin", "add", email, "--password-stdin", given="short\n")
    assert "at least 8 characters" in said
    assert email not in str(cli.json("admin", "list"))
    cli.fails(1, "admin", "remove", address())
    cli.fails(2, "admin", "add")


# -- keys -----------------------------------------------------------------------------------------------


def tokens(keys: Mapping[str, Any]) -> JwtTokens:
    values = {"ACCESS_TOKEN_KEYS": json.dumps(keys), "TOKEN_ISSUER": "https://x", "TOKEN_AUDIENCE": "x"}
    return JwtTokens(Environment(values).tokens())


def test_keys_are_rotated_and_dropped(cli: CommandLine, tmp_path: Path) -> None:
    claims, now = Claims(uuid.uuid4(), uuid.uuid4()), datetime.now(UTC)
    first = json.loads(cli.run("keys", "make").stdout)
    old = first["keys"][0]["kid"]
    issued, _ = tokens(first).issue(claims, now=now)

    rotated = cli.json("keys", "rotate", ACCESS_TOKEN_KEYS=json.dumps(first))
    both = rotated["access_token_keys"]
    assert rotated["verify"] == [rotated["signs"], old]
    newer, _ = tokens(both).issue(claims, now=now)
    assert tokens(both).verify(issued) == claims
    with pytest.raises(InvalidTokenError):
        tokens(first).verify(newer)

    path = tmp_path / "keys.json"
    path.write_text(json.dumps(both))
    dropped = json.loads(cli.run("keys", "rotate", "--keys", str(path), "--drop-old", old).stdout)
    assert [key["kid"] for key in dropped["keys"]] == [rotated["signs"]]
    assert tokens(dropped).verify(newer) == claims
    with pytest.raises(InvalidTokenError):
        tokens(dropped).verify(issued)


def test_a_rotation_in_steps_refuses_no_token_at_any_time(cli: CommandLine) -> None:
    claims, now = Claims(uuid.uuid4(), uuid.uuid4()), datetime.now(UTC)
    before = json.loads(cli.run("keys", "make").stdout)
    announced = json.loads(
        cli.run("keys", "rotate", "--keys", "-", "--announce", given=json.dumps(before)).stdout
    )
    new = announced["keys"][1]["kid"]
    promoted = json.loads(
        cli.run("keys", "rotate", "--keys", "-", "--promote", new, given=json.dumps(announced)).stdout
    )
    assert [key["kid"] for key in promoted["keys"]] == [new, before["keys"][0]["kid"]]
    # While one set replaces the other, either may have issued what either has to verify.
    for earlier, later in ((before, announced), (announced, promoted)):
        for issuer, verifier in ((earlier, later), (later, earlier)):
            token, _ = tokens(issuer).issue(claims, now=now)
            assert tokens(verifier).verify(token) == claims


def test_a_rehearsal_of_a_rotation_shows_no_key(cli: CommandLine, stack: Stack) -> None:
    present = json.loads(stack.settings.access_token_keys)["keys"][0]
    done = cli.run("keys", "rotate", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, f"would sign: (new)\nwould verify: (new), {present['kid']}\n")
    assert cli.json("keys", "rotate", "--dry-run")["verify"] == ["(new)", present["kid"]]
    assert present["d"] not in done.output


def test_rotations_that_make_no_sense_are_refused(cli: CommandLine, stack: Stack) -> None:
    signs = json.loads(stack.settings.access_token_keys)["keys"][0]
    assert "signs" in cli.fails(2, "keys", "rotate", "--drop-old", signs["kid"])
    assert "has no key" in cli.fails(2, "keys", "rotate", "--promote", "nobody's")
    cli.fails(2, "keys", "rotate", "--announce", "--drop-old", "x")
    public = {"keys": [{name: value for name, value in signs.items() if name != "d"}]}
    said = cli.fails(2, "keys", "rotate", "--keys", "-", given=json.dumps(public))
    assert "private keys" in said
    broken = {"keys": [signs | {"x": signs["y"]}]}
    assert "P-256" in cli.fails(2, "keys", "rotate", "--keys", "-", given=json.dumps(broken))
    assert signs["d"] not in said


# -- events ---------------------------------------------------------------------------------------------


def left_behind(make: Factory, customer: str, *, state: str = "received") -> str:
    """An event whose task was lost long ago; reconcile leaves it alone for an hour."""
    event_id, now = f"evt_{uuid.uuid4().hex}", datetime.now(UTC)
    with make.database.transaction() as tx:
        tx.execute(
            insert(inbox).values(
                event_id=event_id,
                type="customer.subscription.updated",
                object_id="sub_x",
                customer_id=customer,
                state=state,
                enqueues=7 if state == "received" else 0,
                received_at=now - timedelta(minutes=1),
                enqueued_at=now - timedelta(seconds=1),
                processed_at=now if state in ("processed", "ignored") else None,
            )
        )
    return event_id


def state_of(make: Factory, event_id: str) -> str:
    with make.database.transaction() as tx:
        return str(tx.scalar(select(inbox.c.state).where(inbox.c.event_id == event_id)))


def under_way(make: Factory, customer: str) -> bool:
    """Whether an event is on its way from Stripe, or one of this customer waits to be processed."""
    sandbox = State(make.stack.data_dir / "sandbox.sqlite")
    try:
        if any(delivery["status"] == "pending" for delivery in sandbox.all("delivery")):
            return True
    finally:
        sandbox.close()
    waits = select(inbox.c.event_id).where(inbox.c.state == "received", inbox.c.customer_id == customer)
    with make.database.transaction() as tx:
        return tx.execute(waits).first() is not None


def forgotten(make: Factory) -> tuple[Any, str]:
    """A subscriber whose rows say that nothing was paid, as if no event had ever been processed; customer."""
    person = make.subscriber()
    with make.database.transaction() as tx:
        customer = str(
            tx.scalar(
                select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
            )
        )
    # Paying makes several events, and each of them would mend what is broken here.
    wait_for(lambda: not under_way(make, customer))
    with make.database.transaction() as tx:
        tx.execute(entitlements.delete().where(entitlements.c.user_id == person.id))
        tx.execute(subscriptions.delete().where(subscriptions.c.user_id == person.id))
    return person, customer


def test_a_left_event_that_is_replayed_brings_access(cli: CommandLine, make: Factory) -> None:
    person, customer = forgotten(make)
    event_id = left_behind(make, customer)
    assert not person.api.get("account").json()["entitlement"]["active"]
    assert cli.json("events", "replay", event_id, "--dry-run")["would_replay"] == 1
    assert state_of(make, event_id) == "received"
    assert cli.json("events", "replay", event_id) == {"replayed": 1}
    wait_for(lambda: person.api.get("account").json()["entitlement"]["active"])
    wait_for(lambda: state_of(make, event_id) == "processed")
    # What was processed, or ignored, can be replayed too.
    ignored = left_behind(make, customer, state="ignored")
    for again in (event_id, ignored):
        assert cli.run("events", "replay", again).stdout == "replayed 1\n"
        wait_for(lambda again=again: state_of(make, again) == "processed")  # type: ignore[misc]


def test_all_that_were_left_are_replayed(cli: CommandLine, make: Factory) -> None:
    person, customer = forgotten(make)
    waiting = [left_behind(make, customer) for _ in range(3)]
    assert cli.json("events", "replay", "--all-left", "--dry-run")["would_replay"] >= 3
    done = cli.run("events", "replay", "--all-left", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["replayed"] >= 3
    assert "Replaying" in done.stderr
    for event_id in waiting:
        wait_for(lambda event_id=event_id: state_of(make, event_id) == "processed")  # type: ignore[misc]
    assert person.api.get("account").json()["entitlement"]["active"]


def test_all_the_dead_are_replayed(cli: CommandLine, make: Factory) -> None:
    _, customer = forgotten(make)
    dead = left_behind(make, customer, state="dead")
    assert dead in {one["event_id"] for one in cli.json("events", "list", "--state", "dead")["events"]}
    assert cli.json("events", "replay", "--all-dead", "--dry-run")["would_replay"] >= 1
    assert state_of(make, dead) == "dead"
    assert cli.json("events", "replay", "--all-dead")["replayed"] >= 1
    wait_for(lambda: state_of(make, dead) == "processed")
    cli.fails(2, "events", "replay", "--all-dead", "--all-left")


def test_mails_are_listed(cli: CommandLine, make: Factory) -> None:
    user_id = make.person().id
    with make.database.transaction() as tx:
        facts = {"address": "203.0.113.9"}
        due_in = timedelta(days=1)
        mail_id = mail_store.add_mail(
            tx, "new_device", user_id=user_id, email=None, facts=facts, due_in=due_in
        )
    listed = cli.json("mails", "list", "--state", "waiting", "--limit", "1000")["mails"]
    (mine,) = [one for one in listed if one["id"] == str(mail_id)]
    assert (mine["kind"], mine["user_id"], mine["settled_at"]) == ("new_device", str(user_id), None)
    said = cli.run("mails", "list", "--limit", "100").stdout
    assert str(mail_id) in said
    assert "203.0.113.9" not in said
    assert str(mail_id) not in cli.run("mails", "list", "--state", "sent", "--limit", "1000").stdout
    cli.fails(2, "mails", "list", "--state", "eaten")


def test_events_are_listed(cli: CommandLine, make: Factory) -> None:
    event_id = left_behind(make, "cus_nobody", state="ignored")
    with make.database.transaction() as tx:
        tx.execute(
            update(inbox)
            .where(inbox.c.event_id == event_id)
            .values(received_at=datetime.now(UTC), last_error="X")
        )
    listed = cli.json("events", "list", "--state", "ignored", "--limit", "5")["events"]
    assert len(listed) <= 5
    found = next(one for one in listed if one["event_id"] == event_id)
    assert (found["state"], found["last_error"], found["customer_id"]) == ("ignored", "X", "cus_nobody")
    assert event_id in cli.run("events", "list", "--limit", "100").stdout
    cli.fails(2, "events", "list", "--state", "eaten")


def test_replays_that_cannot_be(cli: CommandLine, make: Factory) -> None:
    assert "no such event" in cli.fails(1, "events", "replay", "evt_never")
    assert "no such event" in cli.fails(1, "events", "replay", "evt_never", "--dry-run")
    cli.fails(2, "events", "replay")
    cli.fails(2, "events", "replay", "evt_x", "--all-left")
    event_id = left_behind(make, "cus_nobody")
    said = cli.fails(1, "events", "replay", event_id, DISPATCHER_URL="http://127.0.0.1:1")
    assert "queue is out of reach" in said
    assert state_of(make, event_id) == "received"
    assert cli.json("events", "replay", event_id) == {"replayed": 1}
    wait_for(lambda: state_of(make, event_id) == "ignored")


# -- account --------------------------------------------------------------------------------------------


def test_an_account_is_synced_with_stripe(cli: CommandLine, make: Factory) -> None:
    person, _ = forgotten(make)
    rehearsed = cli.json("account", "sync", person.email, "--dry-run")
    assert (rehearsed["before"]["active"], rehearsed["entitlement"]["active"]) == (False, True)
    # Seen, and taken back.
    assert not person.api.get("account").json()["entitlement"]["active"]
    synced = cli.json("account", "sync", str(person.id))
    assert synced["changed"] is True
    answer = person.api.get("account").json()
    assert synced["entitlement"] == answer["entitlement"]
    assert synced["subscription"] == answer["subscription"]
    assert "level 1, basic, subscription" in cli.run("account", "sync", person.email).stdout
    shown = cli.json("account", "show", person.email.upper(), "--lines", "1")
    assert shown["entitlement"] == answer["entitlement"]
    assert [one["plan"] for one in shown["subscriptions"]] == ["basic"]
    assert [line["kind"] for line in shown["audit"]] == ["entitlement_changed"]
    assert shown["audit"][0]["actor"].startswith("operator:")
    assert shown["user"]["id"] == str(person.id)
    assert "password" not in str(shown)
    words = cli.run("account", "show", str(person.id)).stdout
    assert "level 1, basic, subscription" in words
    assert "entitlement_changed by operator:" in words


def test_an_account_that_never_paid(cli: CommandLine, make: Factory) -> None:
    person = make.person()
    done = cli.json("account", "sync", person.email)
    assert (done["stripe_customer_id"], done["entitlement"]["reason"]) == (None, "none")
    assert cli.json("account", "show", person.email)["subscriptions"] == []


def test_the_audit_log_of_an_account_and_of_one_that_is_gone(cli: CommandLine, make: Factory) -> None:
    person = make.person()
    said = cli.json("account", "audit", person.email)
    assert (said["user_id"], said["gone"]) == (str(person.id), False)
    (line,) = said["audit"]
    assert (line["kind"], line["actor"], line["address"]) == ("registered", f"user:{person.id}", "127.0.0.1")
    person.api.call("DELETE", "account", json={"password": PASSWORD})
    assert "no such account" in cli.fails(1, "account", "audit", person.email)
    said = cli.json("account", "audit", str(person.id))
    assert said["gone"] is True
    assert [(line["kind"], line["address"]) for line in said["audit"]] == [
        ("account_deleted", None),
        ("registered", None),
    ]


def test_accounts_that_cannot_be_synced(cli: CommandLine, make: Factory) -> None:
    assert "no such account" in cli.fails(1, "account", "sync", address())
    assert "no such account" in cli.fails(1, "account", "show", str(uuid.uuid4()))
    person = make.subscriber()
    said = cli.fails(1, "account", "sync", person.email, STRIPE_API_BASE="http://127.0.0.1:1")
    assert "Traceback" not in said
    with make.database.transaction() as tx:
        tx.execute(
            update(billing_accounts)
            .where(billing_accounts.c.user_id == person.id)
            .values(stripe_customer_id=f"cus_{uuid.uuid4().hex}")
        )
    assert "another account's" in cli.fails(1, "account", "sync", person.email)
    assert person.api.get("account").json()["entitlement"]["active"]

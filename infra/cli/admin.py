"""admin: who may upload films."""

import json
import sys
from typing import Any

import click
from sqlalchemy import Row

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, operator, show, table
from lib.accounts import store
from lib.accounts.endpoints import Email, RegisterBody
from lib.accounts.staff import Staff
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.errors import NotFoundError
from lib.web.bodies import Body, parse


class _Address(Body):
    email: Email


@click.group()
def admin() -> None:
    """Who may upload films."""


@admin.command()
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input: its first line.")
@click.option("--new-password", is_flag=True, help="Ask for a password, also where the account exists.")
@click.option("--yes", is_flag=True, help="Promote an existing account without asking.")
@dry_run_option
@json_option
@operator
def add(
    on: Operator,
    email: str,
    *,
    password_stdin: bool,
    new_password: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make EMAIL an admin.

    Where there is no such account one is made, with a password that is asked for. An account that exists
    keeps its password unless a new one is given, which also ends its logins. Addresses are not verified:
    give a new one unless you know who made the account.
    """
    email = parse(_Address, json.dumps({"email": email}).encode(), {}).email
    with on.database.transaction() as tx:
        known = store.user_by_email(tx, email)
    if dry_run:
        show(
            {
                "email": email,
                "created": known is None,
                "promoted": known is not None and known.role != "admin",
                "password_set": new_password or password_stdin or known is None,
                "dry_run": True,
            },
            [_would(email, known, new_password=new_password or password_stdin)],
            as_json=as_json,
        )
        return
    password = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif new_password or known is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    elif known.role != "admin" and not yes:
        made = f"{known.created_at:%Y-%m-%d}"
        click.confirm(
            f"{email} has an account since {made} whose password stays as it is. Make it an admin?",
            abort=True,
            err=True,
        )
    if password is not None:
        rules = {"password_min_length": on.settings.accounts().password_min_length}
        given = json.dumps({"email": email, "password": password}).encode()
        password = parse(RegisterBody, given, rules).password
    done = Staff(on.database, Argon2Hasher(1)).add(email, password=password, actor=on.actor)
    show(
        {
            "user_id": done.user.id,
            "email": email,
            "created": done.created,
            "promoted": done.promoted,
            "password_set": done.password_set,
        },
        [f"{email} is an admin" + (", with a new password" if done.password_set else "")],
        as_json=as_json,
    )


def _would(email: str, known: Row[Any] | None, *, new_password: bool) -> str:
    if known is None:
        return f"would make an account for {email}, an admin's"
    role = "is an admin" if known.role == "admin" else "would become an admin"
    return f"{email} {role}" + ("; would get a new password" if new_password else "")


@admin.command()
@click.argument("email")
@dry_run_option
@json_option
@operator
def remove(on: Operator, email: str, *, dry_run: bool, as_json: bool) -> None:
    """Make EMAIL a viewer again, from its next request on. Its account and its logins stay."""
    email = email.strip().lower()
    with on.database.transaction() as tx:
        known = store.user_by_email(tx, email)
    if known is None:
        raise NotFoundError("There is no such account")
    if not dry_run:
        Staff(on.database, Argon2Hasher(1)).remove(email, actor=on.actor)
    removed = known.role == "admin"
    words = "would be" if dry_run else "is"
    show(
        {"user_id": known.id, "email": email, "removed": removed, "dry_run": dry_run},
        [f"{email} {words} a viewer" if removed else f"{email} was no admin"],
        as_json=as_json,
    )


@admin.command("list")
@json_option
@operator
def list_(on: Operator, *, as_json: bool) -> None:
    """All admins, the first ones first."""
    with on.database.transaction() as tx:
        found = store.admins(tx)
    admins = [
        {"user_id": user.id, "email": user.email, "name": user.name, "created_at": user.created_at}
        for user in found
    ]
    lines = table([("email", "since", "id"), *((user.email, user.created_at, user.id) for user in found)])
    show({"admins": admins}, lines, as_json=as_json)

"""keys: what access tokens are signed with. Nothing here writes anywhere but to standard output."""

import json
from collections.abc import Sequence
from typing import IO, Any

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, operator, show
from lib.adapters.jwt_tokens import JwtTokens
from lib.adapters.token_keys import make_key
from lib.config import Environment, TokenSettings

Key = dict[str, Any]


@click.group()
def keys() -> None:
    """What access tokens are signed with: ACCESS_TOKEN_KEYS. Prints private keys: pipe them where they belong."""


@keys.command()
@json_option
def make(*, as_json: bool) -> None:
    """A new set with one key, as JSON."""
    del as_json  # it is JSON either way
    click.echo(_text([make_key()]))


@keys.command()
@click.option(
    "--keys",
    "present",
    type=click.File(),
    help="The present set; - for standard input. Without it ACCESS_TOKEN_KEYS.",
)
@click.option("--announce", is_flag=True, help="Put the new key second: it verifies, and does not sign yet.")
@click.option("--promote", metavar="KID", help="No new key: let this one sign.")
@click.option("--drop-old", metavar="KID", help="No new key: leave this one out; its tokens end.")
@dry_run_option
@json_option
@operator
def rotate(
    on: Operator,
    *,
    present: IO[str] | None,
    announce: bool,
    promote: str | None,
    drop_old: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """The present set with a new key that signs; the others still verify. As JSON.

    So that no request is refused meanwhile, in three deployments: --announce; once every function
    has it, --promote the new key; after ACCESS_TOKEN_SECONDS, --drop-old the old one. Without these steps
    instances that do not know the new key yet refuse its tokens until they are replaced. Nobody is
    logged out by either: refresh tokens do not depend on these keys.
    """
    if sum((announce, promote is not None, drop_old is not None)) > 1:
        raise click.UsageError("--announce, --promote and --drop-old are steps of their own: give one")
    before = _read(on, present)
    if promote is not None:
        after, then = promoted(before, promote), "deploy; after ACCESS_TOKEN_SECONDS --drop-old the others"
    elif drop_old is not None:
        after, then = dropped(before, drop_old), "deploy"
    elif announce:
        fresh = make_key()
        after, then = [before[0], fresh, *before[1:]], f"deploy; then --promote {fresh['kid']}"
    else:
        after, then = [make_key(), *before], "deploy; after ACCESS_TOKEN_SECONDS --drop-old the others"
    kids = [key["kid"] for key in after]
    if dry_run:
        # A key that was made for this is not kept, so its name would mislead.
        old = {key["kid"] for key in before}
        kids = [kid if kid in old else "(new)" for kid in kids]
        show(
            {"signs": kids[0], "verify": kids, "dry_run": True},
            [f"would sign: {kids[0]}", f"would verify: {', '.join(kids)}"],
            as_json=as_json,
        )
        return
    if as_json:
        show(
            {"signs": kids[0], "verify": kids, "access_token_keys": {"keys": after}, "then": then},
            (),
            as_json=True,
        )
        return
    click.echo(_text(after))
    click.echo(f"signs: {kids[0]}; verify: {', '.join(kids)}\nnext: {then}", err=True)


def promoted(present: Sequence[Key], kid: str) -> list[Key]:
    """The set with this key first."""
    return sorted(_with(present, kid), key=lambda key: bool(key["kid"] != kid))


def dropped(present: Sequence[Key], kid: str) -> list[Key]:
    """The set without this key, which must not be the one that signs."""
    left = [key for key in _with(present, kid) if key["kid"] != kid]
    if present[0]["kid"] == kid:
        raise click.UsageError(f"{kid} signs: let another one do so first")
    return left


def _with(present: Sequence[Key], kid: str) -> Sequence[Key]:
    kids = [key["kid"] for key in present]
    if kid not in kids:
        raise click.UsageError(f"The set has no key {kid}, but {', '.join(kids)}")
    return present


def _read(on: Operator, present: IO[str] | None) -> list[Key]:
    """The present keys, each of them usable. Raises ConfigError."""
    if present is not None:
        environment = Environment({"ACCESS_TOKEN_KEYS": present.read()})
    elif on.given.get("ACCESS_TOKEN_KEYS"):
        environment = Environment(on.given)
    else:
        environment = on.settings
    found = environment.token_keys()
    JwtTokens(TokenSettings(found, issuer="", audience="", access_seconds=0))
    return list(found)


def _text(found: Sequence[Key]) -> str:
    """On one line, as a setting wants it."""
    return json.dumps({"keys": list(found)}, separators=(",", ":"))

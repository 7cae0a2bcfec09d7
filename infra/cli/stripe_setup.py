"""stripe-setup: the Stripe account as PLANS wants it."""

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, operator, show
from lib.adapters.stripe_setup import StripeSetup
from lib.billing.told import WANTED


@click.command("stripe-setup")
@click.option(
    "--webhook-url", metavar="URL", help="Where stripe-webhook listens. Without it endpoints are left alone."
)
@click.option("--yes", is_flag=True, help="Do not ask before each change.")
@dry_run_option
@json_option
@operator
def stripe_setup(on: Operator, *, webhook_url: str | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Make Stripe's products, prices, portal and webhook endpoint from PLANS, or tell what differs.

    What is right already is left alone. A price that differs is replaced by a new one, to which the lookup key
    moves; who pays the old one goes on paying it. Nothing is ever deleted.
    """
    setup = StripeSetup(
        on.settings.stripe(),
        on.settings.plans(),
        app_url=on.settings.app_url(),
        webhook_url=webhook_url,
        events=sorted(WANTED),
    )
    done, lines = [], []
    for change in setup.changes():
        said = f"{change.action} {change.what} {change.name}: {change.detail}"
        if not dry_run and not yes:
            click.confirm(f"{said}?", abort=True, err=True)
        facts = {} if dry_run else change.carry_out()
        done.append({"what": change.what, "name": change.name, "action": change.action, **facts})
        lines.append(f"would {said}" if dry_run else said)
        if "set" in facts:
            lines.append(f"  now set {facts['set']}")
    show(
        {"changes": done, "dry_run": dry_run},
        lines or ["nothing differs"],
        as_json=as_json,
    )

"""The program: its groups, and how failures end.

Exit codes: 0 done, 1 failed, 2 called wrongly or without a setting. Results go to standard output, all
else to standard error.
"""

from typing import Any

import click
from alembic.util import CommandError

from infra.cli.account import account
from infra.cli.admin import admin
from infra.cli.backfill import backfill
from infra.cli.events import events
from infra.cli.explain import explain
from infra.cli.giving import end_subscription, gifts, give, take_back
from infra.cli.keys import keys
from infra.cli.mails import mails
from infra.cli.migrate import migrate
from infra.cli.operator import Operator
from infra.cli.stripe_setup import stripe_setup
from infra.cli.trace import trace
from infra.cli.video import video
from infra.env_file import EnvFileError
from lib.billing.ports import CustomerGoneError
from lib.errors import ConfigError, Refusal


class CalledWronglyError(click.ClickException):
    exit_code = 2


class Program(click.Group):
    """Turns the refusals of the services into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, EnvFileError) as error:
            raise CalledWronglyError(str(error)) from None
        except Refusal as refusal:
            fields = "".join(f"; {error.field}: {error.message}" for error in refusal.errors)
            raise click.ClickException(refusal.detail + fields + _cause(refusal)) from None
        except CustomerGoneError:
            raise click.ClickException(
                "Stripe does not know this account's customer: is STRIPE_SECRET_KEY another account's?"
            ) from None
        except CommandError as error:
            raise click.ClickException(f"The database is newer than this code: {error}") from None


def _cause(error: BaseException) -> str:
    """What lies at the bottom of it, by its type alone: a driver's or a vendor's text may hold secrets."""
    found = error
    while found.__cause__ is not None:
        found = found.__cause__
    return "" if found is error else f" ({type(found).__name__})"


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def program(ctx: click.Context) -> None:
    """Operate Streamly: locally while `make run` runs, or in the cloud with its settings in the environment."""
    ctx.obj = Operator()
    ctx.call_on_close(ctx.obj.close)


for part in (explain, give, take_back, end_subscription):
    account.add_command(part)
for part in (migrate, admin, keys, events, account, mails, gifts, backfill, stripe_setup, video, trace):
    program.add_command(part)

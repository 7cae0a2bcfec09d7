"""Webhooks that come all at once: kept, enqueued and answered, against a handler that does its work first."""

from collections.abc import Iterator
from contextlib import ExitStack

from sqlalchemy import create_engine, text

from tests.bench.figures import Figure, against, median
from tests.bench.load import Load, Request, burst
from tests.bench.served import framework_peer, function, threads_of
from tests.bench.stage import Stage
from tests.bench.stripe_stand_in import StripeStandIn
from tests.billing import event, signed

INLINE = "(c) inline handler"
BURST, AT_ONCE, PAYERS = 2000, 64, 200


def webhooks(stage: Stage, rounds: int, number: int = BURST) -> Iterator[Figure]:
    """Twice: with a Stripe that answers at once, which no network does, and with one that takes 100 ms."""
    _name_customers(stage)
    for seconds, said in ((0.0, "Stripe answers at once"), (0.1, "Stripe takes 100 ms")):
        if seconds:
            # It is slow by itself: fewer, or it would take minutes.
            number //= 4
        with ExitStack() as running:
            stripe = running.enter_context(StripeStandIn(seconds))
            environment = stage.environment(more={"STRIPE_API_BASE": stripe.url})
            peer = framework_peer("inline_webhook", threads_of("stripe-webhook"))
            servers = running.enter_context(
                stage.started({"ours": function("stripe-webhook"), INLINE: peer}, environment)
            )
            found: dict[str, list[Load]] = {name: [] for name in servers}
            for server in servers.values():
                server.first_answer(_events(stage, 1)[0], 200)
            for turn in range(rounds + 1):
                for name, server in servers.items():
                    # The first is the warm-up.
                    most = number if turn else min(200, number)
                    file = stage.file("events", _events(stage, most))
                    loaded = burst(server.url, file, connections=AT_ONCE, most=most)
                    if turn:
                        found[name].append(loaded)
        rates = {name: median([one.rate for one in loads]) for name, loads in found.items()}
        p99s = {name: median([one.p99 for one in loads]) for name, loads in found.items()}
        what = f"{number:,} webhooks, {AT_ONCE} at once, {said}"
        yield from against("webhooks", what, "accepted/s", rates.pop("ours"), rates, least={INLINE: 2.0})
        yield from against("webhooks", f"p99 of {what}", "ms", p99s.pop("ours"), p99s, most={INLINE: 0.5})


def _events(stage: Stage, number: int) -> list[Request]:
    """Each of its own; of many payers, so that none waits for another's row more often than on such a day."""
    secret = stage.stack.settings.stripe_webhook_secret
    requests = []
    for count in range(number):
        name = str(count % PAYERS + 1)
        told = {"id": f"sub_{name}", "object": "subscription", "customer": f"cus_{name}"}
        payload = event(f"cus_{name}", data={"object": told})
        headers = (("Stripe-Signature", signed(payload, secret=secret)), ("Content-Type", "application/json"))
        requests.append(Request("/", headers, payload.decode(), "POST"))
    return requests


def _name_customers(stage: Stage) -> None:
    engine = create_engine(stage.url)
    with engine.begin() as tx:
        tx.execute(
            text(
                "UPDATE billing_accounts b SET stripe_customer_id = 'cus_' || n FROM ("
                "SELECT user_id, row_number() OVER (ORDER BY user_id) AS n FROM billing_accounts) numbered "
                "WHERE numbered.user_id = b.user_id AND n <= :payers"
            ),
            {"payers": PAYERS},
        )
    engine.dispose()

"""`/sandbox/`: one page over everything the stand-ins hold, and the buttons to play with it."""

import html
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from infra.local.dispatcher import Dispatcher
from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.state import Document, State

SCRIPT = Path(__file__).with_name("index.js")
SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SHOWN = 20
ACTIONS = (
    ("renew", "the period ends, the card pays"),
    ("fail_payment", "the period ends, the card is declined"),
    ("recover", "the card works again"),
    ("cancel", "ends at once"),
    ("cancel_at_period_end", "ends with its period"),
    ("pause", "collection is paused"),
    ("resume", "and resumed"),
    ("refund", "the last payment, in full"),
    ("dispute", "the cardholder complains about the last payment"),
    ("dispute_won", "and the bank does not agree"),
    ("dispute_lost", "the bank takes the last payment back"),
    ("early_fraud_warning", "the bank takes the last payment for fraud"),
)
# Kind in the state, heading, and what is shown of each.
KINDS = (
    ("stripe.customer", "Stripe customers", ("id", "email", "created")),
    ("stripe.checkout.session", "Stripe checkout sessions", ("id", "status", "payment_status", "customer")),
    ("stripe.subscription", "Stripe subscriptions", ("id", "status", "customer", "cancel_at_period_end")),
    ("stripe.invoice", "Stripe invoices", ("id", "status", "amount_due", "customer")),
    ("mux.upload", "Mux uploads", ("id", "status", "asset_id")),
    ("mux.asset", "Mux assets", ("id", "status", "duration", "passthrough")),
    ("cloudflare.video", "Cloudflare videos", ("uid", "status", "duration", "creator")),
    ("mail", "Mail", ("sent_at", "to", "subject")),
)


def create_app(state: State, deliveries: Deliveries, dispatcher: Dispatcher) -> Starlette:
    """The page and its script, to be mounted at `/sandbox`."""

    async def page(request: Request) -> Response:
        parts = [_control(), _deliveries(deliveries), _tasks(dispatcher)]
        parts += [_kind(state.all(kind), title, fields) for kind, title, fields in KINDS]
        return HTMLResponse(
            _PAGE.format(body="\n".join(parts)),
            headers={"Content-Security-Policy": SECURITY_POLICY, "Cache-Control": "no-store"},
        )

    async def script(request: Request) -> Response:
        return FileResponse(SCRIPT, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    return Starlette(routes=[Route("/index.js", script), Route("/", page)])


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandbox – Streamly</title>
<link rel="icon" href="/pages/icon.svg">
<link rel="stylesheet" href="/pages/style.css">
<script src="/sandbox/index.js" defer></script>
<header><h1>Sandbox</h1><nav><a href="/">Streamly</a> <a href="/sandbox/mail">Mail</a> <a href="/docs">API</a></nav></header>
<main class="wide">
<p>Stand-ins for Stripe, Mux, Cloudflare Stream, a mail server, Cloud Tasks and Cloud Scheduler. Everything here is made up: no card is charged,
nothing leaves this machine.</p>
{body}
</main>
</html>
"""


def _control() -> str:
    options = "".join(f'<option value="{name}">{name} – {meaning}</option>' for name, meaning in ACTIONS)
    return f"""<section aria-labelledby="play"><h2 id="play">Play the customer or the bank</h2>
<form id="control" class="row">
<label>Email of the subscriber <input name="email" type="email" required autocomplete="off"></label>
<label>What happens <select name="action">{options}</select></label>
<button>Do it</button></form>
<form id="clock" class="row">
<label>Move Stripe’s clock to <input name="to" type="datetime-local" required></label>
<button>Advance</button></form>
<form id="reconcile" class="row"><button>Call reconcile now</button></form>
<pre id="answer" role="status"></pre></section>"""


def _deliveries(deliveries: Deliveries) -> str:
    rows = [
        (
            _moment(delivery["created_at"]),
            delivery["event_type"],
            delivery["url"],
            delivery["status"],
            delivery["attempts"],
            delivery["last_error"] or delivery["last_status"],
        )
        for delivery in deliveries.recent()[:SHOWN]
    ]
    return _table("Webhooks", ("when", "event", "to", "status", "attempts", "last answer"), rows)


def _tasks(dispatcher: Dispatcher) -> str:
    rows = [
        (
            _moment(task.created_at),
            task.name,
            json.dumps(task.body),
            task.status,
            task.attempts,
            task.last_answer,
        )
        for task in dispatcher.recent(SHOWN)
    ]
    return _table("Tasks", ("when", "name", "body", "status", "attempts", "last answer"), rows)


def _kind(documents: list[Document], title: str, fields: tuple[str, ...]) -> str:
    newest = documents[: -SHOWN - 1 : -1]
    return _table(title, fields, [[document.get(field) for field in fields] for document in newest])


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    heads = "".join(f"<th scope=col>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
    lines = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape('' if cell is None else str(cell))}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    if not lines:
        return f"<section><h2>{html.escape(title)}</h2><p>None yet.</p></section>"
    return (
        f"<section><h2>{html.escape(title)}</h2><div class=scroll><table>"
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))

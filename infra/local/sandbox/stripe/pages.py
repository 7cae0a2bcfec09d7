"""The two pages a customer sees: checkout and the billing portal. Plain HTML, no script."""

from datetime import UTC, datetime
from html import escape

from starlette.responses import HTMLResponse

from infra.local.sandbox.stripe.book import Object
from infra.local.sandbox.stripe.lifecycle import period

_STYLE = """
:root { color-scheme: light dark; --accent: light-dark(#4f46e5, #a5b4fc); --on-accent: light-dark(#fff, #111);
  --line: light-dark(#d4d4dc, #3c3c48); --ground: light-dark(#f5f5fa, #131318);
  --card: light-dark(#fff, #1d1d25); --soft: light-dark(#595966, #a9a9b8); --wrong: light-dark(#b3132b, #ff8fa0) }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 1rem/1.5 system-ui, sans-serif; background: var(--ground) }
main { width: min(26rem, 100%); background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 2rem }
h1 { font-size: 1.15rem; margin: 0; color: var(--soft); font-weight: 500 }
.price { font-size: 2rem; font-weight: 700; margin: 0 0 1rem }
.price small { font-size: 1rem; font-weight: 400; color: var(--soft) }
label { display: block; font-weight: 600; margin: 1rem 0 .25rem }
input:not([type=checkbox]) { width: 100%; font: inherit; padding: .65rem .75rem; border: 1px solid var(--soft); border-radius: .5rem;
  background: var(--ground); color: inherit }
button { width: 100%; margin-top: 1.25rem; font: inherit; font-weight: 600; padding: .75rem; border: 0;
  border-radius: .5rem; background: var(--accent); color: var(--on-accent); cursor: pointer }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
a { color: var(--accent) } .soft { color: var(--soft); font-size: .875rem }
.wrong { color: var(--wrong); font-weight: 600 }
section { border-top: 1px solid var(--line); margin-top: 1rem; padding-top: 1rem }
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def money(amount: int, currency: str) -> str:
    """``$7.99``; other currencies ``7.99 EUR``."""
    return f"${amount / 100:,.2f}" if currency == "usd" else f"{amount / 100:,.2f} {currency.upper()}"


def checkout(session: Object, *, wrong: str = "", status: int = 200) -> HTMLResponse:
    """The payment page of an open session, with what went wrong before."""
    items = session["_line_items"]
    name = ", ".join(item["description"] for item in items)
    recurring = items[0]["price"]["recurring"]
    rhythm = f" <small>per {escape(recurring['interval'])}</small>" if recurring else ""
    full = sum(item["price"]["unit_amount"] * item["quantity"] for item in items)
    notes = []
    if session["amount_total"] != full:
        notes.append(f"Due today: {money(session['amount_total'], session['currency'])}")
    if days := session["_subscription_data"].get("trial_period_days"):
        notes.append(f"{days} days free, cancel any time")
    email = ""
    if not session["customer"] and not session["customer_email"]:
        email = (
            '<label for="email">Email</label><input id="email" name="email" type="email" autocomplete="email"'
            ' value="viewer@example.com" required>'
        )
    code = ""
    if session["allow_promotion_codes"]:
        code = '<label for="code">Promotion code</label><input id="code" name="promotion_code" autocomplete="off">'
    terms = ""
    if (session["consent_collection"] or {}).get("terms_of_service") == "required":
        terms = '<label><input name="terms" type="checkbox" value="accepted" required> I agree to the terms</label>'
    alert = f'<p class="wrong" role="alert" id="wrong">{escape(wrong)}</p>' if wrong else ""
    described = ' aria-describedby="wrong" aria-invalid="true"' if wrong else ' aria-describedby="cards"'
    back = (
        f'<p><a href="{escape(session["cancel_url"])}">Cancel and go back</a></p>'
        if session["cancel_url"]
        else ""
    )
    body = f"""
<h1>{"Subscribe to" if recurring else "Pay for"} {escape(name)}</h1>
<p class="price">{money(full, session["currency"])}{rhythm}</p>
{"".join(f"<p>{escape(note)}</p>" for note in notes)}{alert}
<form method="post">{email}
<label for="card">Card number</label>
<input id="card" name="card" inputmode="numeric" autocomplete="cc-number" value="4242424242424242" required{described}>
{code}{terms}<button type="submit">{"Subscribe" if recurring else "Pay"}</button></form>
<p class="soft" id="cards">Sandbox: 4242424242424242 pays, 4000000000000002 is declined, 4000002500003155 asks its bank first. No money moves.</p>{back}"""
    return _page(f"Checkout: {name}", body, status)


def challenge(session: Object) -> HTMLResponse:
    """The bank asks whether it is really the cardholder (3-D Secure)."""
    name = ", ".join(item["description"] for item in session["_line_items"])
    body = """
<h1>Your bank asks: is it you who pays?</h1>
<form method="post"><input type="hidden" name="card" value="4000002500003155">
<button name="authentication" value="complete">Yes, it is me</button>
<button name="authentication" value="fail">No</button></form>"""
    return _page(f"Checkout: {name}", body)


def portal(
    session: Object, subscriptions: list[Object], names: dict[str, str], offered: list[Object]
) -> HTMLResponse:
    """The customer's subscriptions, each with its buttons.

    Args:
        session: The visit.
        subscriptions: Newest first.
        names: The products', by id.
        offered: Prices that can be changed to.
    """
    parts = []
    for subscription in subscriptions:
        price = subscription["items"]["data"][0]["price"]
        end = datetime.fromtimestamp(period(subscription)[1], UTC).strftime("%-d %B %Y")
        ending = subscription["cancel_at_period_end"]
        button = ""
        if subscription["status"] != "canceled":
            action, label = ("resume", "Don’t cancel") if ending else ("cancel", "Cancel at the period’s end")
            button = _button(subscription, action, label)
            for other in offered:
                if other["id"] != price["id"]:
                    change = f"Change to {names[other['product']]}, {money(other['unit_amount'], other['currency'])}"
                    button += _button(subscription, "change", change, other["id"])
        until = "Ends" if ending or subscription["status"] == "canceled" else "Renews"
        parts.append(
            f"<section><h2>{escape(names[price['product']])}</h2><p>{money(price['unit_amount'], price['currency'])}"
            f" per {escape(price['recurring']['interval'])} · {escape(subscription['status'].replace('_', ' '))}<br>"
            f"{until} {end}</p>{button}</section>"
        )
    back = f'<p><a href="{escape(session["return_url"])}">Go back</a></p>' if session["return_url"] else ""
    return _page(
        "Your subscription", f"<h1>Your subscription</h1>{''.join(parts) or '<p>None yet.</p>'}{back}"
    )


def _button(subscription: Object, action: str, label: str, price: str = "") -> str:
    chosen = f'<input type="hidden" name="price" value="{escape(price)}">' if price else ""
    return (
        f'<form method="post"><input type="hidden" name="subscription" value="{escape(subscription["id"])}">{chosen}'
        f'<button name="action" value="{action}">{escape(label)}</button></form>'
    )


def message(title: str, text: str, status: int, back: str | None = None) -> HTMLResponse:
    """A page that only says something."""
    link = f'<p><a href="{escape(back)}">Go back</a></p>' if back else ""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{link}", status)


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    text = (
        f'<!doctype html><html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )
    return HTMLResponse(text, status, _HEADERS)

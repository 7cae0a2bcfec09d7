"""What a browser and a tester reach: the pages, the control and the list of deliveries."""

import json
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.stripe import checkout, control, pages, portal
from infra.local.sandbox.stripe.book import CHANNEL, Book, Object
from infra.local.sandbox.stripe.errors import Refusal
from infra.local.sandbox.stripe.objects import CARDS
from infra.local.sandbox.stripe.weather import Weather

#: Seconds the success page is held back for the answer to checkout.session.completed.
_HELD_BACK = 10.0
_DECLINED_CARD = "4000000000000002"
_CHALLENGED_CARD = "4000002500003155"


class Site:
    """Everything but the API itself."""

    def __init__(self, book: Book, deliveries: Deliveries, weather: Weather) -> None:
        self._book = book
        self._weather = weather
        self._deliveries = deliveries

    async def pay(self, request: Request) -> Response:
        """GET and POST /pay/{id}: the checkout page."""
        form = await _form(request) if request.method == "POST" else {}
        session = self._book.find("checkout.session", request.path_params["id"])
        if session is None:
            return pages.message("Not found", "There is no such checkout.", 404)
        if session["status"] == "expired":
            back = session["cancel_url"]
            return pages.message("Expired", "This checkout has expired. Please start again.", 410, back)
        if session["status"] == "complete":
            return _succeeded(session)
        return await self._paid(session, form) if request.method == "POST" else pages.checkout(session)

    async def _paid(self, session: Object, form: dict[str, str]) -> Response:
        card = "".join(form.get("card", "").split())
        # The bank's question comes after this one.
        if checkout.wants_terms(session) and not {"terms", "authentication"} & form.keys():
            return pages.checkout(session, wrong="Agree to the terms of service first.", status=400)
        if card == _DECLINED_CARD:
            return pages.checkout(session, wrong="Your card was declined. Try another card.", status=402)
        if card == _CHALLENGED_CARD and form.get("authentication") != "complete":
            if "authentication" not in form:
                return pages.challenge(session)
            return pages.checkout(
                session, wrong="We are unable to authenticate your payment method.", status=402
            )
        if card not in CARDS:
            return pages.checkout(session, wrong="Your card number is invalid.", status=400)
        try:
            # No await in here: of two clicks the second finds the session complete.
            with self._book.transaction() as happened:
                if code := form.get("promotion_code", "").strip():
                    checkout.redeem_on_page(self._book, session, code)
                checkout.pay(self._book, session, form.get("email", "").strip() or "viewer@example.com", card)
        except Refusal as refusal:
            return pages.checkout(
                self._book.get("checkout.session", session["id"]), wrong=str(refusal), status=400
            )
        completed = next(event for event in happened if event["type"] == "checkout.session.completed")
        if "_delivery" in completed:
            await self._deliveries.answered(completed["_delivery"], _HELD_BACK)
        return _succeeded(session)

    async def portal(self, request: Request) -> Response:
        """GET and POST /portal/{id}: the billing portal."""
        form = await _form(request) if request.method == "POST" else {}
        session = self._book.find("billing_portal.session", request.path_params["id"])
        if session is None:
            return pages.message("Not found", "This link is not valid.", 404)
        own = [s for s in self._book.all("subscription") if s["customer"] == session["customer"]]
        offered = portal.offered(self._book, session)
        if request.method == "POST":
            chosen = [s for s in own if s["id"] == form.get("subscription") and s["status"] != "canceled"]
            try:
                if not chosen:
                    raise Refusal("There is no such subscription to change.")
                with self._book.transaction():
                    portal.act(self._book, session, chosen[0], form)
            except Refusal as refusal:
                return pages.message("Not possible", str(refusal), 400, session["url"])
            return RedirectResponse(session["url"], 303)
        names = {product["id"]: product["name"] for product in self._book.all("product")}
        return pages.portal(session, own[::-1], names, offered)

    async def control(self, request: Request) -> Response:
        """POST /control."""
        try:
            order = json.loads(await request.body())
        except ValueError:
            return JSONResponse({"ok": False, "error": "The body must be JSON."}, 400)
        try:
            if isinstance(order, dict) and order.get("action") in ("outage", "webhooks"):
                return JSONResponse(self._weather.control(order))
            with self._book.transaction():
                return JSONResponse(control.control(self._book, order))
        except Refusal as refusal:
            return JSONResponse({"ok": False, "error": str(refusal)}, refusal.status)

    async def deliveries(self, _request: Request) -> Response:
        """GET /deliveries: the webhooks sent or waiting, newest first."""
        return JSONResponse({"deliveries": self._deliveries.recent(CHANNEL)})

    async def redeliver(self, request: Request) -> Response:
        """POST /deliveries/{id}/redeliver: send one again."""
        wanted = request.path_params["id"]
        if all(delivery["id"] != wanted for delivery in self._deliveries.recent(CHANNEL)):
            return JSONResponse({"ok": False, "error": "No such delivery."}, 404)
        delivery = self._deliveries.redeliver(wanted)
        return JSONResponse({"ok": True, "delivery": delivery}, 202)


def _succeeded(session: Object) -> Response:
    return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]), 303)


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}

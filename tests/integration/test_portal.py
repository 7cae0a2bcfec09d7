"""create-portal: the provider's page, for who has something to manage."""

import re

import httpx

from tests.api import refused
from tests.factories import Factory, Person, wait_for


def test_nobody_who_bought_nothing(make: Factory) -> None:
    refused(make.person().api.post("create-portal"), 409, "no_customer")


def test_a_subscriber_gets_a_page(make: Factory) -> None:
    opened = make.subscriber().api.post("create-portal")
    assert opened.status_code == 201
    assert httpx.get(opened.json()["portal_url"]).status_code == 200


def test_a_body_is_refused(make: Factory) -> None:
    refused(make.person().api.post("create-portal", {"customer": "cus_1"}), 422, "invalid_request")


def visit(person: Person, **button: str) -> httpx.Response:
    """Open the page and press a button on the person's subscription."""
    url = person.api.post("create-portal").json()["portal_url"]
    page = httpx.get(url).text
    names = set(re.findall(r'name="subscription" value="(\w+)"', page))
    assert len(names) == 1
    form = {"subscription": names.pop()} | button
    if button["action"] == "change":
        offered = re.search(
            rf'value="(price_\w+)"><button name="action" value="change">{button["price"]}', page
        )
        assert offered is not None, page
        form["price"] = offered[1]
    return httpx.post(url, data=form)


def plan_of(person: Person) -> tuple[str | None, str]:
    found = person.api.get("account").json()
    return found["entitlement"]["plan"], found["subscription"]["status"]


def test_a_higher_plan_begins_at_once_for_the_difference(make: Factory) -> None:
    person = make.subscriber("basic")
    assert visit(person, action="change", price="Change to Premium").status_code == 303
    wait_for(lambda: plan_of(person) == ("premium", "active"))
    assert person.api.get("get-playback", video_id=str(make.video(level=2))).status_code == 200
    paid = sorted(invoice["amount_paid"] for invoice in make.invoices(person))
    assert paid[0] in (699, 700), "the difference for all that is left of the period"
    assert paid[1] == 799


def test_a_lower_plan_begins_with_the_next_period(make: Factory) -> None:
    person = make.subscriber("premium")
    assert visit(person, action="change", price="Change to Basic").status_code == 303
    make.control(email=person.email, action="pause")
    make.control(email=person.email, action="resume")
    wait_for(lambda: plan_of(person) == ("premium", "active"))
    make.control(email=person.email, action="renew")
    wait_for(lambda: plan_of(person) == ("basic", "active"))
    assert sorted(invoice["amount_paid"] for invoice in make.invoices(person)) == [799, 1499]


def test_canceled_and_taken_back(make: Factory) -> None:
    person = make.subscriber("basic")
    assert visit(person, action="cancel").status_code == 303
    wait_for(lambda: person.api.get("account").json()["subscription"]["cancel_at_period_end"])
    ending = person.api.get("account").json()
    assert ending["entitlement"]["until"] == ending["subscription"]["current_period_end"]
    assert visit(person, action="resume").status_code == 303
    wait_for(lambda: not person.api.get("account").json()["subscription"]["cancel_at_period_end"])
    renewing = person.api.get("account").json()
    assert renewing["entitlement"]["until"] > renewing["subscription"]["current_period_end"]

"""create-portal: the provider's page, for who has something to manage."""

import httpx

from tests.api import refused
from tests.factories import Factory


def test_nobody_who_bought_nothing(make: Factory) -> None:
    refused(make.person().api.post("create-portal"), 409, "no_customer")


def test_a_subscriber_gets_a_page(make: Factory) -> None:
    opened = make.subscriber().api.post("create-portal")
    assert opened.status_code == 201
    assert httpx.get(opened.json()["portal_url"]).status_code == 200


def test_a_body_is_refused(make: Factory) -> None:
    refused(make.person().api.post("create-portal", {"customer": "cus_1"}), 422, "invalid_request")

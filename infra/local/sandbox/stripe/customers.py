"""Customers and their way into the billing portal."""

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.stripe import lifecycle, objects
from infra.local.sandbox.stripe.book import Book, Object, new_id
from infra.local.sandbox.stripe.catalog import cleared, merged_metadata
from infra.local.sandbox.stripe.errors import Refusal


def create(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/customers."""
    _check_email(given)
    fields = cleared(given) | merged_metadata({"metadata": {}}, given)
    return book.create(objects.customer(book.now(), **fields), "customer.created")


def update(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/customers/:id."""
    customer = living(book, id, "id")
    _check_email(given)
    return book.change(customer, "customer.updated", **cleared(given) | merged_metadata(customer, given))


def delete(book: Book, id: str) -> Object:
    """DELETE /v1/customers/:id: ends the customer's subscriptions at once; what is left is a stub."""
    customer = living(book, id, "id")
    for subscription in book.all("subscription"):
        if subscription["customer"] == id and subscription["status"] != "canceled":
            lifecycle.cancel(book, subscription)
    book.tell("customer.deleted", customer)
    return book.keep({"id": id, "object": "customer", "deleted": True})


def living(book: Book, id: str, param: str) -> Object:
    """The customer; refused if it was deleted, as if it had never been."""
    customer = book.get("customer", id, param)
    if customer.get("deleted"):
        raise Refusal(
            f"No such customer: '{id}'",
            code="resource_missing",
            param=param,
            status=404 if param == "id" else 400,
        )
    return customer


def move_balance(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/customers/:id/balance_transactions: below nothing is credit, which the next bill takes."""
    customer = living(book, id, "id")
    if given["currency"] != (customer["currency"] or given["currency"]):
        raise Refusal("The customer has another currency.", param="currency")
    after = customer["balance"] + given["amount"]
    book.change(customer, "customer.updated", balance=after)
    fields = cleared(given) | merged_metadata({"metadata": {}}, given)
    return book.create(
        objects.balance_transaction(book.now(), customer=id, ending_balance=after, **fields),
        "customer_balance_transaction.created",
    )


def open_portal(book: Book, given: Mapping[str, Any], page_base: str) -> Object:
    """POST /v1/billing_portal/sessions."""
    if "customer" not in given:
        raise Refusal("Missing required param: customer.", code="parameter_missing", param="customer")
    living(book, given["customer"], "customer")
    wanted = given.get("configuration")
    if wanted:
        configuration = book.get("billing_portal.configuration", wanted, "configuration")
    else:
        configuration = next(c for c in book.all("billing_portal.configuration") if c["is_default"])
    if not configuration["active"]:
        raise Refusal("The configuration is not active.", param="configuration")
    session_id = new_id("billing_portal.session")
    session = objects.portal_session(
        book.now(),
        id=session_id,
        configuration=configuration["id"],
        customer=given["customer"],
        url=f"{page_base}/{session_id}",
        return_url=given.get("return_url"),
        locale=given.get("locale"),
    )
    return book.keep(session)


def _check_email(given: Mapping[str, Any]) -> None:
    email = given.get("email")
    if not email:
        return
    name, _, domain = email.rpartition("@")
    if not name or not domain or any(c.isspace() for c in email) or len(email) > 512:
        raise Refusal(f"Invalid email address: {email}", code="email_invalid", param="email")

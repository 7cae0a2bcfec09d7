"""What the API changes about subscriptions."""

import copy
from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.stripe import lifecycle
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.catalog import cleared, merged_metadata
from infra.local.sandbox.stripe.errors import Refusal, exclusive, missing


def update(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/subscriptions/:id."""
    subscription = book.get("subscription", id)
    if subscription["status"] == "canceled" and given.keys() - {"metadata", "cancellation_details"}:
        raise Refusal("A canceled subscription can only update its cancellation_details and metadata.")
    if "cancel_at" in given and "cancel_at_period_end" in given:
        raise exclusive("cancel_at", "cancel_at_period_end")
    if given.keys() & {"cancel_at", "cancel_at_period_end"}:
        _refuse_scheduled(subscription)
    after = copy.deepcopy(subscription)
    if "cancel_at_period_end" in given:
        after |= lifecycle.ending(book, subscription, given["cancel_at_period_end"])
    if "cancel_at" in given:
        after |= _ending_at(book, given["cancel_at"] or None)
    if "cancellation_details" in given:
        after["cancellation_details"] |= cleared(given["cancellation_details"])
    after |= _plain_changes(subscription, given)
    if "items" in given:
        _reprice(book, after, given["items"], given.get("proration_behavior", "create_prorations"))
    if isinstance(end := given.get("trial_end"), int):
        _move_trial_end(book, after, end)
    book.change(subscription, "customer.subscription.updated", **after)
    if end == "now" and subscription["status"] == "trialing":
        lifecycle.renew(book, subscription, at_once=True)
    return subscription


def _plain_changes(subscription: Object, given: Mapping[str, Any]) -> dict[str, Any]:
    changes = merged_metadata(subscription, given)
    if "description" in given:
        changes["description"] = given["description"] or None
    if "pause_collection" in given:
        paused = given["pause_collection"]
        changes["pause_collection"] = {"resumes_at": None, **paused} if paused else None
    return changes


def _ending_at(book: Book, moment: int | str | None) -> dict[str, Any]:
    if isinstance(moment, str):
        raise Refusal(f"The sandbox does not model cancel_at={moment} (Stripe knows it).", param="cancel_at")
    if moment is not None and moment <= book.now():
        raise Refusal("`cancel_at` must be in the future.", param="cancel_at")
    now = book.now() if moment else None
    return {"cancel_at": moment, "canceled_at": now, "cancel_at_period_end": False}


def _reprice(book: Book, subscription: Object, wanted: list[Object], proration: str) -> None:
    items = {item["id"]: item for item in subscription["items"]["data"]}
    for index, change in enumerate(wanted):
        param = f"items[{index}]"
        if change.keys() - {"id", "price", "quantity"} or "id" not in change:
            raise Refusal(
                "The sandbox models the price and quantity of items named by id alone.", param=param
            )
        if change["id"] not in items:
            raise missing("subscription_item", change["id"], f"{param}[id]")
        item = items[change["id"]]
        price = book.get("price", change["price"], f"{param}[price]") if "price" in change else item["price"]
        if not price["active"]:
            raise Refusal("The price specified is inactive.", param=f"{param}[price]")
        if not price["recurring"] or price["recurring"]["interval"] != item["price"]["recurring"]["interval"]:
            raise Refusal(
                "The sandbox models a change to a price of the same interval alone.", param=f"{param}[price]"
            )
        lifecycle.reprice(
            book, subscription, item, price, change.get("quantity", item["quantity"]), proration
        )


def _move_trial_end(book: Book, subscription: Object, end: int) -> None:
    if subscription["status"] != "trialing":
        raise Refusal("The sandbox models `trial_end` during a trial alone.", param="trial_end")
    if end <= book.now():
        raise Refusal("`trial_end` must be in the future.", param="trial_end")
    subscription.update(trial_end=end, billing_cycle_anchor=end)
    for item in subscription["items"]["data"]:
        item.update(current_period_end=end, billed_until=end)


def cancel(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """DELETE /v1/subscriptions/:id."""
    subscription = book.get("subscription", id)
    if subscription["status"] == "canceled":
        raise missing("subscription", id)
    # Stripe's pages do not say whether this is refused as well; who gets along with a refusal gets along with both.
    _refuse_scheduled(subscription)
    return lifecycle.cancel(book, subscription, **cleared(given.get("cancellation_details", {})))


def release(book: Book, id: str) -> Object:
    """POST /v1/subscription_schedules/:id/release."""
    schedule = book.get("subscription_schedule", id)
    if schedule["status"] != "active":
        raise Refusal(
            f"You cannot release a subscription schedule that is currently in the `{schedule['status']}` status."
        )
    subscription = book.get("subscription", schedule["subscription"])
    changes = lifecycle.leave_schedule(book, subscription)
    book.change(subscription, "customer.subscription.updated", **changes)
    return book.get("subscription_schedule", id)


def _refuse_scheduled(subscription: Object) -> None:
    if subscription["schedule"] is not None:
        raise Refusal(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any"
            " cancelation behavior directly is not allowed. Please update the schedule instead."
        )


def resume(book: Book, id: str) -> Object:
    """POST /v1/subscriptions/:id/resume: for the status paused, which needs a trial without a card."""
    subscription = book.get("subscription", id)
    raise Refusal(
        f"The subscription's status is {subscription['status']}. Only subscriptions with the status paused can be"
        " resumed; a paused collection ends by clearing pause_collection."
    )

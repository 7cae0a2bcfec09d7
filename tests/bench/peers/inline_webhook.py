"""A webhook handler that does all of it before it answers: check, fetch the subscription, write, 200.

Stripe's own SDK checks and fetches. An event that came before is answered and not done again, since Stripe repeats.
"""

import os
from datetime import UTC, datetime

import flask
import stripe
from sqlalchemy import create_engine, text

_SECRET = os.environ["STRIPE_WEBHOOK_SECRETS"].split(",")[0]
_client = stripe.StripeClient(
    os.environ["STRIPE_SECRET_KEY"],
    base_addresses={"api": os.environ["STRIPE_API_BASE"]},
    max_network_retries=2,
    http_client=stripe.RequestsClient(timeout=10),
)
# The default pool: five connections, ten more when it is busy.
_engine = create_engine(os.environ["DATABASE_URL"].replace("+pg8000", "+psycopg"))

_SEEN = text(
    "INSERT INTO inbox (event_id, type, object_id, customer_id, state, enqueues, processed_at) "
    "VALUES (:id, :type, :object_id, :customer_id, 'processed', 0, now()) ON CONFLICT DO NOTHING RETURNING event_id"
)
_ACCOUNT = text("SELECT user_id FROM billing_accounts WHERE stripe_customer_id = :customer FOR UPDATE")
_SUBSCRIPTION = text(
    "INSERT INTO subscriptions (stripe_id, user_id, price_id, status, paused, cancel_at_period_end, "
    "current_period_end, created_at) VALUES (:id, :user_id, :price, :status, false, :canceling, :ends, :made) "
    "ON CONFLICT (stripe_id) DO UPDATE SET status = EXCLUDED.status, price_id = EXCLUDED.price_id, "
    "cancel_at_period_end = EXCLUDED.cancel_at_period_end, current_period_end = EXCLUDED.current_period_end"
)
_RIGHT = text(
    "UPDATE entitlements SET reason = 'subscription', until = :until, updated_at = now() WHERE user_id = :user_id"
)


def inline_webhook(request: flask.Request) -> tuple[dict[str, object], int]:
    try:
        event = stripe.Webhook.construct_event(
            request.get_data(), request.headers.get("Stripe-Signature", ""), _SECRET
        )
    except (ValueError, stripe.SignatureVerificationError):
        return {"error": "invalid signature"}, 400
    told = event.data.object
    with _engine.begin() as tx:
        new = tx.execute(
            _SEEN, {"id": event.id, "type": event.type, "object_id": told.id, "customer_id": told.customer}
        ).first()
        if new is None:
            return {"received": True}, 200
        user_id = tx.execute(_ACCOUNT, {"customer": told.customer}).scalar_one()
        # What the event says may be old by now.
        subscription = _client.v1.subscriptions.retrieve(told.id)
        item = subscription["items"].data[0]
        ends = datetime.fromtimestamp(item.current_period_end, UTC)
        row = {
            "id": subscription.id,
            "user_id": user_id,
            "price": item.price.id,
            "status": subscription.status,
            "canceling": subscription.cancel_at_period_end,
            "ends": ends,
            "made": datetime.fromtimestamp(subscription.created, UTC),
        }
        tx.execute(_SUBSCRIPTION, row)
        tx.execute(_RIGHT, {"user_id": user_id, "until": ends})
    return {"received": True}, 200

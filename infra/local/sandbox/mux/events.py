"""The events Mux tells its customers of."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from infra.local.sandbox.deliveries import Channel, Deliveries
from infra.local.sandbox.state import Document

#: Name of the channel in `Deliveries`.
CHANNEL = "mux"


class Events:
    """Puts events on their way to the one webhook of this environment."""

    def __init__(self, deliveries: Deliveries, channel: Channel, clock: Callable[[], float]) -> None:
        self._deliveries = deliveries
        self._clock = clock
        # The same environment for ever: ids are derived from where the events go.
        self._environment = {
            "name": "Sandbox",
            "id": uuid.uuid5(uuid.NAMESPACE_URL, channel.url).hex,
        }
        deliveries.register(channel)

    def tell(self, event_type: str, about: str, data: Document) -> None:
        """Send one event; called last inside the transaction that holds what happened.

        Args:
            event_type: Such as `video.asset.ready`.
            about: Kind of the object, `asset` or `upload`.
            data: The object as the API would show it.
        """
        body: Document = {
            "type": event_type,
            "id": str(uuid.uuid4()),
            "created_at": datetime.fromtimestamp(self._clock(), UTC).isoformat().replace("+00:00", "Z"),
            "object": {"type": about, "id": data["id"]},
            "environment": self._environment,
            "request_id": None,
            "accessor": None,
            "accessor_source": None,
            "attempts": [],
            "data": _as_in_events(data),
        }
        self._deliveries.enqueue(CHANNEL, event_id=body["id"], event_type=event_type, body=json.dumps(body))


def _as_in_events(data: Document) -> Document:
    # The API writes an asset's age as a string, the webhooks of the same asset as a number.
    return data | {"created_at": int(data["created_at"])} if "created_at" in data else data

"""process-task as `AccountSyncs`: called at once, as the function's own service account.

No SDK: an identity token is one call to the metadata server, and the task another.
"""

import http.client
import json
import threading
import time
import uuid
from urllib.parse import quote

from lib.adapters.plain_http import ask
from lib.billing.kinds import SYNC_ACCOUNT
from lib.config import SyncSettings
from lib.web import log

# Somebody waits for their film meanwhile.
SECONDS = 2.0
# Google's tokens live an hour, and are asked for again well before.
_TOKEN_SECONDS = 1800
_IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience="


class ProcessTaskSyncs:
    """Has accounts synced by process-task while the caller waits.

    Args:
        seconds: how long that may take, the token included.
    """

    def __init__(self, settings: SyncSettings, seconds: float = SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds
        self._lock = threading.Lock()
        self._token, self._asked_at = "", -float("inf")

    def sync(self, user_id: uuid.UUID) -> bool:
        """True once it is done; False where it was not, for whatever reason, which is logged."""
        ends = time.monotonic() + self._seconds
        task = {"kind": SYNC_ACCOUNT, "body": {"user_id": str(user_id), "actor": "get-playback"}}
        try:
            headers = {
                "Authorization": f"Bearer {self._identity(ends)}",
                "Content-Type": "application/json",
            }
            status, _ = ask("POST", self._settings.url, ends, headers, json.dumps(task).encode())
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.line("WARNING", "no sync before a refusal", {"user_id": user_id, "error": log.places(error)})
            return False
        if status in (401, 403):
            # Perhaps the token: the next one asks for another.
            with self._lock:
                self._asked_at = -float("inf")
        if status != 204:
            log.line("WARNING", "no sync before a refusal", {"user_id": user_id, "answered": status})
        return status == 204

    def _identity(self, ends: float) -> str:
        with self._lock:
            token, fresh = self._token, time.monotonic() - self._asked_at < _TOKEN_SECONDS
        if fresh:
            return token
        # Asked for outside the lock: whoever waits for the metadata server holds nobody up.
        url = self._settings.identity_base + _IDENTITY + quote(self._settings.url, safe="")
        status, body = ask("GET", url, ends, {"Metadata-Flavor": "Google"})
        if status != 200:
            raise ValueError("no identity token")
        token = body.decode("ascii").strip()
        with self._lock:
            self._token, self._asked_at = token, time.monotonic()
        return token

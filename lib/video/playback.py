"""get-playback: may this person watch this film now? If so, signed URLs; one question to the database.

No model library is imported here: this function has no body, and its cold start is the viewer's wait.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.config import PlaybackSettings
from lib.database.reads import Reads
from lib.errors import (
    FieldError,
    InvalidRequestError,
    InvalidTokenError,
    PlanUpgradeRequiredError,
    PlaybackSessionNotFoundError,
    Refusal,
    SubscriptionRequiredError,
    TooManyStreamsError,
    UnavailableError,
    VideoNotFoundError,
    VideoNotReadyError,
)
from lib.video.ports import AccountSyncs, PlaybackSigner
from lib.web.operation import Answer, Call, Operation, Query, Who, as_uuid, rfc3339
from lib.web.ports import Claims, Clock

# Somebody pauses, seeks back, watches the credits.
SLACK = timedelta(minutes=30)
CLIENTS = ("web", "native", "cast")

# Who would be refused and has just been at a payment page is synced first; claim_sync says whether, and counts.
_OPEN_PLAYBACK = """
    SELECT found.*,
           found.outcome IN ('subscription_required', 'plan_upgrade_required')
           AND claim_sync(CAST(:user_id AS uuid)) AS sync_first
    FROM open_playback(
        CAST(:session_id AS uuid), CAST(:user_id AS uuid), CAST(:video_id AS uuid),
        CAST(:takeover AS uuid), CAST(:lease_seconds AS integer), CAST(:providers AS text[])) found
"""

_HEARTBEAT = """
    SELECT * FROM heartbeat(
        CAST(:session_id AS uuid), CAST(:user_id AS uuid), CAST(:playback_session_id AS uuid),
        CAST(:position AS double precision), CAST(:stop AS boolean), CAST(:lease_seconds AS integer),
        CAST(:providers AS text[]))
"""

_WHY_NOT = {
    "none": "This account has no subscription",
    "expired": "The subscription has ended",
    "canceled": "The subscription was canceled",
    "payment_failed": "The last payment failed: update the payment method",
    "paused": "The subscription is paused",
    "refunded": "The payment was refunded",
    "disputed": "The payment was disputed",
}

_REFUSALS: dict[str, type[Refusal]] = {
    "invalid_token": InvalidTokenError,
    "video_not_found": VideoNotFoundError,
    "playback_session_not_found": PlaybackSessionNotFoundError,
    "plan_upgrade_required": PlanUpgradeRequiredError,
    "video_not_ready": VideoNotReadyError,
}

GET_PLAYBACK = Operation(
    function="get-playback",
    method="GET",
    tag="Video",
    summary="Signed URLs to watch a video",
    who=Who.TOKEN,
    query=(
        Query("video_id", "The video to watch", required=True),
        Query("takeover", "A playback session of the same account to end first"),
        Query("client", "What plays it: `web` (without it), `native` or `cast`", choices=CLIENTS),
    ),
    answers={200: "lib.video.answers:PlaybackAnswer"},
    refusals=(
        SubscriptionRequiredError,
        PlanUpgradeRequiredError,
        VideoNotFoundError,
        VideoNotReadyError,
        TooManyStreamsError,
    ),
)


class Playback:
    """Opens playback sessions.

    Args:
        signers: provider -> signer; a video's own provider counts.
        syncs: asked before a refusal that a payment may have overtaken; None: never.
    """

    def __init__(
        self,
        database: Reads,
        signers: Mapping[str, PlaybackSigner],
        clock: Clock,
        settings: PlaybackSettings,
        syncs: AccountSyncs | None = None,
    ) -> None:
        self._database = database
        self._signers = signers
        self._clock = clock
        self._settings = settings
        self._syncs = syncs

    def open(
        self,
        claims: Claims,
        video_id: uuid.UUID | None,
        takeover: uuid.UUID | None,
        client: str = "web",
    ) -> dict[str, Any]:
        """The answer's body.

        Somebody who would be refused and has an open or recent checkout has their account synced first, and is
        looked at once more: their payment may be quicker than its news.

        Args:
            video_id: None where what was asked for is no UUID, hence no video.

        Raises:
            InvalidTokenError, SubscriptionRequiredError, PlanUpgradeRequiredError, VideoNotFoundError,
            VideoNotReadyError, TooManyStreamsError: see the contract.
        """
        found = self._ask(claims, video_id, takeover)
        if found["sync_first"] and self._syncs is not None and self._syncs.sync(claims.user_id):
            found = self._ask(claims, video_id, takeover)
        if found["outcome"] != "allowed":
            raise _refusal(found, self._settings.lease_seconds)
        return self._answer(video_id, found, client)

    def _ask(
        self, claims: Claims, video_id: uuid.UUID | None, takeover: uuid.UUID | None
    ) -> Mapping[str, Any]:
        found = self._database.read(
            _OPEN_PLAYBACK,
            session_id=claims.session_id,
            user_id=claims.user_id,
            video_id=video_id,
            takeover=takeover,
            lease_seconds=self._settings.lease_seconds,
            providers=list(self._signers),
        )
        if found is None:
            raise VideoNotFoundError
        return found

    def beat(
        self,
        claims: Claims,
        playback_session_id: uuid.UUID | None,
        *,
        position: float,
        stop: bool,
        client: str = "web",
    ) -> dict[str, Any] | None:
        """Keeps the position and asks again, as `open` does; None after a stop.

        Raises:
            PlaybackSessionNotFoundError: none of this login; None was given.
            Refusal: as `open`.
        """
        found = self._database.read(
            _HEARTBEAT,
            session_id=claims.session_id,
            user_id=claims.user_id,
            playback_session_id=playback_session_id,
            position=position,
            stop=stop,
            lease_seconds=self._settings.lease_seconds,
            providers=list(self._signers),
        )
        if found is None:
            raise PlaybackSessionNotFoundError
        if found["outcome"] == "stopped":
            return None
        if found["outcome"] != "allowed":
            raise _refusal(found, self._settings.lease_seconds)
        return self._answer(found["video_id"], found, client)

    def _answer(self, video_id: uuid.UUID | None, found: Mapping[str, Any], client: str) -> dict[str, Any]:
        now = self._clock.now()
        signer = self._signers[found["provider"]]
        # What remains of the film plus slack; never past the right to watch it, nor the limits.
        remaining = timedelta(seconds=max(0.0, found["duration"] - found["position"]))
        life = min(remaining + SLACK, timedelta(seconds=self._settings.max_seconds), signer.longest)
        if found["until"] is not None:
            life = min(life, found["until"] - now)
        expires_at = _shared_end(now, life)
        life = expires_at - now
        trace = str(found["playback_session_id"])
        signed = signer.sign(found["playback_id"], expires_at=expires_at, trace=trace, client=client)
        return {
            "video_id": str(video_id),
            "session_id": trace,
            "provider": found["provider"],
            "playback_id": found["playback_id"],
            "playback_url": signed.playback_url,
            "tokens": {
                "playback": signed.playback_token,
                "thumbnail": signed.thumbnail_token,
                "storyboard": signed.storyboard_token,
                "drm": signed.drm_token,
            },
            "thumbnail_url": signed.thumbnail_url,
            "storyboard_url": signed.storyboard_url,
            "expires_at": rfc3339(expires_at),
            # Early enough that a client on a train has several tries left.
            "refresh_after": rfc3339(now + life * 0.8),
            "position": found["position"],
            "entitlement": {
                "plan": found["plan"],
                "reason": found["reason"],
                "until": rfc3339(found["until"]),
            },
        }


def _shared_end(now: datetime, life: timedelta) -> datetime:
    """A little before `now + life`, at the same moment for many who ask: what bears nobody's trace is signed once
    for all of them.

    Steps of a power of two of seconds, a sixteenth of the life at most.
    """
    step = 1 << max(0, (int(life.total_seconds()) // 16).bit_length() - 1)
    end = int((now + life).timestamp())
    return datetime.fromtimestamp(end - end % step, UTC)


def _refusal(found: Mapping[str, Any], lease_seconds: int) -> Refusal:
    outcome = found["outcome"]
    if outcome == "subscription_required":
        return SubscriptionRequiredError(_WHY_NOT.get(found["reason"]), extra={"reason": found["reason"]})
    if outcome == "too_many_streams":
        return TooManyStreamsError(retry_after=lease_seconds, extra={"playing": found["playing"]})
    if outcome == "provider_missing":
        return UnavailableError("The film's provider is not set up here")
    return _REFUSALS[outcome]()


def get_playback(playback: Playback, call: Call) -> Answer:
    if call.claims is None:
        raise InvalidTokenError
    asked = call.query.get("video_id", "")
    if not asked:
        raise InvalidRequestError(errors=[FieldError("video_id", "required", "Field required")])
    client = call.query.get("client", "web")
    if client not in CLIENTS:
        raise InvalidRequestError(
            errors=[FieldError("client", "unknown_value", f"should be one of {', '.join(CLIENTS)}")]
        )
    body = playback.open(call.claims, as_uuid(asked), as_uuid(call.query.get("takeover", "")), client)
    call.notes["video_id"] = body["video_id"]
    return Answer(200, body, private=True)

"""Every refusal is a class here, with the code clients may rely on.

A refusal is an answer, not a crash: services raise it, lib/web turns it into problem+json.
Nothing here knows HTTP libraries; `status` is the number the contract gives the code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


class ConfigError(Exception):
    """A setting is missing or malformed. The message is one line: its name and what it should be."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a body: dotted path (empty: fields that do not go together), machine code, sentence for the
    developer."""

    field: str
    code: str
    message: str


class Refusal(Exception):  # noqa: N818 - it is an answer; the subclasses end in Error
    """A request that will not be fulfilled.

    Args:
        detail: a sentence for the client's developer; never personal data, never a secret.
        retry_after: seconds after which trying again makes sense.
        errors: the bad fields, all of them.
        extra: further members of the problem document.
        headers: further headers of the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, retry_after))
        if self.status == 401:
            # RFC 9110 asks for it with every 401.
            self.headers["WWW-Authenticate"] = "Bearer"


class MalformedRequestError(Refusal):
    status, code, title = 400, "malformed_request", "The request cannot be read"


class InvalidSignatureError(Refusal):
    status, code, title = 400, "invalid_signature", "The signature does not match"


class InvalidLinkError(Refusal):
    """Unknown, used, run out or overtaken: one answer for all of them."""

    status, code, title = 400, "invalid_link", "This link does not work (any more): ask for another"


class InvalidTokenError(Refusal):
    """Missing, expired, revoked or anything else wrong: one answer for all of them."""

    status, code, title = 401, "invalid_token", "A valid access token is needed"


class InvalidCredentialsError(Refusal):
    status, code, title = 401, "invalid_credentials", "Email or password is wrong"


class InvalidRefreshTokenError(Refusal):
    status, code, title = 401, "invalid_refresh_token", "Log in again"


class SubscriptionRequiredError(Refusal):
    status, code, title = 402, "subscription_required", "A subscription is needed to watch this"


class ForbiddenError(Refusal):
    status, code, title = 403, "forbidden", "Not allowed for this caller"


class EmailNotVerifiedError(Refusal):
    status, code, title = 403, "email_not_verified", "Follow the link in the mail first"


class WrongPasswordError(Refusal):
    """Of somebody logged in, who was asked for their password once more."""

    status, code, title = 403, "wrong_password", "The current password is wrong"


class PlanUpgradeRequiredError(Refusal):
    status, code, title = 403, "plan_upgrade_required", "A higher plan is needed to watch this"


class NotFoundError(Refusal):
    status, code, title = 404, "not_found", "There is no such thing"


class VideoNotFoundError(Refusal):
    status, code, title = 404, "video_not_found", "There is no such video"


class PlaybackSessionNotFoundError(Refusal):
    status, code, title = 404, "playback_session_not_found", "There is no such playback session"


class UnknownPlanError(Refusal):
    status, code, title = 404, "unknown_plan", "There is no such plan"


class UnknownCodeError(Refusal):
    status, code, title = 404, "unknown_code", "There is no such code"


class MethodNotAllowedError(Refusal):
    status, code, title = 405, "method_not_allowed", "This function does not answer this method"


class EmailTakenError(Refusal):
    status, code, title = 409, "email_taken", "This email address has an account already"


class LastAdminError(Refusal):
    status, code, title = 409, "last_admin", "The last admin cannot leave"


class AlreadySubscribedError(Refusal):
    status, code, title = 409, "already_subscribed", "This account has a subscription already"


class AlreadyBoughtError(Refusal):
    status, code, title = 409, "already_bought", "This account can watch this film already"


class NotForSaleError(Refusal):
    status, code, title = 409, "not_for_sale", "This film is not sold by itself"


class AlreadyRedeemedError(Refusal):
    status, code, title = 409, "already_redeemed", "This code was redeemed already"


class NoCustomerError(Refusal):
    status, code, title = 409, "no_customer", "This account has not bought anything yet"


class VideoNotReadyError(Refusal):
    status, code, title = 409, "video_not_ready", "The video is not ready to be watched"


class BodyTooLargeError(Refusal):
    status, code, title = 413, "body_too_large", "The body is larger than this function takes"


class UnsupportedMediaTypeError(Refusal):
    status, code, title = 415, "unsupported_media_type", "The body must be application/json"


class InvalidRequestError(Refusal):
    status, code, title = 422, "invalid_request", "Some fields are missing or wrong"


class WeakPasswordError(Refusal):
    status, code, title = 422, "weak_password", "Choose another password"


class InvalidPromotionCodeError(Refusal):
    status, code, title = 422, "invalid_promotion_code", "This promotion code cannot be used"


class IdempotencyKeyReusedError(Refusal):
    status, code, title = 422, "idempotency_key_reused", "This Idempotency-Key came with another body"


class TooManyRequestsError(Refusal):
    status, code, title = 429, "too_many_requests", "Too many requests"


class TooManyAttemptsError(Refusal):
    status, code, title = 429, "too_many_attempts", "Too many attempts to log in"


class TooManyStreamsError(Refusal):
    status, code, title = 429, "too_many_streams", "Too many streams are playing on this account"


class UnavailableError(Refusal):
    """The database, a provider or the hashing capacity is out of reach: try again soon."""

    status, code, title = 503, "unavailable", "Out of reach for a moment"

    def __init__(self, detail: str | None = None, *, retry_after: int = 2) -> None:
        super().__init__(detail, retry_after=retry_after)

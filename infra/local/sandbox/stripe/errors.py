"""Refusals of Stripe's API, shaped as it shapes them."""

from typing import Any


class Refusal(Exception):  # noqa: N818 - it is Stripe's answer, no failure of the sandbox
    """A request Stripe would not carry out.

    Args:
        message: What is wrong, for the developer.
        code: Stripe's error code, where it gives one.
        param: The parameter it is about, in bracket notation.
        status: HTTP status.
        type: ``invalid_request_error``, ``idempotency_error``, ``card_error`` or ``api_error``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.type = type

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        error: dict[str, Any] = {"message": str(self), "type": self.type}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        return {"error": error}


def missing(kind: str, id: str, param: str = "id") -> Refusal:
    """No such object: 404 where the URL names it, 400 where a parameter does."""
    noun = {"promotion_code": "promotion code", "checkout.session": "checkout.session"}.get(
        kind, kind.replace("_", " ") if kind != "payment_intent" else kind
    )
    status = 404 if param == "id" else 400
    return Refusal(f"No such {noun}: '{id}'", code="resource_missing", param=param, status=status)


def exclusive(*names: str) -> Refusal:
    """Parameters that cannot be given together."""
    return Refusal(f"You may only specify one of these parameters: {', '.join(names)}.", param=names[0])

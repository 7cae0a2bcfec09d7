"""Refusals as application/problem+json (RFC 9457)."""

from typing import Any

from lib.errors import Refusal


def document(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
    }
    if refusal.errors:
        problem["errors"] = [
            {"field": error.field, "code": error.code, "message": error.message} for error in refusal.errors
        ]
    return problem | refusal.extra

"""What comes as JSON, and what Cloudflare wraps its answers in."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.sandbox.cloudflare.refusals import CloudflareError, bad_request

_MOST_BODY_BYTES = 64 * 1024


async def json_of(request: Request) -> object:
    """The body.

    Raises:
        CloudflareError: 413; 400 for what is no JSON.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY_BYTES:
            raise CloudflareError(413, 10005, "The body is too large")
    try:
        found: object = json.loads(body)
    except ValueError as error:
        raise bad_request("the body is not JSON") from error
    return found


def result(found: object) -> Response:
    """A success."""
    return JSONResponse({"result": found, "success": True, "errors": [], "messages": []})

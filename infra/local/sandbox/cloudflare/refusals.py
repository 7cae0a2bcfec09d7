"""How Cloudflare's API says no: `{"success": false, "errors": [{code, message}], …}`."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class CloudflareError(Exception):
    """A request that Cloudflare would refuse; becomes the answer with its `status`, `code` and `message`."""

    def __init__(
        self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer to send."""
        errors = [{"code": self.code, "message": self.message}]
        body = {"result": None, "success": False, "errors": errors, "messages": []}
        return JSONResponse(body, self.status, self.headers)


def bad_request(message: str) -> CloudflareError:
    """400: something in the body, the query or a header is not what Cloudflare takes."""
    return CloudflareError(400, 10005, f"Bad Request: {message}")


def not_found() -> CloudflareError:
    """404: no such video in this account."""
    return CloudflareError(404, 10003, "Not Found")


def forbidden(message: str) -> CloudflareError:
    """403: the URL carries no right to what it names."""
    return CloudflareError(403, 10000, message)

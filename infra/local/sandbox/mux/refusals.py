"""How Mux says no: `{"error": {"type": …, "messages": […]}}`."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class MuxError(Exception):
    """A request that Mux would refuse; becomes the answer with its `status`, `type` and `messages`."""

    def __init__(
        self, status: int, kind: str, *messages: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {kind}: {'; '.join(messages)}")
        self.status = status
        self.kind = kind
        self.messages = messages
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer to send."""
        return JSONResponse(
            {"error": {"type": self.kind, "messages": list(self.messages)}}, self.status, self.headers
        )


def invalid_parameters(*messages: str) -> MuxError:
    """400: something in the body, the query or a header is not what Mux takes."""
    return MuxError(400, "invalid_parameters", *messages)


def not_found() -> MuxError:
    """404, in Mux's own words."""
    return MuxError(
        404, "not_found", "The requested resource either doesn't exist or you don't have access to it."
    )


def forbidden(message: str) -> MuxError:
    """403: the URL carries no right to what it names."""
    return MuxError(403, "not_allowed", message)

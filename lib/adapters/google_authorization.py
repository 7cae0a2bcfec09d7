"""Who we are at Google, for calls over gRPC: google-auth's credentials, found while the first call waits for them.

To find them may ask the metadata server, several times where it is silent. Within a call that takes no longer than
the call may.
"""

from typing import TYPE_CHECKING, Any

from lib.web import log

if TYPE_CHECKING:
    from google.auth.transport.grpc import AuthMetadataPlugin

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleAuthorization:
    """What gRPC asks for the headers of each call, in a thread of its own.

    Args:
        host: whom the calls go to.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: AuthMetadataPlugin | None = None

    def __call__(self, context: Any, callback: Any) -> None:
        from google.auth.exceptions import GoogleAuthError

        try:
            # No lock: where the metadata server is silent, calls that were given up would queue up behind it.
            if self._found is None:
                self._found = self._find()
            self._found(context, callback)
        except (GoogleAuthError, OSError, ValueError) as error:
            # Left to gRPC, the error's text would be logged.
            log.line("WARNING", "no credentials for Google", {"error": log.places(error)})
            callback(None, error)

    def _find(self) -> "AuthMetadataPlugin":
        import google.auth
        from google.auth.transport.grpc import AuthMetadataPlugin
        from google.auth.transport.requests import Request

        request = Request()
        credentials, _ = google.auth.default(default_scopes=[_SCOPE], request=request)
        return AuthMetadataPlugin(  # type: ignore[no-untyped-call]
            credentials, request, default_host=self._host, suppress_metrics_header=True
        )

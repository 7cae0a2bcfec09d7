"""One HTTP request by the standard library, bounded as a whole: for where loading `requests` would cost a start."""

import http.client
import time
from urllib.parse import urlsplit

from lib.adapters.watchdog import Watchdog

LONGEST = 16384


def ask(
    method: str,
    url: str,
    ends: float,
    headers: dict[str, str],
    body: bytes | None = None,
    longest: int = LONGEST,
) -> tuple[int, bytes]:
    """Status and body.

    Args:
        ends: of `time.monotonic()`: when the answer must be there, all of it.
        longest: no answer may have more bytes.

    Raises:
        OSError, http.client.HTTPException: no whole answer by then.
        ValueError: a longer one.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_left(ends))
    try:
        connection.connect()
        # Kept here: an answer that is to be the last takes the socket from its connection.
        sock = connection.sock
        with Watchdog(_left(ends), lambda: sock):
            sock.settimeout(_left(ends))
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read(longest + 1)
            if len(content) > longest:
                raise ValueError("a longer answer than there is any")
            if response.length:
                raise http.client.IncompleteRead(content, response.length)
        return response.status, content
    finally:
        connection.close()


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

"""What `requests` and urllib3 wait for and take, bounded as a whole: for Stripe's SDK, Mux's and Cloudflare.

Their timeouts are for each wait, and none bounds how much is read. Here an answer is read to its end below them, within
a time and a size; they get it whole or not at all.
"""

import io
from typing import Any, ClassVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError

from lib.adapters.watchdog import Watchdog

# A hundred events of Stripe's with all they tell are some two million bytes.
LONGEST = 8 * 1024 * 1024
_PIECE = 65536
# Of the body as it was sent; what is handed on is read and unpacked.
_OF_THE_WAY = {"content-encoding", "transfer-encoding", "content-length"}


class _Kept:
    """Remembers its socket: an answer that is to be the last takes it away."""

    kept: Any = None
    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.kept = self.sock


class _Connection(_Kept, HTTPConnection):
    pass


class _TlsConnection(_Kept, HTTPSConnection):
    pass


class _Bounded(HTTPConnectionPool):
    ConnectionCls: Any = _Connection
    seconds: ClassVar[float]

    def _make_request(
        self, conn: Any, method: str, url: str, *args: Any, preload_content: bool = True, **options: Any
    ) -> Any:
        try:
            with Watchdog(self.seconds, lambda: conn.kept):
                said: Any = super()._make_request(  # type: ignore[misc]
                    conn, method, url, *args, preload_content=False, **options
                )
                body = _whole(said)
        except TimeoutError as error:
            raise ReadTimeoutError(self, url, "The whole answer took too long") from error
        except DecodeError as error:
            # As what is cut: to `requests` it is a fault of whoever asked only once it unpacks itself.
            raise ProtocolError("The answer cannot be unpacked") from error
        said.release_conn()
        return urllib3.HTTPResponse(
            body=body,
            headers={name: value for name, value in said.headers.items() if name.lower() not in _OF_THE_WAY},
            status=said.status,
            version=said.version,
            reason=said.reason,
            preload_content=preload_content,
            request_method=method,
            request_url=url,
        )


class _BoundedTls(_Bounded, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _whole(said: urllib3.HTTPResponse) -> io.BytesIO:
    body = io.BytesIO()
    while piece := said.read1(_PIECE, decode_content=True):
        body.write(piece)
        if body.tell() > LONGEST:
            said.close()
            raise ProtocolError("The answer is longer than any should be")
    body.seek(0)
    return body


def bounded_pools(seconds: float, **options: Any) -> urllib3.PoolManager:
    """urllib3's pools, whose answers are there within `seconds` of the question, or not at all."""
    pools = urllib3.PoolManager(**options)
    pools.pool_classes_by_scheme = {
        "http": type("Bounded", (_Bounded,), {"seconds": seconds}),
        "https": type("BoundedTls", (_BoundedTls,), {"seconds": seconds}),
    }
    return pools


class _Adapter(HTTPAdapter):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = bounded_pools(
            self._seconds, num_pools=connections, maxsize=maxsize, block=block, **options
        )


def bounded_session(seconds: float) -> requests.Session:
    """A session whose answers are there within `seconds` of the question, or not at all."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(seconds))
    return session

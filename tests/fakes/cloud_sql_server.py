"""What Google's connector talks to: the Admin API and the TLS proxy in front of a PostgreSQL."""

import asyncio
import json
import secrets
import ssl
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import NameOID

PROXY_PORT = 3307
INSTANCE = "a-project:europe-west1:an-instance"
_API = "/sql/v1beta4/projects/a-project/instances/an-instance"


class CloudSqlServer:
    """One instance, reachable by those who ask the API for a certificate with the right token.

    The proxy's port is fixed, so that each server gets an address of its own where the system has many.

    Args:
        postgres: host and port behind the proxy.
        token: what the API's callers must bear.
        folder: for certificates.
    """

    def __init__(self, postgres: tuple[str, int], *, token: str, folder: Path) -> None:
        self.api_refusing = False
        self.login_tokens: list[str | None] = []
        """The login token of each certificate that was asked for: None for a login by password."""
        self._postgres = postgres
        self._token = token
        self._authority = Authority()
        self._tls = self._authority.server_context(folder)
        numbers = [1 + secrets.randbelow(254) for _ in range(3)]
        self._address = "127.0.0.1" if sys.platform == "darwin" else "127.{}.{}.{}".format(*numbers)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud-sql-proxy")
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._api_thread = threading.Thread(target=self._api.serve_forever, name="cloud-sql-api")
        self._proxy: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self.api_url = f"http://127.0.0.1:{self._api.server_port}"

    def __enter__(self) -> "CloudSqlServer":
        self._thread.start()
        self._api_thread.start()
        self._run(self._listen(silent=False))
        self.freeze(frozen=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._api.shutdown()
        self._api.server_close()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in (self._thread, self._api_thread):
            thread.join(10)
        self._loop.close()

    def silence(self, *, silent: bool) -> None:
        """From now on new connections are taken and never answered; or are served again."""
        self._run(self._listen(silent=silent))

    def freeze(self, *, frozen: bool) -> None:
        """Nothing flows on any connection; or flows again."""
        self._loop.call_soon_threadsafe(self._flows.clear if frozen else self._flows.set)

    def hang_up(self) -> None:
        """Ends all connections."""
        self._run(self._hang_up())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, *, silent: bool) -> None:
        if self._proxy is not None:
            self._proxy.close()
        serve, tls = (self._say_nothing, None) if silent else (self._pass_on, self._tls)
        self._proxy = await asyncio.start_server(serve, self._address, PROXY_PORT, ssl=tls)

    async def _hang_up(self) -> None:
        for writer in self._writers:
            # One that says goodbye in TLS is ended too; one that is gone cannot be, as CPython 3.11.2 sees it.
            with suppress(AttributeError):
                writer.transport.abort()
        self._writers.clear()

    async def _close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        await self._hang_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Transports close themselves in the rounds that follow, and so do those still shaking hands.
        await asyncio.sleep(0.1)

    async def _say_nothing(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(*self._postgres)
        self._writers |= {writer, behind_writer}
        await asyncio.gather(self._pump(reader, behind_writer), self._pump(behind_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # either side may hang up
        finally:
            writer.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(server._settings() if self.path == f"{_API}/connectSettings" else None)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                found = self.path == f"{_API}:generateEphemeralCert"
                self._answer(server._certificate(asked) if found else None)

            def _answer(self, body: dict[str, Any] | None) -> None:
                status = 200 if body is not None else 404
                if self.headers["Authorization"] != f"Bearer {server._token}":
                    status, body = 401, None
                if server.api_refusing:
                    status, body = 403, None
                content = json.dumps(body or {"error": {"message": "refused"}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _settings(self) -> dict[str, Any]:
        return {
            "region": INSTANCE.split(":")[1],
            "databaseVersion": "POSTGRES_18",
            "ipAddresses": [{"type": "PRIVATE", "ipAddress": self._address}],
            "serverCaCert": {"cert": self._authority.pem},
        }

    def _certificate(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.login_tokens.append(asked.get("access_token"))
        key = serialization.load_pem_public_key(asked["public_key"].encode())
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("the connector makes RSA keys")
        return {"ephemeralCert": {"cert": self._authority.certify(key, "client")}}


class Authority:
    """Certifies the proxy and its clients."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self.certify(self._key.public_key(), "authority", authority=True)

    def certify(self, key: CertificateIssuerPublicKeyTypes, name: str, *, authority: bool = False) -> str:
        """A certificate for an hour, as PEM."""
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=_name("authority"),
            subject_name=_name(name),
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=1),
            not_valid_after=now + timedelta(hours=1),
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, folder: Path) -> ssl.SSLContext:
        """TLS 1.3, for clients with a certificate of this authority only."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = folder / "proxy.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_text(private.decode() + self.certify(key.public_key(), "proxy"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=self.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

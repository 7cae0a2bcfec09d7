"""What is around a function in Google Cloud, for a process that sends a task: the metadata server that knows whose it
is, and Cloud Tasks behind TLS. The process is led there by its environment alone; its code is as in the cloud."""

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.cloud_tasks_server import CloudTasksServer

HOST = "cloudtasks.googleapis.com"
ACCOUNT = "function@a-project.iam.gserviceaccount.com"
TOKEN = "ya29.a-token"
_METADATA: dict[str, object] = {
    "/": "computeMetadata/",
    "/computeMetadata/v1/project/project-id": "a-project",
    "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
    "/computeMetadata/v1/instance/service-accounts/default/": {
        "aliases": ["default"],
        "email": ACCOUNT,
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    },
    "/computeMetadata/v1/instance/service-accounts/default/token": {
        "access_token": TOKEN,
        "expires_in": 3600,
        "token_type": "Bearer",
    },
}


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of five, the others of many at once come a second later


class GoogleCloud:
    """A metadata server, and a tunnel to Cloud Tasks.

    Args:
        queue: the full name of the one queue.
        folder: for the certificate.
    """

    def __init__(self, queue: str, folder: Path) -> None:
        key, certificate = _certified()
        self.tasks = CloudTasksServer(queue, grpc.ssl_server_credentials([(key, certificate)]))
        self.asked: list[str] = []
        """The metadata server's paths, as they were asked for."""
        self.knows_us = threading.Event()
        """While clear, the metadata server takes questions and does not answer."""
        self.knows_us.set()
        self._http = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="google-cloud")
        here = f"127.0.0.1:{self._http.server_port}"
        roots = folder / "roots.pem"
        roots.write_bytes(certificate)
        self.environment = {
            "GCE_METADATA_HOST": here,
            "GCE_METADATA_IP": here,
            "CLOUDSDK_CONFIG": str(folder),
            "grpc_proxy": f"http://{here}",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots),
        }
        """What a process needs to take all this for Google's."""

    def __enter__(self) -> "GoogleCloud":
        self.tasks.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.knows_us.set()
        self._http.shutdown()
        self.tasks.__exit__()
        self._http.server_close()
        self._thread.join(10)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                cloud.asked.append(path)
                cloud.knows_us.wait(60)
                known = _METADATA.get(path) if self.headers["Metadata-Flavor"] == "Google" else None
                content = known if isinstance(known, str) else json.dumps(known)
                self.send_response(404 if known is None else 200)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header(
                    "Content-Type", "application/text" if content is known else "application/json"
                )
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def do_CONNECT(self) -> None:
                if self.path != f"{HOST}:443":
                    self.send_error(403)
                    return
                self.send_response(200)
                self.end_headers()
                host, _, port = cloud.tasks.endpoint.partition(":")
                with socket.create_connection((host, int(port))) as behind:
                    back = threading.Thread(target=_pump, args=(behind, self.connection))
                    back.start()
                    _pump(self.connection, behind)
                    back.join(10)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either side may hang up


def _certified() -> tuple[bytes, bytes]:
    """A key and the certificate that it gave itself for an hour, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=1),
            not_valid_after=now + timedelta(hours=1),
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)

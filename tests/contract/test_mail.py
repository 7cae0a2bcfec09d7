"""`Mail`: what holds for a real SMTP server holds for the fake."""

import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lib.accounts.ports import (
    Letter,
    Mail,
    MailDelayedError,
    MailError,
    MailInDoubtError,
    MailRefusedError,
    Words,
)
from lib.adapters.smtp_mail import SmtpMail
from lib.config import MailSettings
from tests.contract.smtp_server import SENDER, Smtp, Taken
from tests.fakes.mail import FakeMail


class Server(Protocol):
    """An implementation, and the server behind it."""

    mail: Mail

    def answer(self, to: str, answer: str) -> None: ...

    def taken(self) -> list[Taken]: ...


class Fake:
    def __init__(self) -> None:
        self.fake = FakeMail()
        self.mail: Mail = self.fake

    def answer(self, to: str, answer: str) -> None:
        self.fake.answers[to].append(answer)

    def taken(self) -> list[Taken]:
        return [
            Taken(letter.to, letter.words.subject, letter.words.text, letter.words.html)
            for letter in self.fake.taken
        ]


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    running = Smtp()
    yield running
    running.stop()


@pytest.fixture(params=["fake", "smtp"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = Fake() if request.param == "fake" else request.getfixturevalue("smtp")
    return found


def letter(to: str = "viewer@example.com", **words: str) -> Letter:
    said = {"subject": "A subject", "text": "Some text\n", "html": "<p>Some text</p>\n"} | words
    return Letter(uuid.uuid4(), to, Words(**said))


def test_what_is_sent_arrives(server: Server) -> None:
    text = "Grüße – ✓\n.\n..a line of dots\nFrom here\n" + "long " * 300 + "\n"
    server.mail.send(
        letter(subject="Ein schöner Betreff, der lang ist " * 3, text=text, html="<p>Grüße</p>\n")
    )
    (taken,) = server.taken()
    assert taken.to == "viewer@example.com"
    assert taken.subject.strip() == ("Ein schöner Betreff, der lang ist " * 3).strip()
    assert (taken.text, taken.html) == (text, "<p>Grüße</p>\n")


@pytest.mark.parametrize(
    ("answer", "error", "arrives"),
    [
        ("later", MailDelayedError, False),
        ("refuse", MailRefusedError, False),
        ("lose", MailInDoubtError, True),
    ],
)
def test_bad_days(server: Server, answer: str, error: type[MailError], arrives: bool) -> None:
    server.answer("viewer@example.com", answer)
    with pytest.raises(error):
        server.mail.send(letter())
    assert len(server.taken()) == arrives
    server.mail.send(letter())
    assert len(server.taken()) == arrives + 1


# -- SMTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ("content later", MailDelayedError, "452"),
        ("content refused", MailRefusedError, "554"),
        ("later", MailDelayedError, "451"),
        ("cut before", MailDelayedError, "SMTPServerDisconnected"),
        ("silence", MailInDoubtError, "SMTPServerDisconnected"),
        ("odd", MailInDoubtError, "251"),
    ],
)
def test_where_it_breaks_decides(smtp: Smtp, answer: str, error: type[MailError], code: str) -> None:
    smtp.answer("viewer@example.com", answer)
    with pytest.raises(error) as raised:
        smtp.mail.send(letter())
    assert raised.value.code == code


def test_a_sender_that_is_refused_can_be_mended(smtp: Smtp) -> None:
    smtp.answer("sender", "refuse")
    with pytest.raises(MailDelayedError, match="550"):
        smtp.mail.send(letter())
    smtp.mail.send(letter())


def test_the_headers(smtp: Smtp) -> None:
    sent = letter()
    smtp.mail.send(sent)
    (message,) = smtp.messages()
    assert (message["From"], message["To"]) == ("Streamly <streamly@example.com>", "viewer@example.com")
    assert message["Message-ID"] == f"<{sent.id}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert abs(message["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
    # Its own name is not looked up in DNS.
    assert smtp.handler.hosts == ["example.com"]


@pytest.mark.parametrize("subject", ["A\nBcc: everybody@example.com", "A\r\n\r\nbody"])
def test_no_header_is_smuggled_in(smtp: Smtp, subject: str) -> None:
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        smtp.mail.send(letter(subject=subject))
    assert smtp.taken() == []


@pytest.mark.parametrize("to", ["a@example.com\r\nRCPT TO:<b@example.com>", "a@example.com>\nDATA"])
def test_no_command_is_smuggled_in(smtp: Smtp, to: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several layers may notice first
        smtp.mail.send(letter(to))
    assert smtp.taken() == []


@pytest.mark.parametrize(
    ("to", "seen"),
    [
        ("jürgen@example.com", "jürgen@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        # Not fass.example, and not nobody: what registrars sell since 2008.
        ("a@faß.example", "a@xn--fa-hia.example"),
        ("a@אב1.example", "a@xn--1-zhcd.example"),
    ],
)
def test_addresses_beyond_ascii(smtp: Smtp, to: str, seen: str) -> None:
    smtp.mail.send(letter(to))
    assert smtp.handler.envelopes[0].rcpt_tos == [seen]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = MailSettings("127.0.0.1", port, "none", None, None, "", SENDER)
    with pytest.raises(MailDelayedError, match="ConnectionRefusedError"):
        SmtpMail(settings, 1).send(letter())


def test_somebody_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = MailSettings("127.0.0.1", silent.getsockname()[1], "none", None, None, "", SENDER)
        with pytest.raises(MailDelayedError, match="SMTPServerDisconnected"):
            SmtpMail(settings, 0.5).send(letter())


# -- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1's name localhost, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def passes(server: Any, session: Any, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    fits = (data.login, data.password) == (b"user", b"p@ss")
    # Not "handled": the server is to answer.
    return AuthResult(success=fits, handled=False)


# aiosmtpd does not see the TLS that was there before it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture(params=["tls", "starttls"])
def secured(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Callable[..., SmtpMail]]:
    """`secured(…)`: an adapter for a server that asks for TLS and a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    auth = {
        "authenticator": passes,
        "auth_required": True,
        "auth_require_tls": request.param == "starttls",
    }
    running = (
        Smtp(ssl_context=context, **auth)
        if request.param == "tls"
        else Smtp(tls_context=context, require_starttls=True, **auth)
    )
    trust = ssl.create_default_context(cafile=certificate)

    def open_mail(*, trusted: bool = True, **values: Any) -> SmtpMail:
        given = {"host": "localhost", "security": request.param, "user": "user", "password": "p@ss"} | values
        return SmtpMail(running.settings(**given), 2, trust if trusted else None)

    yield open_mail
    running.stop()


def test_over_tls_with_a_password(secured: Callable[..., SmtpMail]) -> None:
    secured().send(letter())


def test_a_wrong_password(secured: Callable[..., SmtpMail]) -> None:
    with pytest.raises(MailDelayedError, match="535"):
        secured(password="wrong").send(letter())


def test_a_certificate_nobody_vouches_for(secured: Callable[..., SmtpMail]) -> None:
    with pytest.raises(MailDelayedError, match="SSLCertVerificationError"):
        secured(trusted=False).send(letter())


def test_a_certificate_of_somebody_else(secured: Callable[..., SmtpMail]) -> None:
    with pytest.raises(MailDelayedError, match="SSLCertVerificationError"):
        secured(host="127.0.0.1").send(letter())


def test_a_server_that_knows_no_tls_gets_nothing(smtp: Smtp) -> None:
    with pytest.raises(MailDelayedError, match="SMTPNotSupportedError"):
        SmtpMail(smtp.settings(security="starttls"), 2).send(letter())
    assert smtp.taken() == []

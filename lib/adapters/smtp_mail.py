"""SMTP by smtplib. Every wait is bounded, certificates are checked, and what is not known is said to be so."""

import smtplib
import ssl
from contextlib import closing, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, localtime

import idna

from lib.accounts.ports import Letter, MailDelayedError, MailInDoubtError, MailRefusedError
from lib.adapters.watchdog import Watchdog
from lib.config import MailSettings

TIMEOUT_SECONDS = 10.0
STEPS = 8


class SmtpMail:
    """Hands mails to a server, each on a connection of its own.

    Args:
        seconds: how long each step may take; a mail has up to eight of them.
        trust: whose certificates count, in place of the machine's.
    """

    def __init__(
        self, settings: MailSettings, seconds: float = TIMEOUT_SECONDS, trust: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._trust = trust or ssl.create_default_context()

    def send(self, letter: Letter) -> None:
        to, foreign = _mailbox(letter.to)
        message = self._message(letter, to, foreign=foreign)
        server = self._server()
        # Where the dog bites and nothing else is wrong, the mail was taken.
        with closing(server), suppress(TimeoutError), Watchdog(STEPS * self._seconds, lambda: server.sock):
            try:
                self._greet(server)
            except OSError as error:
                raise MailDelayedError(_code(error)) from error
            self._envelope(server, to, foreign=foreign)
            self._hand_over(server, message)
            # It is taken; how the server says goodbye changes nothing.
            with suppress(OSError):
                server.quit()

    def _server(self) -> smtplib.SMTP:
        """Not connected yet."""
        settings = self._settings
        # Named, because smtplib would look its own name up in DNS.
        me = settings.sender.rpartition("@")[2]
        server: smtplib.SMTP
        if settings.security == "tls":
            server = smtplib.SMTP_SSL("", 0, me, timeout=self._seconds, context=self._trust)
        else:
            server = smtplib.SMTP("", 0, me, timeout=self._seconds)
        # Whose certificate it should be. A name in the constructor would connect at once.
        server._host = settings.host  # type: ignore[attr-defined]  # noqa: SLF001
        return server

    def _greet(self, server: smtplib.SMTP) -> None:
        settings = self._settings
        code, _ = server.connect(settings.host, settings.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, b"no welcome")
        if settings.security == "starttls":
            server.starttls(context=self._trust)
        if settings.user and settings.password:
            server.login(settings.user, settings.password)
        server.ehlo_or_helo_if_needed()

    def _envelope(self, server: smtplib.SMTP, to: str, *, foreign: bool) -> None:
        if foreign and not server.has_extn("smtputf8"):
            raise MailRefusedError("smtputf8")
        try:
            code, _ = server.mail(self._settings.sender, ["SMTPUTF8", "BODY=8BITMIME"] if foreign else [])
            # Whatever is wrong with the sender is our own setting, and can be mended.
            if code != 250:
                raise MailDelayedError(str(code))
            code, _ = server.rcpt(to)
        except OSError as error:
            raise MailDelayedError(_code(error)) from error
        if code not in (250, 251):
            raise _refusal(code)

    @staticmethod
    def _hand_over(server: smtplib.SMTP, message: bytes) -> None:
        try:
            code, _ = server.data(message)
        except smtplib.SMTPDataError as error:
            # Before the message itself.
            raise _refusal(error.smtp_code) from error
        except OSError as error:
            raise MailInDoubtError(_code(error)) from error
        if 400 <= code < 600:
            raise _refusal(code)
        if code != 250:
            raise MailInDoubtError(str(code))

    def _message(self, letter: Letter, to: str, *, foreign: bool) -> bytes:
        """Raises ValueError for a header of more than one line."""
        settings = self._settings
        message = EmailMessage(policy=SMTPUTF8 if foreign else SMTP)
        sender, _, domain = settings.sender.rpartition("@")
        message["From"] = Address(settings.sender_name, sender, domain)
        local, _, host = to.rpartition("@")
        message["To"] = Address("", local, host)
        message["Subject"] = letter.words.subject
        message["Date"] = format_datetime(localtime())
        message["Message-ID"] = f"<{letter.id}@{domain}>"
        # No out-of-office answers, please (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.words.text)
        message.add_alternative(letter.words.html, subtype="html")
        return message.as_bytes()


def _mailbox(email: str) -> tuple[str, bool]:
    """The address as SMTP takes it, and whether it takes an extension: letters beyond ASCII before the @.

    Python's own codec is of 2003: faß.de is fass.de to it, which is somebody else's.
    """
    local, _, domain = email.rpartition("@")
    if not domain.isascii():
        domain = idna.encode(domain).decode()
    return f"{local}@{domain}", not local.isascii()


def _refusal(code: int) -> MailDelayedError | MailRefusedError:
    return MailRefusedError(str(code)) if 500 <= code < 600 else MailDelayedError(str(code))


def _code(error: OSError) -> str:
    """The server's status, or what kind of error it was; no text of either."""
    if isinstance(error, smtplib.SMTPResponseException):
        return str(error.smtp_code)
    return type(error).__name__

"""A real SMTP server, by aiosmtpd, that answers as it is told to."""

# ruff: noqa: N802 - aiosmtpd's names

import asyncio
import email
import email.policy
import threading
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from lib.accounts.ports import Mail
from lib.adapters.smtp_mail import SmtpMail
from lib.config import MailSettings

SENDER = "streamly@example.com"


@dataclass
class Taken:
    to: str
    subject: str
    text: str
    html: str


class Handler:
    """Answers each recipient as it was told to, once."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.envelopes: list[Envelope] = []
        self.hosts: list[str] = []

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.hosts.append(hostname)
        return responses

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers.pop("sender", None):
            return "550 5.7.1 Not from you"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers.get(address) == "cut before":
            server.transport.abort()
        said = {"later": "451 4.3.0 Later", "refuse": "550 5.1.1 No such mailbox"}.get(
            self.answers.get(address, "")
        )
        if said:
            del self.answers[address]
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        answer = self.answers.pop(envelope.rcpt_tos[0], "")
        if answer in ("content later", "content refused"):
            return "452 4.3.1 Full" if answer == "content later" else "554 5.7.1 Spam"
        self.envelopes.append(envelope)
        if answer == "lose":
            server.transport.abort()
        if answer == "silence":
            await asyncio.sleep(5)
        return "251 2.0.0 Taken, after a fashion" if answer == "odd" else "250 OK"


class Smtp:
    """A server of aiosmtpd's in a thread of its own."""

    def __init__(self, **options: Any) -> None:
        self.handler = Handler()
        self._loop = asyncio.new_event_loop()
        tls = options.pop("ssl_context", None)
        speak = partial(SMTP, self.handler, enable_SMTPUTF8=True, hostname="localhost", **options)
        self._server = self._loop.run_until_complete(
            self._loop.create_server(partial(speak, loop=self._loop), "127.0.0.1", 0, ssl=tls)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.mail: Mail = SmtpMail(self.settings(), 2)

    def settings(self, **values: Any) -> MailSettings:
        plain = MailSettings("127.0.0.1", self.port, "none", None, None, "Streamly", SENDER)
        return replace(plain, **values)

    def answer(self, to: str, answer: str) -> None:
        self.handler.answers[to] = answer

    def messages(self) -> list[EmailMessage]:
        return [
            email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
            for envelope in self.handler.envelopes
        ]

    def taken(self) -> list[Taken]:
        found = []
        for envelope, message in zip(self.handler.envelopes, self.messages(), strict=True):
            bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
            text, html = (body.get_content().replace("\r\n", "\n") if body else "" for body in bodies)
            found.append(Taken(envelope.rcpt_tos[0], str(message["Subject"]), text, html))
        return found

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Connections that were cut are closed by the loop, in its own time.
            await asyncio.sleep(0.05)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

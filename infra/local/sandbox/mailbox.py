"""A mail server that delivers to nobody: what it takes is shown at `/sandbox/mail`.

It answers as real ones do on a bad day when it is told to: `POST /sandbox/mail/control`
`{to?, answer: take|later|refuse|lose}`. `later` is 451 and `refuse` 550, for the recipient; `lose` takes the mail and
cuts the connection instead of saying so. Without `to` it is for everybody.
"""

import asyncio
import email
import email.policy
import html
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from infra.local.sandbox.state import Document, State

KIND = "mail"
KEPT = 1000
ANSWERS = ("take", "later", "refuse", "lose")
_EVERYBODY = "*"


class Mailbox:
    """Takes mails by SMTP and keeps them with the other local data."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._answers: dict[str, str] = {}

    def answer(self, to: str | None, answer: str) -> None:
        """From now on mails to this address, or with None to any without an answer of its own, are answered so."""
        self._answers[to or _EVERYBODY] = answer

    def mails(self, to: str | None = None) -> list[Document]:
        """The newest first."""
        return [mail for mail in reversed(self._state.all(KIND)) if to is None or mail["to"] == to]

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        """Listen for SMTP on loopback meanwhile."""
        handler = partial(_Server, self, enable_SMTPUTF8=True, hostname="localhost", ident="Streamly sandbox")
        server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", port)
        async with server:
            yield

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._answer(address)
        if answer == "later":
            return "451 4.3.0 Try again later"
        if answer == "refuse":
            return "550 5.1.1 There is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: "_Server", session: Session, envelope: Envelope
    ) -> str:
        for to in envelope.rcpt_tos:
            self._keep(to, envelope.original_content or b"")
        if any(self._answer(to) == "lose" for to in envelope.rcpt_tos):
            server.cut()
        return "250 OK"

    def _answer(self, to: str) -> str:
        return self._answers.get(to) or self._answers.get(_EVERYBODY, "take")

    def _keep(self, to: str, content: bytes) -> None:
        message: EmailMessage = email.message_from_bytes(content, policy=email.policy.default)
        parts = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
        mail = {
            "to": to,
            "subject": str(message["Subject"]),
            "text": parts["plain"].get_content() if parts["plain"] else "",
            "html": parts["html"].get_content() if parts["html"] else "",
            "sent_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "from": str(message["From"]),
            "message_id": str(message["Message-ID"]),
        }
        self._state.put(KIND, str(uuid.uuid4()), mail)
        self._state.keep_newest(KIND, KEPT)


class _Server(SMTP):
    def cut(self) -> None:
        """End the connection in the middle of whatever it is."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


def routes(mailbox: Mailbox) -> list[Route]:
    """The mailbox over HTTP."""

    async def mails(request: Request) -> Response:
        found = mailbox.mails(request.query_params.get("to"))
        if "text/html" in request.headers.get("Accept", ""):
            return HTMLResponse(_page(found), headers=_HEADERS)
        shown = ("to", "subject", "text", "html", "sent_at")
        return JSONResponse({"mails": [{name: mail[name] for name in shown} for mail in found]})

    async def control(request: Request) -> Response:
        try:
            command: Any = json.loads(await request.body())
        except ValueError:
            command = None
        if (
            not isinstance(command, dict)
            or command.get("answer") not in ANSWERS
            or set(command) - {"to", "answer"}
        ):
            return JSONResponse({"error": f"{{to?, answer: {'|'.join(ANSWERS)}}}"}, 400)
        mailbox.answer(command.get("to"), command["answer"])
        return JSONResponse(command)

    return [Route("/sandbox/mail", mails), Route("/sandbox/mail/control", control, methods=["POST"])]


_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; frame-src 'self'"
    ),
    "Cache-Control": "no-store",
    # The links carry tokens.
    "Referrer-Policy": "no-referrer",
}


def _page(mails: list[Document]) -> str:
    shown = "\n".join(_mail(mail) for mail in mails[:100]) or "<p>None yet.</p>"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mail – Sandbox – Streamly</title>
<link rel="icon" href="/pages/icon.svg">
<link rel="stylesheet" href="/pages/style.css">
<header><h1>Mail</h1><nav><a href="/sandbox/">Sandbox</a> <a href="/">Streamly</a></nav></header>
<main class="wide">
<p>What was sent, newest first. Nothing leaves this machine.</p>
{shown}
</main>
</html>
"""


def _mail(mail: Document) -> str:
    told = html.escape(f"{mail['sent_at']} to {mail['to']}, from {mail['from']}")
    return (
        f"<section><h2>{html.escape(mail['subject'])}</h2><p>{told}</p>"
        # Sandboxed: a mail runs nothing; its links open beside it.
        f'<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" title="{html.escape(mail["subject"])}" '
        f'srcdoc="{html.escape(_beside(mail["html"]))}" style="width: 100%; height: 26em; border: 0"></iframe></section>'
    )


def _beside(page: str) -> str:
    return page.replace("<head>", '<head><base target="_blank">', 1)

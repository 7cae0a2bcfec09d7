"""What arrived in the sandbox's mailbox, and the links in it."""

import re
from typing import Any

import httpx

from tests.factories import wait_for

Mail = dict[str, Any]


class Mailbox:
    """What arrived in the sandbox."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/sandbox"

    def of(self, email: str) -> list[Mail]:
        """The newest first."""
        found: list[Mail] = httpx.get(f"{self._url}/mail", params={"to": email}, timeout=30).json()["mails"]
        return found

    def newest(self, email: str, number: int = 1) -> Mail:
        """The last of so many, once they are there."""

        def arrived() -> list[Mail] | None:
            found = self.of(email)
            return found if len(found) >= number else None

        return wait_for(arrived)[0]

    def answer(self, email: str, answer: str) -> None:
        httpx.post(f"{self._url}/mail/control", json={"to": email, "answer": answer}).raise_for_status()

    def reconcile(self) -> None:
        answer = httpx.post(f"{self._url}/tasks/reconcile", timeout=60).json()
        assert answer["status"] == 200, answer


def token_of(mail: Mail) -> str:
    (token,) = set[str](re.findall(r"\?token=([\w-]+)", mail["text"]))
    assert f"?token={token}" in mail["html"]
    return token

"""Callers without keys or a database: `Tokens`, `Sessions` and `ServiceCallers` of lib/web/ports.py."""

import uuid
from datetime import datetime

from lib.errors import ForbiddenError, InvalidTokenError
from lib.web.ports import Caller, Claims

VIEWER, ADMIN = "viewer-token", "admin-token"
SERVICE_EMAIL = "tasks@example.com"


class FakeTokens:
    """Knows the tokens it issued, and two from the start: VIEWER's and ADMIN's."""

    def __init__(self) -> None:
        self.issued = {token: self.claims(token) for token in (VIEWER, ADMIN)}

    @staticmethod
    def claims(token: str) -> Claims:
        """Whose VIEWER and ADMIN are: the same in every process."""
        return Claims(uuid.uuid5(uuid.NAMESPACE_URL, token), uuid.uuid5(uuid.NAMESPACE_OID, token))

    def issue(self, claims: Claims, *, now: datetime) -> tuple[str, int]:
        token = f"token-{len(self.issued)}"
        self.issued[token] = claims
        return token, 900

    def verify(self, token: str) -> Claims:
        if token not in self.issued:
            raise InvalidTokenError
        return self.issued[token]


class FakeSessions:
    """Every login is alive, or none is."""

    def __init__(self, *, ended: bool = False) -> None:
        self.ended = ended

    def caller(self, claims: Claims) -> Caller:
        if self.ended:
            raise InvalidTokenError
        role = "admin" if claims == FakeTokens.claims(ADMIN) else "viewer"
        return Caller(claims.user_id, claims.session_id, role)


class FakeServiceCallers:
    """Knows two service accounts, of which one may call."""

    def check(self, token: str) -> str:
        if token == "stranger":
            raise ForbiddenError
        if token != "service":
            raise InvalidTokenError
        return SERVICE_EMAIL

"""Playback restrictions: from which sites a token that names one may be used."""

from collections.abc import Callable
from urllib.parse import urlsplit

from infra.local.sandbox.mux.identifiers import new_id
from infra.local.sandbox.mux.refusals import forbidden, invalid_parameters
from infra.local.sandbox.state import Document, State

_KIND = "mux.playback_restriction"


class Restrictions:
    """The environment's. Of the viewer's program nothing is judged: the sandbox knows none that is a risk."""

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock

    def create(self, wanted: Document) -> Document:
        """A new one.

        Raises:
            MuxError: 400, where a part is missing.
        """
        if missing := [name for name in ("referrer", "user_agent") if name not in wanted]:
            raise invalid_parameters(*(f"{name} is required" for name in missing))
        now = str(int(self._clock()))
        made = {"id": new_id(), "created_at": now, "updated_at": now, **wanted}
        self._state.put(_KIND, made["id"], made)
        return made

    def check(self, restriction_id: object, referrer: str | None) -> None:
        """Whether a token that names it may be used from there.

        Raises:
            MuxError: 403.
        """
        found = self._state.get(_KIND, restriction_id) if isinstance(restriction_id, str) else None
        if found is None:
            raise forbidden("the token's playback restriction does not exist")
        rule = found["referrer"]
        if not referrer:
            if not rule.get("allow_no_referrer", False):
                raise forbidden("the playback restriction wants a Referer")
            return
        site = urlsplit(referrer).hostname or ""
        if not any(_covers(domain, site) for domain in rule.get("allowed_domains", [])):
            raise forbidden("the playback restriction does not allow this site")


def _covers(domain: str, site: str) -> bool:
    if domain == "*":
        return True
    return site.endswith(domain[1:]) if domain.startswith("*.") else site == domain

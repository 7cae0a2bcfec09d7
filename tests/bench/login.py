"""login against nothing but the verification of its password."""

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.figures import Figure, median
from tests.bench.load import load
from tests.bench.served import function
from tests.bench.stage import Stage, json_request
from tests.factories import PASSWORD

ARGON = "argon2 verification alone"
# In a process of its own, as login is. The hash names its parameters.
_VERIFY = """
import json, statistics, sys, time
from argon2 import PasswordHasher

hasher, (password_hash, password, seconds) = PasswordHasher(), json.loads(sys.argv[1])
hasher.verify(password_hash, password)
took, ends = [], time.perf_counter() + seconds
while time.perf_counter() < ends:
    began = time.perf_counter()
    hasher.verify(password_hash, password)
    took.append(time.perf_counter() - began)
print(statistics.median(took) * 1000)
"""


def login(stage: Stage, rounds: int, seconds: float) -> Iterator[Figure]:
    people = [
        json_request("/", {"email": f"viewer{number}@bench.example.com", "password": PASSWORD})
        for number in range(1, 501)
    ]
    file = stage.file("logins", people)
    ours, bare = [], []
    with stage.one(function("login")) as server:
        server.first_answer(people[0], 200)
        load(server.url, file, connections=1, seconds=1)
        for _ in range(rounds):
            ours.append(load(server.url, file, connections=1, seconds=seconds).p50)
            bare.append(_bare(stage.password_hash, seconds))
    yield Figure("login", "login p50, one at a time", "ms", median(ours), ARGON, median(bare), most=1.25)


def _bare(password_hash: str, seconds: float) -> float:
    told = json.dumps([password_hash, PASSWORD, seconds])
    done = subprocess.run(
        [sys.executable, "-c", _VERIFY, told],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return float(done.stdout)

"""get-playback against its peers: how many a second, and how long one takes when the database is further away."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

from tests.bench.delay import DelayProxy
from tests.bench.figures import Figure, against, median
from tests.bench.load import BadAnswersError, Load, load
from tests.bench.served import (
    PRODUCTION,
    Program,
    Running,
    framework_peer,
    function,
    threads_of,
    uvicorn_peer,
)
from tests.bench.stage import VIDEOS, Stage

FULL, TUNED, BARE = "(a) full stack", "(a′) tuned", "(b) bare"
CONNECTIONS = 8
# So many are there for the first time in one round at one server.
NEW_VIEWERS = 4000
WAYS = (1, 5)
WARM_UP = 2.0


def programs() -> dict[str, Program]:
    return {
        "ours": function("get-playback"),
        FULL: uvicorn_peer("full_stack"),
        TUNED: uvicorn_peer("tuned"),
        BARE: framework_peer("bare", threads_of("get-playback"), PRODUCTION),
    }


def throughput(stage: Stage, rounds: int, seconds: float) -> Iterator[Figure]:
    """How many a second, of viewers who come again and again."""
    file = stage.file("viewers", viewers := stage.viewers())
    with stage.started(programs()) as servers:
        for server in servers.values():
            server.first_answer(viewers[0], 200)
        found = alternating(servers, {each: [file] for each in servers}, CONNECTIONS, rounds, seconds)
    name = f"get-playback, {CONNECTIONS} connections"
    least = {FULL: 1.5, TUNED: 1.0, BARE: 0.4}
    yield from against("playback", name, "requests/s", *_rates(found), least=least)
    p99s = {name: median([one.p99 for one in loads]) for name, loads in found.items()}
    name = f"get-playback p99, {CONNECTIONS} connections"
    yield from against("playback", name, "ms", p99s.pop("ours"), p99s)


def first_time(stage: Stage, rounds: int, seconds: float) -> Iterator[Figure]:
    """How many a second, of viewers none of whom was there before: nothing that is kept of them helps."""
    number = NEW_VIEWERS * (rounds + 1) * len(programs())
    url = stage.database("crowd", accounts=number, videos=VIDEOS)
    crowd = iter(stage.viewers(url, number))
    with stage.started(programs(), stage.environment(url)) as servers:
        files = {
            name: [
                stage.file(f"new{place}-{turn}", list(islice(crowd, NEW_VIEWERS)))
                for turn in range(rounds + 1)
            ]
            for place, name in enumerate(servers)
        }
        for server in servers.values():
            server.first_answer(stage.viewers(url, 1)[0], 200)
        found = alternating(servers, files, CONNECTIONS, rounds, seconds)
    if any(one.requests > NEW_VIEWERS for name, loads in found.items() if name != BARE for one in loads):
        raise BadAnswersError("more than there are viewers: some were there before")
    name = f"get-playback, {CONNECTIONS} connections, each viewer for the first time"
    yield from against("first-time", name, "requests/s", *_rates(found))


def _rates(found: Mapping[str, list[Load]]) -> tuple[float, dict[str, float]]:
    """Ours and theirs."""
    rates = {name: median([one.rate for one in loads]) for name, loads in found.items()}
    return rates.pop("ours"), rates


def distance(stage: Stage, rounds: int, seconds: float) -> Iterator[Figure]:
    """p50 with so many milliseconds each way between function and database."""
    file = stage.file("viewers", viewers := stage.viewers())
    chosen = {name: program for name, program in programs().items() if name != BARE}
    for milliseconds in WAYS:
        with ExitStack() as running:
            proxy = running.enter_context(DelayProxy(stage.url, milliseconds / 1000))
            servers = running.enter_context(stage.started(chosen, stage.environment(proxy.url)))
            for server in servers.values():
                server.first_answer(viewers[0], 200)
            for connections in (1, CONNECTIONS):
                found = alternating(servers, {each: [file] for each in servers}, connections, rounds, seconds)
                p50s = {name: median([one.p50 for one in loads]) for name, loads in found.items()}
                name = f"get-playback p50, database {milliseconds} ms away each way, {connections} connection"
                yield from against(
                    "distance",
                    name + ("s" if connections > 1 else ""),
                    "ms",
                    p50s.pop("ours"),
                    p50s,
                    most={FULL: 0.5, TUNED: 1.1},
                )


def alternating(
    servers: Mapping[str, Running],
    files: Mapping[str, Sequence[Path]],
    connections: int,
    rounds: int,
    seconds: float,
) -> dict[str, list[Load]]:
    """Each warmed up, then in turn, so that what the machine does besides hits all of them.

    Args:
        files: what each is asked, another one each time, as far as there are any.
    """
    asked = {name: cycle(files[name]) for name in servers}
    for name, server in servers.items():
        load(server.url, next(asked[name]), connections=connections, seconds=WARM_UP)
    found: dict[str, list[Load]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            found[name].append(load(server.url, next(asked[name]), connections=connections, seconds=seconds))
    return found

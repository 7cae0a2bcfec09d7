"""get-playback against its peers: how many a second, and how long one takes when the database is further away."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.delay import DelayProxy
from tests.bench.figures import Figure, against, median
from tests.bench.load import Load, load
from tests.bench.served import (
    PRODUCTION,
    Program,
    Running,
    framework_peer,
    function,
    threads_of,
    uvicorn_peer,
)
from tests.bench.stage import Stage

FULL, TUNED, BARE = "(a) full stack", "(a′) tuned", "(b) bare"
CONNECTIONS = 8
NEW_TOKENS = 10_000
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
    """How many a second: of viewers whose token the process has seen, and of those whom it sees for the first time."""
    known = stage.viewers()
    # More tokens than a process keeps, in turn.
    new = [request for _ in range(NEW_TOKENS // len(known)) for request in stage.viewers()]
    least = {FULL: 1.5, TUNED: 1.0, BARE: 0.4}
    with stage.started(programs()) as servers:
        for server in servers.values():
            server.first_answer(known[0], 200)
        for who, requests in (("", known), (", each token for the first time", new)):
            file = stage.file(f"viewers{len(requests)}", requests)

            def ask(server: Running, seconds: float, file: Path = file) -> Load:
                return load(server.url, file, connections=CONNECTIONS, seconds=seconds)

            found = alternating(servers, ask, rounds, seconds)
            rates = {name: median([one.rate for one in loads]) for name, loads in found.items()}
            name = f"get-playback, {CONNECTIONS} connections{who}"
            yield from against("playback", name, "requests/s", rates.pop("ours"), rates, least=least)
            if who:
                continue
            p99s = {name: median([one.p99 for one in loads]) for name, loads in found.items()}
            yield from against(
                "playback", f"get-playback p99, {CONNECTIONS} connections", "ms", p99s.pop("ours"), p99s
            )


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

                def ask(server: Running, seconds: float, connections: int = connections) -> Load:
                    return load(server.url, file, connections=connections, seconds=seconds)

                found = alternating(servers, ask, rounds, seconds)
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
    servers: dict[str, Running], ask: Callable[[Running, float], Load], rounds: int, seconds: float
) -> dict[str, list[Load]]:
    """Each warmed up, then in turn, so that what the machine does besides hits all of them."""
    for server in servers.values():
        ask(server, WARM_UP)
    found: dict[str, list[Load]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            found[name].append(ask(server, seconds))
    return found

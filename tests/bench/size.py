"""get-playback over a thousand accounts and over a million: what size costs."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.figures import Figure, median
from tests.bench.load import burst, load
from tests.bench.playback import CONNECTIONS
from tests.bench.served import function
from tests.bench.stage import Stage

SMALL, LARGE = "10³ accounts and films", "10⁶ accounts and grants, 10⁵ films"


def size(stage: Stage, rounds: int, seconds: float, accounts: int = 1_000_000) -> Iterator[Figure]:
    urls = {
        SMALL: stage.url,
        LARGE: stage.database("large", accounts=accounts, videos=max(1000, accounts // 10)),
    }
    viewers = {name: stage.viewers(url) for name, url in urls.items()}
    files = {name: stage.file(f"viewers{number}", viewers[name]) for number, name in enumerate(urls)}
    with ExitStack() as running:
        servers = {
            name: running.enter_context(
                stage.one(function("get-playback"), stage.environment(url), f"size{number}")
            )
            for number, (name, url) in enumerate(urls.items())
        }
        for name, server in servers.items():
            server.first_answer(viewers[name][0], 200)
            # Each of them twice: what was never asked for is read from files, and that is no matter of size.
            burst(server.url, files[name], connections=CONNECTIONS, most=2 * len(viewers[name]))
        p50s: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name, server in servers.items():
                p50s[name].append(load(server.url, files[name], connections=1, seconds=seconds).p50)
    yield Figure(
        "size",
        f"get-playback p50, {LARGE}",
        "ms",
        median(p50s[LARGE]),
        SMALL,
        median(p50s[SMALL]),
        most=1.15,
    )

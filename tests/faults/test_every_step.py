"""kill -9 at every step of everything that writes: nothing is lost, nothing is done twice.

The steps are found by watching a request that nothing happens to: each statement, each commit, each call of somebody
outside. Then it is asked for again, by somebody else, once for each step and each side of it, and the process dies
there: before the step was sent, or after it was done and before the answer came. The client, which heard nothing, asks
again; the queue and reconcile go on. The end must be that of the request that nothing happened to.
"""

import random
import time
from collections.abc import Iterator

import pytest

from infra.local.supervisor import Stack
from tests.conftest import copied
from tests.faults.counts import tried
from tests.faults.deaths import Death, Outcome, World
from tests.faults.invariants import INVARIANTS, broken
from tests.faults.write_paths import PATHS, Scene, differences, facts

# Of a path's deaths, in the short form; and at most, where there is time: reconcile has more than two hundred, of which
# the others' steps are most.
SAMPLE = 1
MOST = 100


@pytest.fixture(scope="module")
def world(stack: Stack, template: str, environment: dict[str, str]) -> Iterator[World]:
    made = World(stack, copied(template), environment)
    yield made
    made.close()


def ask_until_answered(world: World, scene: Scene) -> Outcome:
    """What a client does that heard nothing: the same again, also where it is told to wait."""
    for _ in range(4):
        outcome = world.call(scene.call, ahead=scene.ahead)
        assert outcome.status is not None
        if outcome.status != 503:
            break
        assert int(outcome.headers["Retry-After"]) > 0
        # The dead one's key is held for two minutes.
        world.sql("UPDATE idempotency_keys SET held_until = now() - interval '1 s' WHERE answer IS NULL")
    said = (outcome.status or 0, outcome.code or "")
    assert said[0] in (200, 201, 202, 204) or said in scene.again, outcome.body
    return outcome


def play(world: World, path: str, death: Death | None) -> tuple[Scene, Outcome, dict[str, int]]:
    world.move()
    scene = PATHS[path](world)
    outcome = world.call(scene.call, death, ahead=scene.ahead)
    if outcome.died:
        assert broken(world.database) == {}, (path, death)
    answered = ask_until_answered(world, scene) if outcome.died else outcome
    scene.then(answered)
    world.settle()
    return scene, outcome, facts(world, scene)


@pytest.mark.parametrize("path", list(PATHS))
def test_killed_at_every_step(world: World, path: str, dice: random.Random, thorough: bool) -> None:
    began = time.monotonic()
    _, undisturbed, expected = play(world, path, None)
    assert undisturbed.status is not None
    assert undisturbed.status < 300, undisturbed.body
    steps = undisturbed.steps
    assert steps, "it does nothing"
    deaths = [Death(number, moment) for number in range(1, len(steps) + 1) for moment in ("before", "after")]
    deaths = dice.sample(deaths, min(MOST if thorough else SAMPLE, len(deaths)))
    died = 0
    for death in deaths:
        scene, outcome, found = play(world, path, death)
        if not outcome.died:
            # It takes a step or two less for somebody else: it was done by then.
            assert len(outcome.steps) in range(len(steps) - 4, death.step), (death, outcome.steps)
            assert outcome.status in (200, 201, 202, 204), outcome.body
            continue
        died += 1
        where = f"{death.moment} {death.step} of {len(steps)}: {outcome.steps[-1]}"
        assert differences(scene, expected, found) == [], where
        assert broken(world.database) == {}, where
    assert died
    tried(
        f"kill -9: {path}",
        steps=len(steps),
        deaths=died,
        invariants=len(INVARIANTS),
        seconds=round(time.monotonic() - began, 1),
    )

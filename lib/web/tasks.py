"""process-task and reconcile: work that machines ask for.

Both take a map from kind to handler, built in their main.py from the domains' services.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lib.errors import FieldError, ForbiddenError, InvalidRequestError
from lib.web import log
from lib.web.bodies import Body, NoBody
from lib.web.operation import Answer, Call, Operation, Who


class TaskBody(Body):
    kind: str
    body: dict[str, str]


PROCESS_TASK = Operation(
    function="process-task",
    method="POST",
    tag="Machines",
    summary="A task from the queue",
    who=Who.SERVICE,
    body=TaskBody,
    answers={204: None},
)
RECONCILE = Operation(
    function="reconcile",
    method="POST",
    tag="Machines",
    summary="Find what was left undone, and see to it",
    who=Who.SERVICE,
    body=NoBody,
    answers={200: "lib.web.answers:ReconcileAnswer"},
)

Task = Callable[[dict[str, Any]], None]
Reconciliation = Callable[[], Mapping[str, int]]


def process_task(kinds: Mapping[str, Task], queue: str, direct: frozenset[str], call: Call) -> Answer:
    """Does a task.

    Args:
        queue: the account the queue calls as, which may ask for every kind.
        direct: what all other callers may ask for.
    """
    body: TaskBody = call.body
    call.notes["task"] = body.kind
    if call.service != queue and body.kind not in direct:
        raise ForbiddenError
    handler = kinds.get(body.kind)
    if handler is None:
        raise InvalidRequestError(errors=[FieldError("kind", "unknown_kind", "There is no such task")])
    handler(body.body)
    return Answer(204)


def reconcile(parts: Mapping[str, Reconciliation], call: Call) -> Answer:
    """Every part has its turn, whatever becomes of the others.

    Raises:
        Exception: what the first one that failed raised, after all have had their turn. What the others found
            stands in the log line.
    """
    found: dict[str, dict[str, int]] = {}
    call.notes["found"] = found
    failed: dict[str, Exception] = {}
    for name, part in parts.items():
        try:
            found[name] = dict(part())
        except Exception as error:  # noqa: BLE001 - raised below, when the others have had their turn
            failed[name] = error
            log.line("ERROR", "a part of reconcile failed", {"part": name, "error": log.places(error)})
    if failed:
        call.notes["failed"] = sorted(failed)
        raise next(iter(failed.values()))
    return Answer(200, {"found": found})

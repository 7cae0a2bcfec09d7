"""The functions, loaded once; each request is carried out by a child of its own, made by fork and gone with it.

`python -m tests.faults.forking`, with the functions' settings in the environment, reads orders from standard input, a
JSON line each: `{"method", "path", "headers", "body", "address"}`, and `ahead`, by how many seconds the child's clock is. It
answers with `{"pid": …}`, waits for a line, and then answers with `{"status", "headers", "body"}`, or with
`{"signal": …}` where the child did not live to say it.

A fork is a new process as far as anybody outside can tell: it has no connection, and whoever kills it kills all there
is. What it saves is loading all functions a thousand times.
"""

import json
import os
import sys
import time
from typing import IO, Any

import time_machine
from werkzeug.test import Client

from infra.service.app import FunctionsApp, app


def carry_out(functions: FunctionsApp, order: dict[str, Any]) -> dict[str, Any]:
    client = Client(functions)
    response = client.open(
        order["path"],
        method=order["method"],
        headers=order["headers"],
        data=order["body"].encode(),
        base_url="http://localhost",
        environ_overrides={"REMOTE_ADDR": order["address"]},
    )
    return {
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.get_data(as_text=True),
    }


def in_a_child(functions: FunctionsApp, order: dict[str, Any], said: IO[str], orders: IO[str]) -> None:
    started_read, started_write = os.pipe()
    answer_read, answer_write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(answer_read)
            os.read(started_read, 1)
            if order["ahead"]:
                time_machine.travel(time.time() + order["ahead"]).start()
            answer = json.dumps(carry_out(functions, order)).encode()
            with os.fdopen(answer_write, "wb") as pipe:
                pipe.write(answer)
            status = 0
        except BaseException as error:  # noqa: BLE001 - told by the missing answer; nothing of the parent's may run
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    os.close(answer_write)
    tell(said, {"pid": child})
    orders.readline()
    os.write(started_write, b".")
    with os.fdopen(answer_read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    os.close(started_read)
    os.close(started_write)
    if os.WIFSIGNALED(status):
        tell(said, {"signal": os.WTERMSIG(status)})
    else:
        tell(said, json.loads(answer) if answer else {"exit": os.WEXITSTATUS(status)})


def tell(said: IO[str], line: dict[str, Any]) -> None:
    said.write(json.dumps(line) + "\n")
    said.flush()


def main() -> None:
    # The functions write their log to standard output; what is said here has it to itself.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    functions = app()
    tell(said, {"ready": os.getpid()})
    for line in sys.stdin:
        in_a_child(functions, json.loads(line), said, sys.stdin)


if __name__ == "__main__":
    main()

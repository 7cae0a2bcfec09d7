"""GATEWAY_HOST: where the gateway listens; loopback unless a container asks for more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.gateway import EVERYWHERE, LOOPBACK, gateway_sockets
from infra.local.processes import free_port
from infra.local.supervisor import REPOSITORY


@pytest.mark.parametrize("host", [LOOPBACK, EVERYWHERE])
def test_it_listens_there_and_on_both_kinds_of_localhost(host: str) -> None:
    port = free_port()
    sockets = gateway_sockets(host, port)
    try:
        bound = [listening.getsockname()[:2] for listening in sockets]
    finally:
        for listening in sockets:
            listening.close()
    assert bound[0] == (host, port)
    # None on a machine without IPv6.
    assert bound[1:] in ([], [("::1", port)])


def test_any_other_address_is_refused_in_a_line(tmp_path: Path) -> None:
    """The stack talks to itself through localhost, so an address of the network alone would not do."""
    settings = {"GATEWAY_HOST": "192.0.2.1", "STREAMLY_LOCAL_DIR": str(tmp_path), "PORT": str(free_port())}
    ended = subprocess.run(
        [sys.executable, "-m", "infra.local"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "streamly: GATEWAY_HOST should be 127.0.0.1 or 0.0.0.0, not '192.0.2.1'\n"

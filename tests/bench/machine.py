"""What the figures were measured on and with, and what processes take of it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from infra.local.processes import processes

TICKS = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """The processor, as far as it says."""
    with Path("/proc/cpuinfo").open() as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]}, {len(models)} CPUs; Python {platform.python_version()}"


def versions(names: tuple[str, ...]) -> str:
    """`name version, …` of those that are installed."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, parents = [pid], processes()
    for member in found:
        found += [child for child, process in parents.items() if process.parent == member]
    return found


def cpu(pid: int) -> float:
    """Seconds that a process and its family have computed, those that ended included."""
    ticks = 0
    for member in family(pid):
        # The name in brackets may hold anything; user, system, and both of ended children are the 14th to 17th field.
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def peak_memory(pid: int) -> float:
    """MiB that the largest process of the family held at most."""
    peaks = (Path(f"/proc/{member}/status").read_text() for member in family(pid))
    return (
        max(int(line.split()[1]) for text in peaks for line in text.splitlines() if line.startswith("VmHWM"))
        / 1024
    )


def memory(pid: int) -> float:
    """MiB that a family holds now, what it shares with others counted by its share (PSS)."""
    kib = 0
    for member in family(pid):
        lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def busy() -> tuple[float, float]:
    """Seconds the whole machine has computed, and could have."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS, sum(fields) / TICKS

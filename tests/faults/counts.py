"""What a run tried, and how often: a line an experiment, printed; of `make faults` kept in build/faults.json too.

docs/reliability.md has its numbers from there. `python -m tests.faults.counts` puts the file together.
"""

import json
from pathlib import Path

from tests.faults.conftest import THOROUGH

BUILD = Path(__file__).resolve().parents[2] / "build"
# A file an experiment: they may run in several processes.
KEPT = BUILD / "faults"


def tried(experiment: str, **facts: object) -> None:
    """Note what an experiment did. The same one again takes its place."""
    print(f"faults: {experiment}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
    if THOROUGH:
        KEPT.mkdir(parents=True, exist_ok=True)
        name = "".join(sign if sign.isalnum() else "-" for sign in experiment)
        (KEPT / f"{name}.json").write_text(json.dumps({"experiment": experiment, **facts}, default=str))


def main() -> None:
    lines = [path.read_text() for path in sorted(KEPT.glob("*.json"))]
    (BUILD / "faults.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} experiments in build/faults.json")


if __name__ == "__main__":
    main()

"""What a run tried, and how often: a line an experiment, printed, and kept in build/faults.json.

docs/reliability.md is compared with that file.
"""

import json
import os
from pathlib import Path

KEPT = Path(__file__).resolve().parents[2] / "build" / "faults"


def tried(experiment: str, **facts: object) -> None:
    """Note what an experiment did: once for each time it ends, the same name replacing what was there."""
    print(f"faults: {experiment}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
    if os.environ.get("FAULTS") != "all":
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    name = "".join(sign if sign.isalnum() else "-" for sign in experiment)
    (KEPT / f"{name}.json").write_text(json.dumps({"experiment": experiment, **facts}, default=str))


def collected() -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]

"""What is measured, against what, and whether that is enough."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Args:
        ours: medians of all rounds, as is `theirs`.
        peer: what it is compared with; None: it stands for itself.
        least: the ratio ours / theirs should be at least this …
        most: … or at most this. Neither: it is told, and no more.
        note: what else should be known of it.
    """

    part: str
    name: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.ratio is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or self.ratio >= self.least) and (
            self.most is None or self.ratio <= self.most
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def against(
    part: str,
    name: str,
    unit: str,
    ours: float,
    peers: Mapping[str, float],
    *,
    least: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
) -> list[Figure]:
    """A row for each peer."""
    return [
        Figure(part, name, unit, ours, peer, theirs, (least or {}).get(peer), (most or {}).get(peer))
        for peer, theirs in peers.items()
    ]


def table(figures: Sequence[Figure]) -> str:
    """All of them, in Markdown."""
    lines = ["| figure | ours | peer | theirs | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for figure in figures:
        target = (
            f"≥ {figure.least:g}" if figure.least is not None else f"≤ {figure.most:g}" if figure.most else ""
        )
        verdict = {True: "met", False: "**missed**", None: figure.note}[figure.met]
        theirs = _number(figure.theirs) if figure.theirs is not None else ""
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
        lines.append(
            f"| {figure.name}, {figure.unit} | {_number(figure.ours)} | {figure.peer or ''} | {theirs} | {ratio} "
            f"| {target} | {verdict} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

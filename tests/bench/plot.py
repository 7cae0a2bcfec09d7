"""docs/performance.svg from build/bench.json: how far each figure is from its target. `python -m tests.bench.plot`"""

import json
import math
from typing import Any
from xml.sax.saxutils import escape

from infra.service.app import ROOT

INPUT, OUTPUT = ROOT / "build/bench.json", ROOT / "docs/performance.svg"
_LEFT, _WIDTH, _ROW, _TOP = 470, 330, 20, 46
_FONT = 'font-family="sans-serif" font-size="11" fill="#333"'
# A quarter of what is asked for to eight times that.
_LEAST, _MOST = 0.25, 8.0


def margin(figure: dict[str, Any]) -> float:
    """1: just met. 2: twice as good as asked for."""
    if figure["least"] is not None:
        return float(figure["ratio"] / figure["least"])
    return float(figure["most"] / figure["ratio"])


def position(value: float) -> float:
    bounded = min(max(value, _LEAST), _MOST)
    return _LEFT + _WIDTH * math.log(bounded / _LEAST) / math.log(_MOST / _LEAST)


def drawing(figures: list[dict[str, Any]]) -> str:
    """Bars from the target, to the right what is better, to the left what is missed."""
    height = _TOP + _ROW * len(figures) + 30
    target = position(1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 90} {height}" {_FONT}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="10" y="20" font-size="13">How far from its target each ratio is (right: better than asked for)</text>',
    ]
    for tick in (0.25, 0.5, 1, 2, 4, 8):
        x = position(tick)
        lines += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - 26}" stroke="#ddd"/>',
            f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{tick:g} ×</text>',
        ]
    for number, figure in enumerate(figures):
        y = _TOP + _ROW * number
        end = position(margin(figure))
        colour = "#2a7f62" if figure["met"] else "#c0504d"
        sign, bound = ("≥", figure["least"]) if figure["least"] is not None else ("≤", figure["most"])
        name = escape(f"{figure['name']} / {figure['peer']}")
        lines += [
            f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{name}</text>',
            f'<rect x="{min(end, target):.1f}" y="{y + 2}" width="{abs(end - target):.1f}" height="14" fill="{colour}"/>',
            f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 12}">{figure["ratio"]:.2f} ({sign} {bound:g})</text>',
        ]
    lines.append(
        f'<line x1="{target:.1f}" x2="{target:.1f}" y1="{_TOP - 8}" y2="{height - 26}" stroke="#333"/>'
    )
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    found = json.loads(INPUT.read_text())
    OUTPUT.write_text(drawing([figure for figure in found["figures"] if figure["met"] is not None]))


if __name__ == "__main__":
    main()

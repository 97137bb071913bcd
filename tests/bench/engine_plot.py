"""Draws items/s against accuracy, one panel a task, as an SVG without any library."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 360, 250
LEFT, BOTTOM, TOP, RIGHT = 44, 58, 26, 14
COLOURS = {"headrace": "#0b6e4f", "llama-server": "#c1440e", "create_chat_completion": "#6b6b6b"}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One line of the table."""

    group: str
    name: str
    x: float
    y: float


def write_plot(path: Path, points: Sequence[Point]) -> None:
    """Write one panel for each group, two a row."""
    groups = list(dict.fromkeys(point.group for point in points))
    rows = math.ceil(len(groups) / 2)
    parts = [_panel([p for p in points if p.group == g], g, n % 2, n // 2) for n, g in enumerate(groups)]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{rows * HEIGHT}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n",
        encoding="utf-8",
    )


def _panel(points: Sequence[Point], title: str, column: int, row: int) -> str:
    low, high = min(p.x for p in points), max(p.x for p in points)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high * 1.01))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(x: float) -> float:
        return LEFT + width * (math.log10(x) - first) / max(1, last - first)

    def up(y: float) -> float:
        return TOP + height * (1 - y)

    drawn = [
        f'<text x="{LEFT}" y="16" font-weight="bold">{html.escape(title)}</text>',
        f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
    ]
    for power in range(first, last + 1):
        x = across(10.0**power)
        drawn.append(f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{TOP + height}" stroke="#e4e4e4"/>')
        drawn.append(f'<text x="{x:.0f}" y="{TOP + height + 14}" text-anchor="middle">{10.0**power:g}</text>')
    drawn += [
        f'<text x="{LEFT - 6}" y="{up(share) + 4:.0f}" text-anchor="end">{share:.2f}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    drawn.append(
        f'<text x="{LEFT + width / 2:.0f}" y="{TOP + height + 28}" text-anchor="middle">items/s; up: accuracy</text>'
    )
    for point in points:
        colour = next((one for who, one in COLOURS.items() if point.name.startswith(who)), "#000")
        hollow = "shipped" in point.name
        fill = "white" if hollow else colour
        drawn.append(
            f'<circle cx="{across(point.x):.1f}" cy="{up(point.y):.1f}" r="5" fill="{fill}" stroke="{colour}" '
            f'stroke-width="2"><title>{html.escape(point.name)}: {point.x:g}, {point.y:.3f}</title></circle>'
        )
    legend = [f'<tspan fill="{colour}">&#9679; {who} </tspan>' for who, colour in COLOURS.items()]
    drawn.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{"".join(legend)}<tspan>hollow: shipped file</tspan></text>')
    return f'<g transform="translate({column * WIDTH},{row * HEIGHT})">{"".join(drawn)}</g>'

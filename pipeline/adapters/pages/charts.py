"""Line charts as SVG, small enough to be read in the file: no script, no outside font, nothing loaded."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Points: TypeAlias = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT = 420, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 14, 40
_TICKS = 4
COLOURS = ("#2266aa", "#cc6600", "#228833", "#aa3377", "#777777", "#bb9900")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart; `dots` draws its points only."""

    name: str
    points: Points
    dots: bool = False
    dashed: bool = False


def chart(lines: Sequence[Line], *, x: str, y: str, from_zero: bool = False) -> str:
    """Return an SVG element; x and y name the axes. An empty string where there is no point."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    wide, high = _range([one for one, _ in points], from_zero), _range([one for _, one in points], from_zero)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(y)} by {html.escape(x)}">',
        *_axes(wide, high, x, y),
    ]
    for number, line in enumerate(lines):
        parts += _drawn(line, COLOURS[number % len(COLOURS)], wide, high)
        parts.append(_legend(line.name, number))
    return "".join([*parts, "</svg>"])


def _range(values: Sequence[float], from_zero: bool) -> tuple[float, float]:  # noqa: FBT001 — a chart's own option
    low, high = (0.0 if from_zero else min(values)), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return (low if from_zero else low - margin, high + margin)


def _place(point: tuple[float, float], wide: tuple[float, float], high: tuple[float, float]) -> tuple[float, float]:
    x = _LEFT + (point[0] - wide[0]) / (wide[1] - wide[0]) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - (point[1] - high[0]) / (high[1] - high[0]) * (_HEIGHT - _TOP - _BOTTOM)
    return round(x, 1), round(y, 1)


def _axes(wide: tuple[float, float], high: tuple[float, float], x: str, y: str) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for number in range(_TICKS + 1):
        across = wide[0] + (wide[1] - wide[0]) * number / _TICKS
        up = high[0] + (high[1] - high[0]) * number / _TICKS
        at_x, at_y = _place((across, up), wide, high)
        parts.append(f'<text x="{at_x}" y="{bottom + 14}" text-anchor="middle">{_short(across)}</text>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at_y + 3}" text-anchor="end">{_short(up)}</text>')
        parts.append(f'<path class="grid" d="M{_LEFT} {at_y}H{right}"/>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(x)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{html.escape(y)}</text>'
    )
    return parts


def _drawn(line: Line, colour: str, wide: tuple[float, float], high: tuple[float, float]) -> list[str]:
    places = [_place(point, wide, high) for point in line.points]
    title = f"<title>{html.escape(line.name)}</title>"
    if line.dots or len(places) == 1:
        return [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}">{title}</circle>' for x, y in places]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    dash = ' stroke-dasharray="4 3"' if line.dashed else ""
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}>{title}</path>']


def _legend(name: str, number: int) -> str:
    y = _TOP + 8 + 13 * number
    colour = COLOURS[number % len(COLOURS)]
    return f'<text x="{_WIDTH - _RIGHT}" y="{y}" text-anchor="end" fill="{colour}">{html.escape(name)}</text>'


def _short(value: float) -> str:
    return f"{value:.3g}"

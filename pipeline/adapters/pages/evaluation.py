"""The page of an evaluation: what every tier and the cascade get right, what it costs, and where it goes wrong.

It is made from what is kept of an evaluation, as plain data, and holds no text of any item.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.adapters.pages.charts import Line, chart

_MOST_LABELS = 25
"""Larger confusion tables are cut to the labels that are confused most often."""


def evaluation_page(found: Mapping[str, Any]) -> str:
    """Return the HTML of an evaluation's JSON."""
    environment = Environment(
        loader=PackageLoader("pipeline.adapters.pages", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"share": _share, "usd": _usd, "number": _number}
    steps = [{**step, **_drawn(step)} for step in found["steps"]]
    return environment.get_template("evaluation.html").render(found=found, steps=steps)


def _drawn(step: Mapping[str, Any]) -> dict[str, Any]:
    ways: Sequence[Mapping[str, Any]] = step["ways"]
    risk = [Line(name=way["name"], points=way["risk"]) for way in ways if way["risk"]]
    reliability = [
        Line(name=way["name"], points=[(sure, right) for sure, right, _ in way["reliability"]]) for way in ways
    ]
    ideal = Line(name="as sure as right", points=[(0.0, 0.0), (1.0, 1.0)], dashed=True)
    return {
        "risk": Markup(chart(risk, x="share of texts answered", y="share of these wrong", from_zero=True)),  # noqa: S704 — charts escape
        "reliability": Markup(chart([*reliability, ideal], x="confidence", y="share right")),  # noqa: S704
        "frontier": Markup(_frontier(step)),  # noqa: S704
        "labels": _labels(ways[-1]["confusion"]),
        "confusion": ways[-1]["confusion"],
    }


def _frontier(step: Mapping[str, Any]) -> str:
    """Draw accuracy by cost, or by seconds where costs are unknown."""
    ways = step["ways"]
    priced = all(way["usd_per_item"] is not None for way in ways) and all(
        one[2] is not None for one in step["frontier"]
    )
    key, times, unit = (
        ("usd_per_item", 1e3, "USD per 1,000 texts") if priced else ("seconds_per_item", 1.0, "seconds per text")
    )
    place = 2 if priced else 3
    line = Line(name="cascade, by threshold", points=sorted((one[place] * times, one[1]) for one in step["frontier"]))
    dots = [Line(name=way["name"], points=[(way[key] * times, way["accuracy"])], dots=True) for way in ways]
    return chart([line, *dots] if step["frontier"] else dots, x=unit, y="accuracy")


def _labels(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the labels of the table, those that are confused most often if there are many."""
    labels = list(dict.fromkeys([*confusion, *(said for row in confusion.values() for said in row)]))
    if len(labels) <= _MOST_LABELS:
        return labels
    wrong = dict.fromkeys(labels, 0)
    for gold, row in confusion.items():
        for said, count in row.items():
            if said != gold:
                wrong[gold] += count
                wrong[said] += count
    return sorted(sorted(labels, key=lambda label: -wrong[label])[:_MOST_LABELS])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value * 1e6:,.2f}"

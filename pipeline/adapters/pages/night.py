"""The page of a night: what a log brought. Templates are the log's own words: all of it is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.domain.logs.nights import Night

_MOST_KINDS = 200
"""Of each sort; a page is to be read by people, and the JSON beside it has all."""


def night_page(night: Night) -> str:
    """Return the HTML of a night."""
    environment = Environment(
        loader=PackageLoader("pipeline.adapters.pages", "."), autoescape=True, undefined=StrictUndefined
    )
    report = night.report
    groups = (
        ("New", "None of these came in the times before.", report.new),
        ("Bursts", "At least three times as often as usual, and 20 times at least.", report.bursts),
        ("Vanished", "These came in the times before, and not now.", report.vanished),
    )
    steps = sorted({step for _, _, kinds in groups for kind in kinds for step in kind.answers or {}})
    return environment.get_template("night.html").render(night=night, groups=groups, steps=steps, most=_MOST_KINDS)

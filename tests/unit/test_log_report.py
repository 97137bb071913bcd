"""What a day brought: new kinds, vanished ones, bursts."""

import datetime as dt

from pipeline.domain.logs.nights import Report
from pipeline.flow.log_report import reported
from pipeline.ports.logs import Rate

DAY = dt.date(2026, 11, 27)
SAME = {name: name for name in ("a", "b", "c", "d")}


def rate(pattern: str, events: int, *, days_ago: int = 0, hour: int = 3) -> Rate:
    moment = dt.datetime.combine(DAY, dt.time(hour), dt.UTC) - dt.timedelta(days=days_ago)
    return Rate(pattern=pattern, hour=moment, events=events)


def report(*rates: Rate, template_of: dict[str, str] = SAME) -> Report:
    until = dt.datetime.combine(DAY, dt.time(), dt.UTC) + dt.timedelta(days=1)
    return reported(rates, template_of, until=until, against=7)


def test_new_vanished_and_bursting_kinds_are_told_with_what_is_usual() -> None:
    found = report(
        rate("a", 100, days_ago=1),
        rate("a", 120),
        rate("b", 10, days_ago=1),
        rate("b", 30),
        rate("b", 10, hour=9),
        rate("c", 4, days_ago=2),
        rate("d", 2),
    )
    assert (found.events, found.kinds, found.against) == (162, 3, 2)
    assert [(one.template, one.events) for one in found.new] == [("d", 2)]
    assert [(one.template, one.usual) for one in found.vanished] == [("c", 2.0)]
    assert [(one.template, one.events, one.usual) for one in found.bursts] == [("b", 40, 5.0)]


def test_the_first_day_has_nothing_to_be_compared_with() -> None:
    found = report(rate("a", 5))
    assert (found.new, found.vanished, found.bursts, found.against) == ((), (), (), 0)


def test_patterns_of_one_kind_count_together() -> None:
    found = report(rate("a", 10, days_ago=1), rate("b", 12), template_of={"a": "kind", "b": "kind"})
    assert (found.new, found.vanished, found.bursts) == ((), (), ())
    assert found.kinds == 1


def test_a_day_without_events_has_lost_all_kinds() -> None:
    found = report(rate("a", 10, days_ago=3))
    assert (found.events, [one.template for one in found.vanished]) == (0, ["a"])


def test_a_few_more_of_a_rare_kind_are_no_burst() -> None:
    assert report(rate("a", 2, days_ago=1), rate("a", 10)).bursts == ()

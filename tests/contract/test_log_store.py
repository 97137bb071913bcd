"""Events of logs: stored with how far their file was read, found again by what they say."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.domain.logs.batches import batch_of
from pipeline.domain.logs.events import Event, content_of
from pipeline.domain.logs.nights import Asked, Night, Report, Told
from pipeline.ports.logs import LogFile, Place, Wanted
from tests.contract.store_cases import Rig

NOON = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def place(offset: int, *, line: int = 1, head: bytes = b"h" * 16) -> Place:
    return Place(head=head, offset=offset, tail_length=5, tail=b"t" * 16, line=line)


def event(
    line: int, *values: str, at: dt.datetime | None = NOON, pattern: str = "user <*> left", host: str = "a"
) -> Event:
    header = {"month": "Nov", "day": "27", "time": "12:00:00", "host": host}
    return Event(line=line, header=header, pattern=pattern, values=values, following="", at=at)


def add(rig: Rig, *events: Event, log: str = "web", file: LogFile | None = None, offset: int = 100) -> LogFile:
    where = place(offset, line=events[-1].line)
    batch = batch_of(events, "syslog", rig.store.rows_of)
    kept = rig.store.add_events(log, file, name="app.log", layout="syslog", place=where, batch=batch)
    assert kept is not None
    return kept


def found(rig: Rig, wanted: Wanted = Wanted(), *, log: str = "web", limit: int = 100) -> list[int]:  # noqa: B008 — frozen
    return [one.event.line for one in rig.store.find(log, wanted, limit=limit)]


def test_events_are_found_again_as_they_were(rig: Rig) -> None:
    stored = Event(
        line=7,
        header={"month": "Nov", "day": "27", "time": "12:00:00", "host": "a", "pid": "3"},
        pattern="open <*> as <*>",
        values=("/srv/x y", ""),
        following="  at one\n  at two",
        at=NOON,
    )
    add(rig, stored)
    (one,) = rig.store.find("web", Wanted(), limit=10)
    assert (one.file, one.event) == ("app.log", stored)
    assert content_of(one.event) == "open /srv/x y as "


_NASTY = ("NULL", "\\N", '"', "\\", "\x1f", "\t\r\n", "{}", "\\.")
_SAID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.one_of(_SAID, st.sampled_from(_NASTY)), max_size=6), _SAID, _SAID)
def test_whatever_a_line_says_is_found_as_it_was(rig: Rig, values: list[str], host: str, following: str) -> None:
    stored = Event(
        line=1,
        header={"host": host},
        pattern="x" + "<*>" * len(values),
        values=tuple(values),
        following=following,
        at=NOON,
    )
    log = uuid.uuid4().hex
    add(rig, stored, log=log)
    (one,) = rig.store.find(log, Wanted(), limit=10)
    assert one.event == stored


def test_lines_that_hold_no_event_are_read_all_the_same(rig: Rig) -> None:
    batch = batch_of([], "syslog", rig.store.rows_of)
    first = rig.store.add_events("web", None, name="a", layout="syslog", place=place(30), batch=batch)
    assert first is not None
    assert list(rig.store.files("web", b"h" * 16)) == [first]
    assert found(rig) == []


def test_a_file_is_found_by_its_first_line_and_goes_on_from_its_place(rig: Rig) -> None:
    first = add(rig, event(1, "bob"), offset=100)
    assert list(rig.store.files("web", b"h" * 16)) == [first]
    assert rig.store.files("web", b"x" * 16) == []
    assert rig.store.files("other", b"h" * 16) == []
    second = add(rig, event(2, "eve"), file=first, offset=200)
    assert (second.id, second.place.offset, second.place.line) == (first.id, 200, 2)
    assert list(rig.store.files("web", b"h" * 16)) == [second]


def test_fields_of_a_file_with_several_layouts_are_found_as_they_were(rig: Rig) -> None:
    layout = "syslog+log4j"
    stored = Event(line=1, header={"level": "WARN", "component": "a.B"}, pattern="x", values=(), following="", at=NOON)
    batch = batch_of([stored], layout, rig.store.rows_of)
    rig.store.add_events("web", None, name="app.log", layout=layout, place=place(100), batch=batch)
    (one,) = rig.store.find("web", Wanted(fields={"level": "WARN"}), limit=9)
    assert one.event == stored
    assert found(rig, Wanted(fields={"level": "INFO"})) == []


def test_who_comes_from_an_old_place_stores_nothing(rig: Rig) -> None:
    first = add(rig, event(1, "bob"), offset=100)
    add(rig, event(2, "eve"), file=first, offset=200)
    batch = batch_of([event(2, "eve")], "syslog", rig.store.rows_of)
    again = rig.store.add_events("web", first, name="app.log", layout="syslog", place=place(200, line=2), batch=batch)
    assert again is None
    assert found(rig) == [1, 2]
    assert sum(one.events for one in rig.store.patterns("web")) == 2


def test_patterns_are_counted_with_their_first_and_last_moment(rig: Rig) -> None:
    file = add(rig, event(1, "bob"), event(2, pattern="bye", at=None), event(3, "eve", at=NOON - HOUR))
    add(rig, event(4, "eve", at=NOON + HOUR), file=file, offset=200)
    patterns = rig.store.patterns("web")
    assert [(one.pattern, one.events) for one in patterns] == [("user <*> left", 3), ("bye", 1)]
    assert (patterns[0].first_at, patterns[0].last_at) == (NOON - HOUR, NOON + HOUR)
    assert (patterns[1].first_at, patterns[1].last_at) == (None, None)
    assert rig.store.patterns("other") == []


def test_logs_do_not_see_each_other(rig: Rig) -> None:
    add(rig, event(1, "bob"))
    add(rig, event(9, "bob"), log="other")
    assert found(rig) == [1]
    assert found(rig, log="other") == [9]


def test_events_come_by_their_moments_and_those_without_one_last(rig: Rig) -> None:
    add(
        rig,
        event(1, "a", at=None),
        event(2, "b", at=NOON + 30 * HOUR),
        event(3, "c", at=NOON - 30 * HOUR),
        event(4, "d"),
    )
    assert found(rig) == [3, 4, 2, 1]
    assert found(rig, limit=2) == [3, 4]


def test_the_latest_events_come_by_their_moments_however_far_back_they_are(rig: Rig) -> None:
    moments = [NOON, None, NOON - 60 * 24 * HOUR, NOON - 2 * 24 * HOUR, NOON - HOUR]
    add(rig, *(event(number, "x", at=at) for number, at in enumerate(moments, 1)))

    def latest(limit: int, wanted: Wanted = Wanted()) -> list[int]:  # noqa: B008 — frozen
        return [one.event.line for one in rig.store.latest("web", wanted, limit=limit)]

    assert latest(2) == [5, 1]
    assert latest(3) == [4, 5, 1]
    assert latest(9) == [3, 4, 5, 1]
    assert latest(9, Wanted(until=NOON)) == [3, 4, 5]
    assert latest(1, Wanted(until=NOON - 24 * HOUR)) == [4]
    assert latest(9, Wanted(since=NOON - 3 * HOUR)) == [5, 1]
    assert latest(9, Wanted(value="y")) == []
    assert list(rig.store.latest("other", Wanted(), limit=9)) == []


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        (Wanted(value="bob"), [1]),
        (Wanted(value="b"), [3]),
        (Wanted(value="bo"), []),
        (Wanted(patterns=["bye <*>"]), [2]),
        (Wanted(patterns=["bye <*>", "user <*> left"]), [3, 1, 2]),
        (Wanted(patterns=[]), []),
        (Wanted(since=NOON), [1, 2]),
        (Wanted(until=NOON), [3]),
        (Wanted(since=NOON - HOUR, until=NOON + HOUR), [3, 1]),
        (Wanted(places={"user <*> left": [0]}, said="ann"), [3]),
        (Wanted(places={"user <*> left": [0], "bye <*>": []}, said="ann"), [3, 2]),
        (Wanted(places={"user <*> left": [0], "no <*>": []}, said="nobody"), []),
        (Wanted(places={}, said="ann"), []),
        (Wanted(places={"user <*> left": [0]}, said="b", named="host"), [3]),
        (Wanted(places={"bye <*>": [0]}, said="eve", named="host"), [2]),
        (Wanted(fields={"host": "b"}), [3]),
        (Wanted(fields={"host": "b", "month": "Dec"}), []),
        (Wanted(fields={"nothing": "b"}), []),
        (Wanted(value="eve", fields={"host": "a"}), [2]),
    ],
    ids=str,
)
def test_all_that_is_wanted_must_hold(rig: Rig, wanted: Wanted, lines: list[int]) -> None:
    add(
        rig,
        event(1, "bob"),
        event(2, "eve", pattern="bye <*>", at=NOON + HOUR),
        event(3, "ann", at=NOON - HOUR, host="b"),
    )
    assert found(rig, wanted) == lines


def test_an_address_is_found_with_its_port_and_a_port_with_its_address(rig: Rig) -> None:
    add(rig, event(1, "10.0.0.7:80"), event(2, "10.0.0.7"), event(3, "10.0.0.70"), event(4, "10.0.0.7:x"))
    assert found(rig, Wanted(value="10.0.0.7")) == [1, 2]
    places = {"user <*> left": [0]}
    assert found(rig, Wanted(places=places, said="10.0.0.7")) == [1, 2, 4]
    assert found(rig, Wanted(places=places, said="80")) == [1]


def test_what_looks_like_a_statement_is_only_a_value(rig: Rig) -> None:
    nasty = "'; DROP TABLE log_events; --"
    add(rig, event(1, nasty, pattern="said <*>", host=nasty))
    assert found(rig, Wanted(value=nasty)) == [1]
    assert found(rig, Wanted(fields={"host": nasty})) == [1]


def test_one_process_at_a_time_adds_to_a_log(rig: Rig) -> None:
    with rig.store.log_lock("web") as first, rig.store.log_lock("web") as second, rig.store.log_lock("other") as other:
        assert (first, second, other) == (True, False, True)
    with rig.store.log_lock("web") as again:
        assert again


def test_the_first_and_the_last_day_there_are_can_be_stored_and_found(rig: Rig) -> None:
    first = dt.datetime(1, 1, 1, 12, tzinfo=dt.UTC)
    last = dt.datetime(9999, 12, 31, 12, tzinfo=dt.UTC)
    add(rig, event(1, "a", at=first), event(2, "b", at=last))
    assert found(rig) == [1, 2]
    assert [one.event.line for one in rig.store.latest("web", Wanted(), limit=9)] == [1, 2]
    add(rig, event(1, "a", at=first), log="old")
    assert [one.event.line for one in rig.store.latest("old", Wanted(), limit=9)] == [1]


def test_many_patterns_and_days_at_once(rig: Rig) -> None:
    days = [NOON + dt.timedelta(days=number % 40) for number in range(2000)]
    add(rig, *(event(number, "x", at=at, pattern=f"kind {number % 700} <*>") for number, at in enumerate(days, 1)))
    assert sum(one.events for one in rig.store.patterns("web")) == 2000
    assert len(rig.store.patterns("web")) == 700
    assert len(found(rig, Wanted(since=NOON + dt.timedelta(days=39)), limit=5000)) == 50


def test_rates_count_patterns_by_the_hour(rig: Rig) -> None:
    late = NOON + dt.timedelta(minutes=59)
    file = add(
        rig, event(1, "bob"), event(2, "eve", at=late), event(3, "x", at=None), event(4, pattern="bye", at=NOON + HOUR)
    )
    add(rig, event(5, "ann", at=late), file=file, offset=200)
    add(rig, event(1, "bob"), log="other")
    found = rig.store.rates("web", since=NOON, until=NOON + 2 * HOUR)
    assert [(one.pattern, one.hour, one.events) for one in found] == [
        ("user <*> left", NOON, 3),
        ("bye", NOON + HOUR, 1),
    ]
    assert [one.events for one in rig.store.rates("web", since=NOON + HOUR, until=NOON + 2 * HOUR)] == [1]


def a_night(due: dt.datetime, *, loaded: int = 3, log: str = "web") -> Night:
    kind = Told(template="user <*> left", events=2, usual=0.5, answers={"severity": "low"})
    report = Report(
        since=due - 24 * HOUR, until=due, events=3, kinds=1, against=2, new=(kind,), vanished=(), bursts=(kind,)
    )
    asked = Asked(kinds=1, calls=2, known_usd=Decimal("0.000000000001"), unknown_calls=1, run="kinds-1")
    return Night(log=log, due=due, started=due, report=report, files=1, loaded=loaded, problems=("a: b",), asked=asked)


def test_nights_are_kept_as_they_are_the_latest_first_and_the_first_of_two_stays(rig: Rig) -> None:
    earlier, later = a_night(NOON), a_night(NOON + 24 * HOUR)
    assert rig.store.add_night(earlier) == earlier
    assert rig.store.add_night(later) == later
    assert rig.store.add_night(a_night(NOON, loaded=99)) == earlier
    assert list(rig.store.nights("web", limit=9)) == [later, earlier]
    assert list(rig.store.nights("web", limit=1)) == [later]
    assert list(rig.store.nights("other", limit=9)) == []


def test_answers_of_kinds_are_kept_by_who_asked(rig: Rig) -> None:
    add(rig, event(1, "bob"), event(2, pattern="bye"))
    add(rig, event(1, pattern="bye"), log="other")
    said = {"user <*> left": {"severity": "low"}, "user <*> left\n0": {"type": "user"}}
    rig.store.add_answers("web", "job-1", said)
    assert rig.store.answers("web", "job-1") == said
    assert rig.store.answers("web", None) == said
    assert rig.store.answers("web", "job-2") == {}
    assert rig.store.answers("other", "job-1") == {}
    rig.store.add_answers("web", "job-2", {"user <*> left": {"severity": "high"}, "bye": {}})
    assert rig.store.answers("web", "job-2") == {"user <*> left": {"severity": "high"}, "bye": {}}
    assert rig.store.answers("web", "job-1") == {"user <*> left\n0": {"type": "user"}}
    rig.store.add_answers("web", "job-2", {})

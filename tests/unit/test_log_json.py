"""JSON lines: what a header says is found under the names that libraries and collectors give it."""

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.items import Item
from pipeline.domain.logs.blocks import text_of
from pipeline.domain.logs.detection import detect
from pipeline.domain.logs.events import Event, content_of
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.domain.logs.reading import Reading
from pipeline.flow.logs import Survey

JSON = LAYOUTS["json"]
NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
LINES = {
    "zap": '{"level":"error","ts":1796002400.25,"logger":"api","msg":"took 7 ms","request":{"id":3}}',
    "bunyan": '{"name":"api","hostname":"a","pid":7,"level":50,"msg":"took 7 ms","time":"2026-11-30T01:33:20.25Z"}',
    "ecs": '{"@timestamp":"2026-11-30T01:33:20.250Z","log.level":"error","message":"took 7 ms","service":{"name":"a"}}',
    "docker": '{"log":"took 7 ms\\n","stream":"stderr","time":"2026-11-30T01:33:20.250000001Z"}',
    "journald": (
        '{"MESSAGE":"took 7 ms","PRIORITY":"3","_HOSTNAME":"a","SYSLOG_IDENTIFIER":"api","_PID":"7",'
        '"__REALTIME_TIMESTAMP":"1796002400250000"}'
    ),
}


def event_of(*texts: str) -> list[Event]:
    return list(Reading(layout=JSON, latest=NOW).events(texts))


@pytest.mark.parametrize("kind", LINES)
def test_the_moment_and_the_message_are_found_whoever_wrote_the_line(kind: str) -> None:
    assert detect([LINES[kind]]) is JSON
    (event,) = event_of(LINES[kind])
    assert (event.pattern, event.values) == ("took <*> ms", ("7",))
    assert event.at == dt.datetime(2026, 11, 30, 1, 33, 20, 250_000, dt.UTC)


def test_levels_hosts_and_processes_have_one_name_and_the_rest_is_kept() -> None:
    (journald,) = event_of(LINES["journald"])
    assert {name: journald.header[name] for name in ("level", "host", "component", "pid")} == {
        "level": "error",
        "host": "a",
        "component": "api",
        "pid": "7",
    }
    (zap,) = event_of(LINES["zap"])
    assert json.loads(zap.header["rest"]) == {"request.id": 3}


def test_a_message_of_several_lines_is_an_event_with_what_follows() -> None:
    (event,) = event_of(json.dumps({"msg": "failed: 7\n at a\n at b", "level": "error"}), " at c")
    assert (event.pattern, event.following) == ("failed: <*>", " at a\n at b\n at c")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"level":"error","message":{"code":5}}', "message.code"),
        ('{"level":"error","msg":42}', "42"),
        ('{"level":"error","code":5}', "code"),
        ('{"level":"error","MESSAGE":[104,105]}', "hi"),
        ('{"level":"error","MESSAGE":null,"a":"b"}', '"b"'),
        ('{"level":"error","msg":' + "9" * 5000 + "}", "9" * 5000),
    ],
)
def test_an_object_without_a_text_for_a_message_is_an_event_all_the_same(text: str, content: str) -> None:
    _, event = event_of('{"msg":"a"}', text)
    assert event.header["level"] == "error"
    assert content in content_of(event)


def test_lists_under_known_keys_are_kept() -> None:
    (event,) = event_of('{"msg":"hi","service":{},"SYSLOG_IDENTIFIER":["a","b"]}')
    assert event.header["component"] == '["a", "b"]'


@pytest.mark.parametrize("zone", ["+01", " +0100", "+01:00"])
def test_zones_are_read_as_they_are_written(zone: str) -> None:
    (event,) = event_of(json.dumps({"msg": "a", "time": f"2026-11-20T10:00:00{zone}"}))
    assert event.at == dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)
    for name in ("Z", "z", " UTC"):
        (event,) = event_of(json.dumps({"msg": "a", "time": f"2026-11-20T09:00:00{name}"}))
        assert event.at == dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["[1]", "{}", "7", "{", "x", '{"msg"' + ":[" * 5000])
def test_what_is_no_object_belongs_to_the_line_before(text: str) -> None:
    (event,) = event_of('{"msg":"a"}', text)
    assert event.following == text


_KEYS = st.one_of(st.text(max_size=8), st.sampled_from(["time", "level", "host", "pid", "name", "thread", "ts", "a"]))
_PLAIN = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8))
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_no_object_stops_the_reading_and_all_that_is_kept_can_be_stored(found: dict[str, object]) -> None:
    line = json.dumps({**found, "msg": "a\0\ud800 7"})
    (event,) = event_of(text_of(line.encode()))
    kept = [event.pattern, *event.values, *event.header.values(), event.following]
    for text in kept:
        assert "\0" not in text
        text.encode()


def test_templates_of_json_lines_are_those_of_their_messages(tmp_path: Path) -> None:
    rows = [
        Item(key=str(n), source=str(tmp_path), line=n, text=json.dumps({"level": "info", "msg": f"took {n} ms"}))
        for n in range(1, 4)
    ]
    survey = Survey()
    survey.look(rows)
    (template,) = survey.templates()
    assert (template.template, template.lines) == ("took <*> ms", 3)
    told = next(survey.read(rows)).as_json()
    assert (told["header"], told["values"][0]["text"]) == ({"level": "info"}, "1")

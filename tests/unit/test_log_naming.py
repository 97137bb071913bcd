"""What values are and what they are called, by rules: looks, units, the word before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.logs.events import Event
from pipeline.domain.logs.naming import entities_of, places_of
from pipeline.domain.logs.shapes import Shapes


def event_of(content: str, header: dict[str, str] | None = None) -> Event:
    pattern, values = Shapes().read(content)
    return Event(line=1, header=header or {}, pattern=pattern, values=values, following="")


def said(content: str, template: str | None = None) -> list[tuple[str, str, str]]:
    return [(one.name, one.type, one.text) for one in entities_of(event_of(content), template)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("uid=0 euid=7", [("uid", "user_id", "0"), ("euid", "user_id", "7")]),
        ("connected to 10.0.0.7:8080", [("ip", "ip", "10.0.0.7"), ("port", "port", "8080")]),
        ("src: /10.0.0.7:80 dest: /10.0.0.8:81", [
            ("src", "ip", "10.0.0.7"), ("src_port", "port", "80"),
            ("dest", "ip", "10.0.0.8"), ("dest_port", "port", "81"),
        ]),
        ("took 31 ms", [("took", "duration", "31")]),
        ("wrote 4096 bytes in 7s", [("size", "size", "4096"), ("duration", "duration", "7")]),
        ("disk at 93%", [("share", "share", "93")]),
        ("block blk_-123456789 lost", [("blk_id", "id", "-123456789")]),
        ("job_201_0003 done, attempt 4", [("job_id", "id", "201_0003"), ("attempt", "id", "4")]),
        ("status: 200 len: 1893 time: 0.25", [
            ("status", "status", "200"), ("len", "size", "1893"), ("time", "duration", "0.25"),
        ]),
        ("error code 32", [("code", "status", "32")]),
        ("see https://x.org/a?b=1", [("url", "url", "https://x.org/a?b=1")]),
        ("version=2.11.0", [("version", "version", "2.11.0")]),
        ("node 7 and node 8", [("node", "id", "7"), ("node_2", "id", "8")]),
        ("failed 3 times", [("count", "count", "3")]),
        ("appAttemptId { id: 20 }", [("id", "id", "20")]),
        ('"GET /a/7 HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11; Linux)"', [
            ("request", "request", "/a/7 HTTP/1.1"), ("status", "status", "200"), ("size", "size", "5120"),
            ("agent", "agent", "Mozilla/5.0 (X11; Linux)"),
        ]),
        ("nothing varies", []),
    ],
)  # fmt: skip
def test_values_are_named_by_the_word_before_them_and_typed_by_looks_and_units(
    content: str, found: list[tuple[str, str, str]]
) -> None:
    assert said(content) == found


def test_the_template_of_a_kind_tells_of_values_that_look_like_words() -> None:
    template = "session opened for user <*> by (uid=<*>)"
    content = "session opened for user cyrus by (uid=0)"
    assert said(content) == [("uid", "user_id", "0")]
    assert said(content, template) == [("user", "user", "cyrus"), ("uid", "user_id", "0")]
    assert said(content, "another <*>") == said(content)


def test_header_fields_keep_their_names_and_no_two_entities_have_the_same() -> None:
    found = entities_of(event_of("pid 7 of pid 8", {"pid": "6"}))
    assert [(one.name, one.text) for one in found] == [("pid", "6"), ("pid_2", "7"), ("pid_3", "8")]


@pytest.mark.parametrize(
    ("pattern", "template", "name", "text", "places"),
    [
        ("user <*> on <*>", "user <*> on <*>", "user", "x", [0, 1]),
        ("user bob on <*>", "user <*> on <*>", "user", "bob", []),
        ("user bob left", "user <*> left", "user", "bob", []),
        ("user bob left", "user <*> left", "user", "eve", None),
        ("user b<*> left", "user <*> left", "user", "bob", []),
        ("port=<*>", "port=<*>", "user", "x", None),
        ("port=<*> a", "port=<*> <*>", "user", "x", []),
        ("src=<*>", "src=<*>", "src_port", "80", [0]),
        ("nothing", "nothing", "user", "x", None),
    ],
)
def test_places_tell_which_values_may_be_called_so(
    pattern: str, template: str, name: str, text: str, places: list[int] | None
) -> None:
    assert places_of(pattern, template, name, text) == places


@given(st.text(alphabet='ab1 =:,()[]_-./"%', max_size=40), st.text(alphabet="ab1 <*>=:", max_size=20))
def test_no_event_is_lost_to_where_a_value_may_stand(content: str, template: str) -> None:
    event = event_of(content.strip())
    for one in entities_of(event, template):
        places = places_of(event.pattern, template, one.name, one.text)
        assert places is not None
        values = [event.values[place] for place in places]
        assert not places or any(one.text in {value, *value.split(":")} for value in values)

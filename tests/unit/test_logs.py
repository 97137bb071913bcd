"""Log lines: what varies in them is masked, lines of one kind come together, headers are told apart from contents."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.logs.detection import detect, layout_named
from pipeline.domain.logs.headers import LAYOUTS, PLAIN
from pipeline.domain.logs.masks import VARIABLE, masked, values_in
from pipeline.domain.logs.merging import merged
from pipeline.domain.logs.moments import moment_of
from pipeline.domain.logs.shapes import Shapes
from pipeline.domain.logs.slots import slots_in, spans_in
from pipeline.domain.logs.words import key_of, split
from pipeline.flow.logs import Survey


def templates(*lines: str) -> list[str]:
    """Return the template of each line."""
    keys = [key_of(line) for line in lines]
    found = merged(keys)
    return ["".join(found[key]) for key in keys]


def one_kind(*lines: str) -> str:
    """Return the template that all lines share."""
    (template,) = set(templates(*lines))
    return template


@pytest.mark.parametrize(
    ("text", "shown", "kinds"),
    [
        ("from 10.1.2.3:443 to /10.1.2.4", "from <*> to /<*>", ["ip", "ip"]),
        ("peer gw-7.example.com:22 lost", "peer <*> lost", ["host"]),
        ("open /var/lib/app/data_17.bin", "open <*>", ["path"]),
        ("GET http://a.example.org/x?y=1 done", "GET <*> done", ["url"]),
        ('"GET /a/b?c=1 HTTP/1.1" 200', '"GET <*>" <*>', ["request", "number"]),
        ("at Fri Jun 17 07:07:00 2005 sharp", "at <*> sharp", ["timestamp"]),
        ("since 2026-11-27 10:00:00,123 up", "since <*> up", ["timestamp"]),
        ("key 0xdeadBEEF and 4fe3a9c0 set", "key <*> and <*> set", ["hex", "hex"]),
        ("took 12ms of 3.5 s, 40%", "took <*>ms of <*> s, <*>%", ["number", "number", "number"]),
        ("used 512MB of 2G", "used <*> of <*>", ["size", "size"]),
        ("id 1b4e28ba-2fa1-11d2-883f-0016d3cca427 ok", "id <*> ok", ["id"]),
        ("lease <1 sec left", "lease <*> left", ["duration"]),
        ("load C:\\Windows\\x_1\\core.dll now", "load <*> now", ["path"]),
        ("nothing varies here", "nothing varies here", []),
        ("face the facade", "face the facade", []),
    ],
)
def test_values_are_known_by_their_looks(text: str, shown: str, kinds: list[str]) -> None:
    assert masked(text) == shown
    assert [value.kind for value in values_in(text)] == kinds


@pytest.mark.parametrize(
    ("line", "template"),
    [
        ("Deleting block blk_-77 now", "Deleting block blk_<*> now"),
        ("task_200811_0001_m_000590 failed", "task_<*> failed"),
        ("handler2(17) called", "handler2(<*>) called"),
        ("login on tty2", "login on tty2"),
        ("steps=1#2#3#4#5#6", "steps=<*>"),
        ("took 1.5, 2.5, 3.5", "took <*>, <*>, <*>"),
        ("version 1.2.3:4", "version <*>"),
    ],
)
def test_numbers_glued_to_a_name_vary_and_the_name_stays(line: str, template: str) -> None:
    assert one_kind(line) == template


def test_lines_that_differ_in_a_persons_name_only_are_of_one_kind() -> None:
    assert one_kind("session opened for user alice", "session opened for user bob") == "session opened for user <*>"


def test_lines_that_differ_in_a_state_are_of_different_kinds() -> None:
    moves = [f"job moved from NEW to {state}" for state in ("READY", "RUNNING", "DONE", "FAILED", "KILLED")]
    assert templates(*moves) == moves


def test_two_words_in_one_place_are_two_kinds_and_many_are_values() -> None:
    few = [f"worker {name} is now going to sleep again" for name in ("anna", "otto")]
    assert templates(*few) == few
    many = [f"worker {name} is now going to sleep again" for name in ("anna", "otto", "hannah", "bob")]
    assert one_kind(*many) == "worker <*> is now going to sleep again"


def test_sizes_in_different_units_are_of_one_kind() -> None:
    assert one_kind("free 5 KB of it", "free 7 MB of it") == "free <*> <*> of it"


def test_numbered_things_keep_the_name_before_their_number() -> None:
    assert one_kind("link on eth0 is down", "link on eth1 is down") == "link on eth<*> is down"


def test_lists_of_different_lengths_are_one_value() -> None:
    assert one_kind("delete blk_1 blk_2 blk_3", "delete blk_4", "delete blk_5 blk_6") == "delete blk_<*>"


def test_lists_that_are_always_as_long_stay_as_they_are() -> None:
    assert one_kind("at 1 2 3", "at 4 5 6") == "at <*> <*> <*>"


def test_an_optional_value_in_parentheses_is_one_kind_with_its_absence() -> None:
    assert one_kind("sent 5 bytes (5.0 KB) to peer", "sent 6 bytes to peer") == "sent <*> bytes<*>to peer"


def test_a_missing_value_is_a_value() -> None:
    assert one_kind("login rhost=10.0.0.1 ok", "login rhost= ok") == "login rhost=<*> ok"


@given(st.lists(st.text(alphabet='ab1 =:,()[]_-./<*>"', max_size=30), max_size=30))
def test_whatever_the_lines_each_gets_one_template_and_asking_again_changes_nothing(lines: list[str]) -> None:
    first = templates(*lines)
    assert len(first) == len(lines)
    assert templates(*lines) == first


@given(st.text(max_size=60))
def test_a_key_is_its_line_cut_into_words(line: str) -> None:
    key = key_of(line)
    assert split("".join(key)) == key


def test_what_follows_four_thousand_characters_is_one_value() -> None:
    long = "x" * 4096
    assert one_kind(long + "1", long + "another end") == long + "<*>"


@given(
    st.lists(st.sampled_from(["a", "b", " ", VARIABLE]), max_size=8), st.lists(st.text("ab ", max_size=4), max_size=8)
)
def test_a_line_made_of_a_template_has_its_slots(parts: list[str], fillings: list[str]) -> None:
    values = iter(fillings + [""] * len(parts))
    content = "".join(next(values) if part == VARIABLE else part for part in parts)
    assert slots_in("".join(parts), content) is not None


LINES = st.text(alphabet='0123456789abcdefxk_-.:/= ,()[]"#<', max_size=40)


@given(LINES, st.lists(st.permutations("0123456789"), min_size=1, max_size=4))
def test_a_shape_gives_what_the_masks_would_whatever_digits_stand_in_it(line: str, others: list[list[str]]) -> None:
    shapes = Shapes()
    for digits in (list("0123456789"), *others):
        content = line.translate(str.maketrans("0123456789", "".join(digits)))
        pattern, values = shapes.read(content)
        assert pattern == "".join(key_of(content))
        assert values == tuple(content[start:end] for start, end in spans_in(pattern, content) or ())


@given(
    LINES,
    st.text(alphabet="0123456789abcdef", min_size=6, max_size=8),
    st.text(alphabet="0123456789abcdef", min_size=6, max_size=8),
)
def test_a_shape_holds_whatever_hexadecimal_number_stands_in_it(around: str, one: str, other: str) -> None:
    shapes = Shapes()
    for number in (one, other, one):
        for content in (f"{around} {number} {around}", f"{around}{number}{around}", f"k={number}"):
            assert shapes.read(content)[0] == "".join(key_of(content))


def test_short_numbered_names_of_one_shape_keep_their_numbers() -> None:
    shapes = Shapes()
    assert [shapes.read(f"login on tty{n} at {n}")[0] for n in (1, 2, 1)] == [
        "login on tty1 at <*>",
        "login on tty2 at <*>",
        "login on tty1 at <*>",
    ]


def test_slots_say_where_values_stand_and_of_what_kind_they_are() -> None:
    content = "close from 10.0.0.1:80 user bob after 7ms"
    found = slots_in("close from <*> user <*> after <*>ms", content)
    assert found is not None
    assert [(one.kind, content[one.start : one.end]) for one in found] == [
        ("ip", "10.0.0.1"),
        ("port", "80"),
        ("text", "bob"),
        ("number", "7"),
    ]


def test_a_line_of_another_template_has_no_slots() -> None:
    assert slots_in("close <*>", "open 7") is None
    assert slots_in("close", "close 7") is None
    assert slots_in("a<*>a", "a") is None


HEADERS = {
    "syslog": ("Jun 14 15:16:01 combo sshd(pam_unix)[19939]: check pass", {"host": "combo", "pid": "19939"}),
    "log4j-thread": ("2026-10-18 18:01:47,978 INFO [main] org.app.Main: started", {"level": "INFO", "thread": "main"}),
    "log4j-dash": ("2026-07-29 17:41:44,747 - WARN  [Recv:7:Manager@774] - broken", {"component": "Manager"}),
    "log4j": ("26/06/09 20:10:40 INFO executor.Backend: ready", {"component": "executor.Backend"}),
    "hadoop": ("081109 203615 148 INFO dfs.Node$Sender: served", {"pid": "148", "component": "dfs.Node$Sender"}),
    "logcat": ("03-17 16:13:38.811  1702  2395 D Windows: drawn", {"tid": "2395", "component": "Windows"}),
    "apache-error": ("[Sun Dec 04 04:47:44 2005] [notice] child found", {"level": "notice"}),
    "nginx-error": ("2026/11/27 10:00:00 [error] 12#34: upstream", {"level": "error", "pid": "12"}),
    "access": ('10.0.0.1 - bob [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5', {"ip": "10.0.0.1", "user": "bob"}),
    "barred": ("20261223-22:15:29:606|Step|30002312|walked", {"component": "Step", "pid": "30002312"}),
    "servicing": ("2026-09-28 04:30:30, Info                  CBS    loaded", {"component": "CBS"}),
    "iso": ("2026-11-27T10:00:00.123Z ERROR it broke", {"level": "ERROR"}),
    "bracketed": ("[10.30 16:49:06] app.exe - closed", {"component": "app.exe"}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_layout_is_found_and_says_what_the_header_holds(name: str) -> None:
    line, fields = HEADERS[name]
    layout = detect([line] * 5 + ["    at a.stack(Trace.java:1)"])
    assert layout.name == name
    read = layout.read(line)
    found = {field: line[one.start : one.end] for field, one in read.fields.items()}
    assert {field: found.get(field) for field in fields} == fields
    assert (
        line[read.content_at :] == line.rsplit(": " if ": " in line else None, 1)[-1] or line[read.content_at :] in line
    )


def test_lines_without_any_layout_are_all_content() -> None:
    layout = detect(["hello there", "how do you do"])
    assert layout.name == PLAIN
    assert layout.read("hello there").content_at == 0
    assert LAYOUTS["syslog"].read("no header").content_at == 0
    assert detect([]).name == PLAIN


def rows(*texts: str, source: str = "app.log") -> list[Item]:
    return [Item(key=str(n), source=source, line=n, text=text) for n, text in enumerate(texts, 1)]


def test_a_survey_counts_kinds_and_reads_each_line_by_its_own() -> None:
    survey, lines = Survey(), rows(*(f"Jun 14 15:16:0{n} combo app[{n}]: user {n} left" for n in range(5)))
    bad = RejectedRow(source="app.log", line=9, reason=RejectReason.BAD_ENCODING, detail="no UTF-8")
    survey.look([*lines, bad])
    (kind,) = survey.templates()
    assert (kind.template, kind.lines, kind.source, kind.line) == ("user <*> left", 5, "app.log", 1)
    assert (survey.lines, survey.rejected) == (5, 1)
    *_, last = survey.read([*lines, bad])
    shown = last.as_json()
    assert shown["header"]["pid"] == "4"
    assert [(one["kind"], one["text"]) for one in shown["values"]] == [("number", "4")]
    (value,) = last.values
    assert last.item.text[value.start : value.end] == "4"


def test_each_file_has_a_layout_of_its_own() -> None:
    survey = Survey()
    survey.look([*rows("Jun 14 15:16:01 combo app: hello", source="a"), *rows("hello", source="b")])
    assert {source: layout.name for source, layout in survey.layouts.items()} == {"a": "syslog", "b": PLAIN}
    (kind,) = survey.templates()
    assert (kind.template, kind.lines) == ("hello", 2)


def test_masks_leave_no_variable_that_is_none() -> None:
    assert VARIABLE not in masked("plain words only")


@pytest.mark.parametrize(
    ("line", "name", "level", "component", "content"),
    [
        ("2026-03-02 06:00:38,442 ERROR [main] a.b.Csv - it broke", "logback", "ERROR", "a.b.Csv", "it broke"),
        (
            "2026-03-02T06:00:38.442+01:00  INFO 12 --- [app] [  main] c.e.App      : Started App",
            "spring",
            "INFO",
            "c.e.App",
            "Started App",
        ),
        ("2026-03-02 06:00:38,442 - a.b - WARNING - slow", "python", "WARNING", "a.b", "slow"),
        ("E1130 10:00:00.000001    1234 pod.go:12] it broke", "glog", "E", "pod.go", "it broke"),
        ('ts=2026-03-02T06:00:38.442Z level=info msg="up"', "logfmt", "info", None, 'msg="up"'),
    ],
)
def test_headers_of_widespread_libraries_are_known(
    line: str, name: str, level: str, component: str | None, content: str
) -> None:
    layout = detect([line])
    found = layout.header(line)
    assert layout.name == name
    assert found is not None
    assert (found.fields["level"], found.fields.get("component"), found.content) == (level, component, content)
    assert moment_of(found.fields, latest=dt.datetime(2026, 12, 1, tzinfo=dt.UTC)) is not None


def test_a_file_of_several_services_has_several_layouts_and_each_line_its_own() -> None:
    lines = [
        "Nov 30 10:00:00 a app[1]: one",
        "2026-11-30 10:00:01,000 INFO a.B: two",
        'time=2026-11-30T10:00:02Z level=warn msg="three"',
    ] * 30
    layout = detect([*lines, "no header"])
    assert layout.name == "syslog+log4j+logfmt"
    assert layout_named(layout.name) is not None
    found = [layout.header(line) for line in lines[:3]]
    assert [one and one.content for one in found] == ["one", "two", 'msg="three"']
    assert [one and one.fields.get("level") for one in found] == [None, "INFO", "warn"]
    assert layout.header("no header") is None
    assert set(found[0].fields if found[0] else ()) <= set(layout.names)
    assert detect(["no header", "none here"]).name == PLAIN
    assert layout_named("syslog+unheard-of") is None

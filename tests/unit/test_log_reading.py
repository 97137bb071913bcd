"""Lines are read by what is known of their shape: what comes out is what reading each by itself gives."""

import datetime as dt
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.logs.blocks import Block, text_of
from pipeline.domain.logs.detection import detect, layout_named
from pipeline.domain.logs.events import Event
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.domain.logs.moments import moment_of
from pipeline.domain.logs.reading import Reading
from pipeline.domain.logs.words import key_of

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
DATA = os.environ.get("HEADRACE_TEST_DATA", "../shared/data")
LINES = (
    "2026-11-{d}{d} 1{d}:0{d}:{d}{d},{d}{d}{d} INFO a.b{h}: took {d}{d} ms on tty{d} by {h}{h}{h}{h}{h}{h}",
    "2026-11-2{d} 10:00:0{d} WARN [m{d}] x.Y: /srv/{h}{h}/p{d} of {d}.{d}.{d}.{d}:{d}{d}",
    "Nov 2{d} 10:0{d}:0{d} host{d} app[{d}{d}]: user u{d}{h} id={h}{d}{h}{h}{d}{h}{h}",
    "- 117{d}{d}{d}{d}{d}{d}{d} 2005.06.0{d} R{d} 2005-06-0{d}-15.42.5{d}.67587{d} R{d} RAS KERNEL INFO {d} errors{d}",
    '1{d}.0.0.{d} - bob [2{d}/Nov/2026:10:00:0{d} +0{d}00] "GET /a{d}/{h} HTTP/1.1" 20{d} {d}{d}',
    "    at a.B(B.java:{d})",
    "{h}{h}{d}{h}{h}{h}",
)


def by_itself(text: str, layout: str, number: int) -> Event | None:
    known = layout_named(layout)
    header = None if known is None else known.header(text)
    if header is None:
        return None
    pattern = "".join(key_of(header.content))
    event = Event(line=number, header=header.fields, pattern=pattern, values=(), following="")
    event.at = moment_of(header.fields, latest=NOW)
    return event


def filled(line: str, draw: "st.DrawFn") -> str:
    digits, letters = st.sampled_from("0123456789"), st.sampled_from("abcdef09")
    while "{d}" in line or "{h}" in line:
        if "{d}" in line:
            line = line.replace("{d}", draw(digits), 1)
        if "{h}" in line:
            line = line.replace("{h}", draw(letters), 1)
    return line


@st.composite
def some_lines(draw: "st.DrawFn") -> list[str]:
    return [filled(draw(st.sampled_from(LINES)), draw) for _ in range(draw(st.integers(1, 12)))]


@given(some_lines(), st.sampled_from([*sorted(set(LAYOUTS) - {"json"}), "syslog+log4j+access", "json+iso"]))
def test_a_line_of_a_known_shape_says_what_it_says_by_itself(lines: list[str], layout: str) -> None:
    reading = Reading(layout=layout_named(layout) or LAYOUTS["plain"], latest=NOW)
    for _ in range(2):  # once to learn the shapes, once by what was learned
        found = {event.line: event for event in reading.events(lines)}
        for number, text in enumerate(lines, 1):
            alone = by_itself(text, layout, number)
            if alone is not None:
                event = found[number]
                assert (event.header, event.pattern, event.at) == (alone.header, alone.pattern, alone.at)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_lines_of_a_block_are_those_of_its_bytes_with_digits_made_equal(lines: list[bytes]) -> None:
    data = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    texts, shapes = Block(data=data, start=0, lines_before=0).lines()
    assert texts == [text_of(line.replace(b"\n", b"")) for line in lines]
    digits = str.maketrans("123456789", "000000000")
    assert shapes == [text.translate(digits) for text in texts]


@pytest.mark.skipif(not Path(DATA, "loghub2k").exists(), reason=f"no labelled logs under {DATA} (HEADRACE_TEST_DATA)")
def test_real_logs_are_read_as_line_by_line() -> None:
    for path in sorted(Path(DATA, "loghub2k").glob("*/*_2k.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        layout = detect(lines[:200])
        found = {event.line: event for event in Reading(layout=layout, latest=NOW).events(lines)}
        for number, text in enumerate(lines, 1):
            alone = by_itself(text, layout.name, number)
            if alone is not None:
                event = found[number]
                assert (event.header, event.pattern, event.at) == (alone.header, alone.pattern, alone.at), text

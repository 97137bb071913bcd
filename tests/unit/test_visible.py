"""Text of strangers on a terminal, in a log and on a page: shown, never obeyed."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from pipeline import telemetry
from pipeline.cli.exports import _write_csv, _write_jsonl
from pipeline.cli.terminal import SafeConsole, json_text
from pipeline.domain.job import Job
from pipeline.domain.runs import ResultLine, StepResult
from pipeline.domain.visible import in_json, on_one_line, visible

CLEAR, TITLE, C1, TURNED = "\x1b[2J", "\x1b]0;root\x07", "\x9b31m", "\u202etxt.exe"
HOSTILE = f"a{CLEAR}{TITLE}{C1}\r{TURNED}\x7f"
OBEYED = frozenset("\x1b\x07\x9b\r\x7f\u202e\x00\x08")


@given(st.text())
def test_a_visible_text_has_nothing_that_a_terminal_obeys_and_is_as_long(text: str) -> None:
    shown = visible(text)
    assert not OBEYED & set(shown)
    assert len(shown) == len(text)
    assert visible(shown) == shown


def test_what_people_write_is_shown_as_it_is() -> None:
    said = "Grüße, 世界 👩\u200d👩\u200d👧\n\tquoted — «so»"
    assert visible(said) == said


@given(st.dictionaries(st.text(), st.text()))
def test_json_means_the_same_and_has_nothing_that_a_terminal_obeys(document: dict[str, str]) -> None:
    written = json_text(document)
    assert json.loads(written) == document
    assert not OBEYED & set(written)
    assert in_json(written) == written


@given(st.text())
def test_a_text_on_one_line_has_one(text: str) -> None:
    assert not {"\n", "\x1b", "\r"} & set(on_one_line(text))


def test_tables_and_lines_of_commands_are_shown_and_their_own_colours_kept() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, color_system="standard", width=200)
    table = Table("key")
    table.add_row(Text(HOSTILE, style="bold"))
    console.print(table)
    console.print(HOSTILE, markup=False)
    shown = stream.getvalue()
    assert CLEAR not in shown
    assert "\x1b]0" not in shown
    assert C1 not in shown
    assert "\x1b[1m" in shown, "what we ourselves ask of the terminal is asked"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


JOB = Job.model_validate(
    {
        "name": "j",
        "text": "{text}",
        "steps": [{"name": "mood", "kind": "sentiment"}],
        "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
    }
)


def _line(key: str) -> ResultLine:
    answer = StepResult(
        state="verdict",
        value=key,
        fields={},
        confidence=None,
        calibrated=False,
        tier="small",
        escalated_from=(),
        reason=None,
    )
    return ResultLine(key=key, source=key, line=1, answers={"mood": answer})


def test_results_on_a_terminal_are_shown_and_in_a_file_are_the_same() -> None:
    terminal, file = _Terminal(), io.StringIO()
    _write_csv([_line(HOSTILE)], JOB, terminal)
    _write_csv([_line(HOSTILE)], JOB, file)
    assert not {"\x1b", "\x9b", "\u202e"} & set(terminal.getvalue())
    assert HOSTILE in file.getvalue(), "a file keeps what was read"
    for stream in (_Terminal(), io.StringIO()):
        _write_jsonl([_line(HOSTILE)], JOB, stream)
        assert not OBEYED & set(stream.getvalue())
        assert json.loads(stream.getvalue())["key"] == HOSTILE


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("logger", ["ours", "a library's"])
def test_a_quoted_text_forges_no_line_of_a_log(style: str, logger: str) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    telemetry.configure(level="info", style=style, stream=stream)
    forged = f"x\n2026-11-01T00:00:00Z [info] budget_spent{CLEAR}"
    if logger == "ours":
        telemetry.logger().warning("chunk_failed", reason=forged)
    else:
        logging.getLogger("celery").warning("refused %s", forged)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    assert stream.getvalue().count("\n") == 1
    assert CLEAR not in stream.getvalue()

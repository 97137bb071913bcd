"""What is printed arrives whole, or the command says why it did not: pipes that close, full disks, narrow pages."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.main import commands
from pipeline.cli.standard_output import ReaderGone, StandardOutput
from pipeline.domain.errors import OutputError, RunFailed

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
PROGRAM = [sys.executable, "-m", "pipeline.cli"]


@pytest.fixture
def full() -> Iterator[TextIO]:
    with FULL.open("w", encoding="utf-8") as stream:
        yield stream


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """Return a pipe whose reader went away."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield stream


def filled(stream: StandardOutput) -> None:
    """Write until a buffer must be flushed."""
    for _ in range(100):
        stream.write("x" * 1000)
    stream.flush()


def ended(*words: str, stdout: int | TextIO, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run the program to its very end, which flushes once more."""
    return subprocess.run(
        [*PROGRAM, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        env={**os.environ, "HEADRACE_HOME": str(home)},
    )  # fmt: skip


@needs_full
def test_a_full_disk_is_an_error_of_ours_with_the_systems_reason(full: TextIO) -> None:
    with pytest.raises(OutputError, match="standard output: No space left"):
        filled(StandardOutput(full))


@needs_full
def test_a_failure_that_was_swallowed_is_raised_again(full: TextIO) -> None:
    output = StandardOutput(full)
    with pytest.raises(OutputError):
        filled(output)
    with pytest.raises(OutputError):
        output.write("more")
    with pytest.raises(OutputError):
        output.flush()


def test_a_pipe_without_a_reader_is_told_apart_from_a_failure(unread: TextIO) -> None:
    with pytest.raises(ReaderGone):
        filled(StandardOutput(unread))


def test_what_the_lines_maker_raises_is_not_taken_for_the_streams(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "one\n"
        raise OSError("the database's socket")

    with (tmp_path / "out").open("w", encoding="utf-8") as stream, pytest.raises(OSError, match="socket"):
        StandardOutput(stream).writelines(lines())


def test_a_closed_output_is_an_error_only_when_something_is_printed() -> None:
    output = StandardOutput(None)
    output.flush()
    with pytest.raises(OutputError, match="closed"):
        output.write("x")


@needs_full
@pytest.mark.parametrize("words", [("--help",), ("models", "list"), ("models", "list", "--json")], ids=" ".join)
def test_every_way_of_printing_ends_with_1_and_one_line_when_the_disk_is_full(
    words: tuple[str, ...], full: TextIO, tmp_path: Path
) -> None:
    done = ended(*words, stdout=full, home=tmp_path)
    assert (done.returncode, done.stderr) == (1, "headrace: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("words", [("--help",), ("models", "list"), ("models", "list", "--json")], ids=" ".join)
def test_every_way_of_printing_ends_quietly_when_nobody_reads(
    words: tuple[str, ...], unread: TextIO, tmp_path: Path
) -> None:
    done = ended(*words, stdout=unread, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@needs_full
def test_why_a_command_failed_counts_for_more_than_that_it_could_not_be_printed(
    full: TextIO,
    exit_code: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        sys.stdout.write("x")
        raise RunFailed("run r ended cancelled")

    monkeypatch.setitem(commands.commands, "fail", click.Command("fail", callback=fail))
    monkeypatch.setattr(sys, "stdout", full)
    assert exit_code("fail") == 5
    assert capsys.readouterr().err == "headrace: run r ended cancelled\n"


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_an_exit_code_does_not_depend_on_whether_its_reason_can_be_printed(closed: str, tmp_path: Path) -> None:
    shown = f"{shlex.join([*PROGRAM, 'results', 'nosuch'])} {closed}"
    environment = {**os.environ, "HEADRACE_HOME": str(tmp_path)}
    assert subprocess.run(["sh", "-c", shown], timeout=60, check=False, env=environment).returncode == 4


def test_pages_that_nobody_looks_at_are_as_wide_as_need_be(tmp_path: Path) -> None:
    shown = subprocess.run(
        [*PROGRAM, "models", "list"], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "HEADRACE_HOME": str(tmp_path), "COLUMNS": "30"},
    ).stdout  # fmt: skip
    assert "…" not in shown
    assert "qwen2.5-coder-1.5b-instruct" in shown
    assert len({len(line) for line in shown.splitlines() if line.startswith("│")}) == 1


@pytest.mark.parametrize("every", ["-1", "0", "nan", "inf", "-inf", "1e400", "soon"])
def test_a_pause_that_cannot_be_waited_is_refused(every: str) -> None:
    shown = CliRunner().invoke(commands, ["sweep", "--every", every])
    assert shown.exit_code == 2
    assert "--every" in shown.output


@pytest.mark.parametrize("threads", ["-1", "0", "5000", "nan"])
def test_threads_that_no_machine_has_are_refused(threads: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").touch()
    words = ["worker", "--job", str(tmp_path / "job.toml"), "--tier", "small", "--threads", threads]
    assert CliRunner().invoke(commands, words).exit_code == 2

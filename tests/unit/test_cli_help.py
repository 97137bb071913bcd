"""The command line is a contract: examples in every help, named exit codes, errors in one line without a traceback."""

from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.main import commands
from pipeline.cli.standard_output import ReaderGone
from pipeline.cli.terminal import EXIT_CODES
from pipeline.domain.errors import HeadraceError

EXPECTED = {
    *(
        "bench",
        "budget",
        "dead",
        "pause",
        "resume",
        "cancel",
        "certificates",
        "costs",
        "demo",
        "doctor",
        "estimate",
        "eval",
        "forget",
        "labels",
        "learn",
        "logs",
        "migrate",
        "models",
        "plan",
        "policy",
        "rejects",
        "results",
        "retry",
        "run",
    ),
    *("status", "submit", "sweep", "up", "watch", "worker"),
}


def named(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every command's words, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from named(command, (*path, name))


def every_error(top: type[HeadraceError] = HeadraceError) -> Iterator[type[HeadraceError]]:
    yield top
    for below in top.__subclasses__():
        yield from every_error(below)


@pytest.fixture
def ending(exit_code: Callable[..., int]) -> Iterator[Callable[[BaseException], int]]:
    """Return a function that runs `headrace` with a command that raises, and returns the exit code."""

    def run(error: BaseException) -> int:
        def fail() -> None:
            raise error

        commands.add_command(click.Command("fail", callback=fail))
        return exit_code("fail")

    yield run
    commands.commands.pop("fail", None)


def test_all_commands_are_there() -> None:
    assert set(commands.list_commands(click.Context(commands))) == EXPECTED


@pytest.mark.parametrize("words", [(), *named(commands)], ids=" ".join)
def test_every_help_has_examples_each_of_which_is_this_program(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(commands, [*words, "--help"], prog_name="headrace")
    assert shown.exit_code == 0
    _, _, rest = shown.output.partition("Examples:\n")
    listed = [line for line in rest.partition("\n\n")[0].splitlines() if line.strip()]
    assert listed
    assert all("headrace " in line for line in listed)
    assert "\b" not in shown.output
    assert "\\b" not in shown.output


def test_the_help_lists_the_exit_codes() -> None:
    shown = CliRunner().invoke(commands, ["--help"])
    assert all(line.strip() in shown.output for line in EXIT_CODES.splitlines()[1:])


def test_every_exit_code_of_an_error_is_documented() -> None:
    assert {error.exit_code for error in every_error()} == {1, 2, 3, 4, 5}
    assert all(f"  {code}  " in EXIT_CODES for code in range(6))


@pytest.mark.parametrize("words", [("nonsense",), ("status", "--nonsense"), ("submit",), ("models", "nonsense")])
def test_words_that_are_no_command_end_with_2(
    words: tuple[str, ...], exit_code: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "headrace" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: error.__name__)
def test_an_error_of_ours_is_one_line_on_standard_error(
    error: type[HeadraceError], ending: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    message = "something is wrong [with] this: " + "long words " * 30 + "do that"
    assert ending(error(message)) == error.exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"headrace: {message}\n"


def test_the_password_of_an_address_in_an_error_is_masked(
    ending: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    ending(HeadraceError("cannot reach redis://:hush@db:6379/0"))
    assert "hush" not in capsys.readouterr().err


def test_an_interruption_ends_with_130_and_says_that_nothing_is_lost(
    ending: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(KeyboardInterrupt()) == 130
    assert "nothing is lost" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_error(ending: Callable[[BaseException], int]) -> None:
    assert ending(ReaderGone()) == 0


def test_a_wrong_environment_ends_with_2_and_names_the_variable(
    exit_code: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_LEASE_S", "soon")
    assert exit_code("status") == 2
    assert "HEADRACE_LEASE_S" in capsys.readouterr().err


def test_a_model_that_nobody_knows_ends_with_2(
    exit_code: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("models", "pull", "qwen2.5-coder-0.5b-instruk") == 2
    assert "did you mean qwen2.5-coder-0.5b-instruct?" in capsys.readouterr().err

"""forget, and texts that are kept for so long: what is printed, for people and for scripts, and what is left alone."""

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.cli import dead_letters, forgetting
from pipeline.cli.sweeping import Sweeper, TextEraser, Tools
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.runs import RunState
from pipeline.flow.forgetting import forget_key
from pipeline.ports.store import Store
from pipeline.settings import Settings, load_settings
from tests.contract.store_cases import Rig, make_job, resolve_nothing

ExitCode = Callable[..., int]
Told = pytest.CaptureFixture[str]
COUNTS = {"copies": 0, "passed_on": 0, "attempts": 1, "verdicts": 1, "labels": 0, "waiting": 0}
DAY_S = 86_400.0


def keyed(name: str = "tickets") -> Job:
    """Return a job that says what the key is."""
    return Job.model_validate({**make_job(name=name).model_dump(mode="json"), "key": "ticket_id"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Rig:
    """Return the store that the commands open."""
    made = Rig(store=MemoryStore(clock))

    @contextlib.contextmanager
    def opened() -> Iterator[Store]:
        yield made.store

    monkeypatch.setattr(forgetting, "opened_store", opened)
    monkeypatch.setattr(dead_letters, "opened_store", opened)
    return made


def test_it_says_run_by_run_what_was_erased(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    first, second = rig.filled("ab", keyed()), rig.filled("c", keyed())
    for run in (first, second):
        rig.finish(run)
    assert exit_code("forget", "--key", "k0") == 0
    shown = capsys.readouterr().out
    assert first.name in shown
    assert second.name in shown
    assert [line.key for line in rig.store.results(first.id)] == ["k1"]


def test_scripts_are_told_in_one_document_and_a_second_time_there_is_nothing(
    rig: Rig, exit_code: ExitCode, capsys: Told
) -> None:
    run = rig.filled("ab", keyed())
    rig.finish(run)
    assert exit_code("forget", "--key", "k0", "--json") == 0
    one = {"run": run.name, "items": 1, **COUNTS, "chunks": 0, "drawings": 0}
    assert json.loads(capsys.readouterr().out) == {"key": "k0", "dry_run": False, "runs": [one], "left_out": []}
    assert exit_code("forget", "--key", "k0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []
    assert exit_code("forget", "--key", "k0") == 0
    assert capsys.readouterr().out == "no item has this key\n"


def test_a_dry_run_says_what_would_be_and_changes_nothing(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab", keyed())
    rig.finish(run)
    assert exit_code("forget", "--key", "k0", "--dry-run") == 0
    assert "would be erased" in capsys.readouterr().out
    assert rig.store.progress(run.id).forgotten == 0


def test_a_line_number_is_no_customers_key_unless_its_run_is_named(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    lines, keys = rig.filled("ab"), rig.filled("ab", keyed("others"))
    assert exit_code("forget", "--key", "k0", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert ([one["run"] for one in told["runs"]], told["left_out"]) == ([keys.name], [lines.name])
    assert exit_code("forget", "--key", "k0") == 0
    assert "name the run with --run" in capsys.readouterr().err
    assert exit_code("forget", "--key", "k0", "--run", lines.name) == 0
    assert rig.store.progress(lines.id).forgotten == 1


def test_only_the_run_that_is_named_forgets(rig: Rig) -> None:
    first, second = rig.filled("ab", keyed()), rig.filled("a", keyed())
    done = forget_key(rig.store, "k0", run_id=second.id)
    assert [one.run for one in done.runs] == [second.name]
    assert rig.store.progress(first.id).forgotten == 0


def test_a_run_that_is_not_there_ends_with_4_and_no_key_with_2(rig: Rig, exit_code: ExitCode) -> None:
    rig.filled("a", keyed())
    assert exit_code("forget", "--key", "k0", "--run", "nothing") == 4
    assert exit_code("forget") == 2


def test_a_dead_letter_whose_text_was_erased_says_so(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("a")
    rig.store.give_back(rig.claim_first(), dead_after=1)
    rig.store.settle(run.id)
    rig.store.erase_texts(ended_for_s=0.0)
    assert exit_code("dead", "show", "last", "k0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"] is None


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the loop's own time."""
    now = [1000.0]
    monkeypatch.setattr("pipeline.cli.sweeping.time.monotonic", lambda: now[0])

    def after(passed_s: float) -> None:
        now[0] += passed_s

    return after


def tools(rig: Rig, days: int | None) -> Tools:
    return Tools(settings=Settings(keep_text_days=days), store=rig.store, queue=MemoryQueue())


def test_texts_are_kept_for_ever_unless_a_number_of_days_is_set(rig: Rig, clock: FakeClock) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    clock.sleep(400 * DAY_S)
    assert TextEraser(tools(rig, None))() == 0
    assert TextEraser(tools(rig, 401))() == 0
    assert TextEraser(tools(rig, 399))() == 2


def test_the_loop_looks_every_hour(rig: Rig, clock: FakeClock, seconds: Callable[[float], None]) -> None:
    sweeper = Sweeper(tools(rig, 1))
    sweeper()
    run = rig.filled("ab")
    assert rig.finish(run, resolve_nothing) is RunState.DONE
    clock.sleep(2 * DAY_S)
    seconds(3500.0)
    sweeper()
    assert [one.text for one in rig.store.to_label(run.id, "unresolved")] == ["a", "b"]
    seconds(200.0)
    sweeper()
    assert list(rig.store.to_label(run.id, "unresolved")) == []


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1.5"])
def test_a_number_of_days_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="HEADRACE_KEEP_TEXT_DAYS"):
        load_settings({"HEADRACE_KEEP_TEXT_DAYS": value})
    assert load_settings({"HEADRACE_KEEP_TEXT_DAYS": "30"}).keep_text_days == 30


def test_the_roles_are_printed_without_a_database(exit_code: ExitCode, capsys: Told) -> None:
    assert exit_code("migrate", "--print-roles") == 0
    shown = capsys.readouterr().out
    assert "GRANT SELECT ON items TO headrace_worker;" in shown
    assert "GRANT SELECT ON items TO headrace_producer;" not in shown

"""`headrace budget` on a store in memory: what it gives, what it shows, what it refuses."""

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.cli import money
from pipeline.domain.job import Job
from pipeline.ports.store import Store
from tests.contract.store_cases import MOOD, Rig, tier

ExitCode = Callable[..., int]
Told = pytest.CaptureFixture[str]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig(store=MemoryStore(FakeClock()))

    @contextlib.contextmanager
    def opened() -> Iterator[Store]:
        yield made.store

    monkeypatch.setattr(money, "opened_store", opened)
    return made


def test_a_cap_of_items_is_given_beside_that_of_the_run_and_each_stays_when_the_other_changes(
    rig: Rig, exit_code: ExitCode, capsys: Told
) -> None:
    run = rig.filled("ab")
    assert exit_code("budget", run.name, "--per-item-usd", "0.01") == 0
    assert "budget $0.01 an item, then hold: $0.00 settled" in capsys.readouterr().out
    assert exit_code("budget", run.name, "--usd", "50", "--on-exhausted", "stop") == 0
    assert "budget $50.00 and $0.01 an item, then stop" in capsys.readouterr().out
    assert exit_code("budget", run.name, "--json") == 0
    told = json.loads(capsys.readouterr().out)["budget"]
    assert (told["usd"], told["per_item_usd"], told["on_exhausted"]) == (50, 0.01, "stop")


@pytest.mark.parametrize("option", ["--usd", "--per-item-usd"])
@pytest.mark.parametrize("amount", ["0", "-1", "much", "NaN"])
def test_what_is_no_amount_is_refused_by_the_name_of_its_option(
    rig: Rig, exit_code: ExitCode, capsys: Told, option: str, amount: str
) -> None:
    run = rig.filled("ab")
    assert exit_code("budget", run.name, f"{option}={amount}") == 2
    assert f"{option} {amount}: an amount of dollars above 0" in capsys.readouterr().err


def test_a_run_that_has_ended_keeps_what_it_is_given_for_a_retry_and_says_so(
    rig: Rig, exit_code: ExitCode, capsys: Told
) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    assert exit_code("budget", run.name, "--usd", "5") == 0
    assert f"headrace retry {run.name}" in capsys.readouterr().err
    standing = rig.store.spending(run.id)
    assert standing is not None
    assert standing.budget.usd == 5


def test_an_amount_that_the_tables_cannot_keep_is_refused(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    assert exit_code("budget", run.name, "--usd", "1e-15") == 2
    assert "an amount of dollars" in capsys.readouterr().err


def test_nothing_stands_uncertified_where_something_is_promised(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    said = {"name": "j", "steps": [MOOD], "tiers": [tier("a"), tier("b")], "target": {"agreement": 0.9}}
    run = rig.filled("ab", Job.model_validate(said))
    assert exit_code("budget", run.name, "--usd", "5", "--on-exhausted", "accept") == 2
    assert "with a [target]" in capsys.readouterr().err

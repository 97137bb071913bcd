"""What `bench engine` prints of what it measured: accuracy without a second layout too, and when it is no evidence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import bench
from pipeline.domain.fusing import FuseDecision, StepEvidence, Trial
from pipeline.flow.bench import Rate, Timed
from pipeline.wiring.benching import Benched
from tests.unit.test_cli_reports import JOB

ExitCode = Callable[..., int]
Told = pytest.CaptureFixture[str]
RATE = Rate(items=8, seconds=1.0, tokens_in=80, tokens_out=8)
TIMED = Timed(total=RATE, readings={("mood",): RATE}, prefill_tokens_per_s=100.0, answers={0: []})
ONE_STEP = Benched(
    tier="small", model="m", apart=TIMED, accuracy={"mood": 0.75}, trials=(), decision=None, evidence=None
)


@pytest.fixture
def measured(tmp_path: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told) -> Callable[..., str]:
    """Return a function that runs `bench engine` on something measured, and returns what it printed."""
    (tmp_path / "job.toml").write_text(JOB.replace('"instant"', '"llama"'), encoding="utf-8")
    (tmp_path / "in.dat").write_text("a\n", encoding="utf-8")

    def show(found: Benched) -> str:
        monkeypatch.setattr(bench, "bench_engine", lambda *_, **__: found)
        assert exit_code("bench", "engine", str(tmp_path / "job.toml"), str(tmp_path / "in.dat")) == 0
        return capsys.readouterr().out

    return show


def test_the_accuracy_of_a_tier_with_one_step_is_printed(measured: Callable[..., str]) -> None:
    (row,) = [line for line in measured(ONE_STEP).splitlines() if "mood" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["mood", "75.0%"]


def test_without_gold_there_is_no_table_of_accuracy(measured: Callable[..., str]) -> None:
    assert "right" not in measured(replace(ONE_STEP, accuracy={"mood": None}))


def test_an_ending_that_says_nothing_is_helped_by_the_option_that_the_error_names(
    tmp_path: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    (tmp_path / "job.toml").write_text(JOB.replace('"instant"', '"llama"'), encoding="utf-8")
    (tmp_path / "in.dat").write_text("a\n", encoding="utf-8")
    words = ("bench", "engine", str(tmp_path / "job.toml"), str(tmp_path / "in.dat"))
    assert exit_code(*words) == 2
    assert "give --format" in capsys.readouterr().err
    assert exit_code(*words, "--format", "lines") == 2
    assert "no model is called 'score=0.99'" in capsys.readouterr().err


def test_a_quick_look_says_that_it_is_none_and_what_counts_then(measured: Callable[..., str]) -> None:
    steps = tuple(StepEvidence(step=name, answers=8, same=1.0) for name in ("mood", "topic"))
    trial = Trial(steps=steps, apart_items_per_s=1.0, fused_items_per_s=2.0)
    before = FuseDecision(steps=("mood", "topic"), reason="answers hold in one reading, 1.90 times as fast")
    told = measured(replace(ONE_STEP, trials=((trial, TIMED),), decision=before))
    assert "too few items to be evidence (100 are needed): what was measured before still counts" in told
    assert 'fuse = "auto" reads together: mood, topic (answers hold in one reading, 1.90 times as fast)' in told
    assert told.count("too few") == 3, "each step's row says why it neither holds nor fails"

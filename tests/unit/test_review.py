"""Thresholds proposed from an evaluation, as files that people read."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.user_files import read_proposal, write_proposal
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.review import Proposal, Review
from pipeline.flow.evaluation import Evaluation, StepEvaluation, WayFigures
from pipeline.flow.review import propose, propose_from_runs
from tests.unit.test_flow_certify import Whole, target_job, texts_of, truth, weak

FRONTIER = ((1.01, 0.90, 10.0, 1.0), (0.9, 0.91, 6.0, 0.6), (0.5, 0.906, 3.0, 0.3), (0.1, 0.7, 1.0, 0.1))
"""(threshold, accuracy, USD, seconds): the best is .91, and .906 costs half as much."""


def job(**target: object) -> Job:
    tiers = [{"name": name, "engine": "instant", "model": name} for name in ("small", "large")]
    tiers[0]["accept_at"] = 0.85  # type: ignore[assignment]
    step = {"name": "topic", "kind": "classify", "labels": ["a", "b"]}
    return Job.model_validate({"name": "j", "steps": [step], "tiers": tiers, **target})


def evaluation(frontier: tuple[tuple[float, float, float | None, float], ...] = FRONTIER) -> Evaluation:
    way = WayFigures(
        name="cascade",
        accuracy=0.88,
        f1=None,
        answered=1.0,
        ece=None,
        ece_excess=None,
        brier=None,
        area_under_risk=None,
        hard_fifth=0.5,
        slices={},
        taken={},
        escalated=0.5,
        seconds_per_item=0.5,
        usd_per_item=5.0,
        right="1101",
        reliability=(),
        risk=(),
        confusion={},
    )
    step = StepEvaluation(
        step="topic", kind="classify", ways=(way,), frontier=frontier, target=None, threshold=None, earns=None
    )
    return Evaluation(name="e", made_at="x", job="j", job_digest="d", models={}, keys={"topic": []}, steps=(step,))


def proposal(one: Job, tolerance: float = 0.005, found: Evaluation | None = None) -> Proposal:
    return propose(one, found or evaluation(), tolerance=tolerance, made_at="2026-11-27")


def test_the_cheapest_threshold_within_tolerance_is_proposed() -> None:
    (change,) = proposal(job()).change
    assert (change.step, change.tier, change.now, change.proposed) == ("topic", "small", 0.85, 0.5)
    (expected,) = proposal(job()).expected
    assert (expected.accuracy_now, expected.accuracy_then, expected.usd_per_item_then) == (0.88, 0.906, 3.0)
    assert proposal(job(), tolerance=0.001).change[0].proposed == 0.9


def test_unknown_prices_are_ranked_by_seconds() -> None:
    unknown = tuple((least, right, None, seconds) for least, right, _, seconds in FRONTIER)
    assert proposal(job(), found=evaluation(unknown)).change[0].proposed == 0.5


def test_a_step_with_a_target_keeps_its_certificates() -> None:
    assert proposal(job(target={"agreement": 0.9})).change == ()


def test_a_threshold_that_is_right_already_is_left_out() -> None:
    same = ((0.85, 0.91, 1.0, 1.0),)
    assert proposal(job(), found=evaluation(same)).change == ()


def test_a_proposal_outlives_being_written_and_read_and_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "proposal.toml"
    write_proposal(path, proposal(job()))
    assert read_proposal(path) == proposal(job())
    assert path.read_text(encoding="utf-8").startswith("# Thresholds proposed for a job")
    with pytest.raises(ConfigError, match="is there already"):
        write_proposal(path, proposal(job()))


def test_a_threshold_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "proposal.toml"
    write_proposal(path, proposal(job()))
    path.write_text(path.read_text(encoding="utf-8").replace("proposed = 0.5", "proposed = 5.0"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line \d+, change\[0\]\.proposed"):
        read_proposal(path)


def test_thresholds_that_change_neither_cost_nor_answers_stay() -> None:
    as_good = ((0.4, 0.88, 4.99, 0.5),)
    assert proposal(job(), found=evaluation(as_good)).change == ()
    cheaper = ((0.4, 0.88, 4.5, 0.5),)
    assert proposal(job(), found=evaluation(cheaper)).change[0].proposed == 0.4


def test_what_no_recent_certificate_let_stand_need_not_be_held() -> None:
    whole = Whole(target_job(0.9), [weak(0.3), truth], texts_of(2000))
    whole.work()
    record = whole.store.run(whole.run.id)
    (done,) = whole.store.concluded(record.id)
    assert isinstance(done.decision, Certificate)
    (least,) = done.decision.thresholds
    found = propose_from_runs(record.job, [(record, [done])], made_at="2026-11-27")
    (change,) = found.change
    assert (change.step, change.tier, change.now) == ("mood", "small", 0.0)
    assert change.proposed == pytest.approx(least - 0.05, abs=1e-4)
    assert found.evaluation == record.name
    withdrawn = replace(done, audit=Audited(audited=50, wrong=40, withdrawn=True, since=3))
    assert propose_from_runs(record.job, [(record, [withdrawn])], made_at="x").change == ()
    other = target_job(0.9, tiers=3)
    assert propose_from_runs(other, [(record, [done])], made_at="x").change == (), "another ladder says nothing of this"


@pytest.mark.parametrize(
    ("every", "last", "due"),
    [
        ("month", None, True),
        ("month", "2026-11-01", False),
        ("month", "2026-10-31", True),
        ("month", "2025-11-27", True),
        ("week", "2026-11-23", False),
        ("week", "2026-11-22", True),
        ("day", "2026-11-27", False),
        ("day", "2026-11-26", True),
    ],
)
def test_a_review_is_due_once_in_a_calendar_month_week_or_day(every: str, last: str | None, due: bool) -> None:  # noqa: FBT001 — a parameter
    review = Review.model_validate({"every": every})
    day = None if last is None else dt.date.fromisoformat(last)
    assert review.is_due(day, dt.date(2026, 11, 27)) is due

"""What people see: unknown is written as unknown, never as zero, and marked as uncalibrated or as an estimate."""

import datetime as dt
import io
from decimal import Decimal
from typing import Any

from rich.console import Console, RenderableType

from pipeline.cli.demo import chosen, examples_table, written
from pipeline.cli.views import accuracy_table, costs_table, run_table, runs_table
from pipeline.domain.runs import CostRow, Costs, ResultLine, RunProgress, RunState, StepCounts, StepResult
from pipeline.flow.scoring import GoldLine, score


def shown(what: RenderableType) -> str:
    file = io.StringIO()
    Console(file=file, width=200).print(what)
    return file.getvalue()


def run(**changes: Any) -> RunProgress:  # noqa: ANN401 — any field of a run
    fields: dict[str, Any] = {
        "run": "tickets-1a2b",
        "state": RunState.RUNNING,
        "reason": None,
        "items": 1200,
        "rejected": 3,
        "duplicates": 7,
        "steps": {"mood": StepCounts(verdicts={"small": 900, "large": 250}, unresolved=20)},
        "known_usd": Decimal("0.25"),
        "unknown_calls": 0,
        "calls": 40,
        "baseline_usd": Decimal(1),
        "created_at": dt.datetime(2026, 11, 23, 7, 22, tzinfo=dt.UTC),
        "seconds": 12.5,
    }
    return RunProgress(**{**fields, **changes})


def result(state: str = "verdict", **changes: Any) -> StepResult:  # noqa: ANN401 — any field of a result
    fields: dict[str, Any] = {
        "state": state,
        "value": "positive",
        "fields": {},
        "confidence": 0.913,
        "calibrated": False,
        "tier": "small",
        "escalated_from": (),
        "reason": None,
    }
    return StepResult(**{**fields, **changes})


def line(key: str, mood: StepResult) -> ResultLine:
    return ResultLine(key=key, source="tickets.csv", line=2, answers={"mood": mood})


def test_a_run_shows_where_answers_came_from_and_what_is_pending() -> None:
    table = shown(run_table(run()))
    (row,) = [text for text in table.splitlines() if "mood" in text]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["mood", "900", "250", "20", "30"]
    assert "1,200 items, 7 of them copies; 3 rows rejected" in table
    assert "uncalibrated where nothing was learned" in table


def test_a_saving_is_marked_as_an_estimate() -> None:
    table = shown(run_table(run(state=RunState.DONE)))
    assert "cost $0.2500; all at the top tier: $1.0000 (estimate); saved: 75%" in table


def test_costs_that_are_unknown_are_not_shown_as_saved() -> None:
    table = shown(run_table(run(state=RunState.DONE, unknown_calls=4, baseline_usd=None)))
    assert "4 calls of unknown cost; all at the top tier: unknown; saved: unknown" in table


def test_a_run_that_is_not_done_has_saved_nothing_yet() -> None:
    assert "saved: told when it is done" in shown(run_table(run(state=RunState.HELD)))


def test_a_run_that_has_a_reason_tells_it() -> None:
    assert "the endpoint is down" in shown(run_table(run(state=RunState.PAUSED, reason="the endpoint is down")))


def test_all_runs_are_listed_a_line_each() -> None:
    table = shown(runs_table([run(), run(run="logs-9z", items=0)]))
    assert "98%" in table
    assert "2026-11-23 07:22" in table
    assert "logs-9z" in table


def test_costs_name_their_groups_and_the_calls_that_nobody_could_price() -> None:
    row = CostRow(
        group={"tier": "small"},
        calls=1000,
        unknown_calls=2,
        tokens_in=5,
        tokens_cached=3,
        tokens_out=1,
        seconds=2.0,
        known_usd=Decimal("0.1"),
    )
    table = shown(costs_table(Costs(rows=(row,), known_usd=Decimal("0.1"), unknown_calls=2), ["tier"]))
    assert "1,000" in table
    assert "0.100000 + 2 unknown" in table
    assert "in all $0.100000 and 2 calls of unknown cost" in table


def test_an_example_names_tier_confidence_and_why_it_was_escalated() -> None:
    table = shown(examples_table([line("T-1", result(tier="large", escalated_from=(("small", "low_confidence"),)))]))
    assert "0.91" in table
    assert "small: low_confidence" in table


def test_an_unknown_confidence_is_no_number() -> None:
    assert "unknown" in shown(examples_table([line("T-1", result(confidence=None))]))


def test_an_unresolved_example_says_so() -> None:
    assert "positive (unresolved)" in shown(examples_table([line("T-1", result("unresolved", tier=None))]))


def test_examples_are_a_handful_of_every_kind_in_the_inputs_order() -> None:
    lines = [line(f"T-{number}", result()) for number in range(50)]
    lines += [line(f"E-{number}", result(escalated_from=(("small", "low_confidence"),))) for number in range(50)]
    lines += [line(f"U-{number}", result("unresolved")) for number in range(50)]
    assert [one.key for one in chosen(lines)] == ["T-0", "T-1", "E-0", "E-1", "E-2", "E-3", "U-0"]


def test_an_answer_is_written_in_a_few_words() -> None:
    assert written({"order_id": "KL-1", "amount": None, "due": None}) == "order_id KL-1"
    assert written({"order_id": None}) == "nothing found"
    assert written(None) == "-"
    assert written("billing") == "billing"


def test_accuracy_stands_beside_what_the_commonest_answer_would_score() -> None:
    gold = [GoldLine(key=str(n), answers={"mood": "neutral" if n else "positive"}, group="easy") for n in range(4)]
    found = score(gold, [line(str(n), result()) for n in range(4)], ["mood"])
    table = shown(accuracy_table(found, ["small", "large"]))
    (row,) = [text for text in table.splitlines() if "mood" in text]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["mood", "25%", "75%", "25%", "25% (4)", "-"]


def test_accuracy_of_items_without_groups_has_no_column_for_the_only_one() -> None:
    found = score([GoldLine(key="0", answers={"mood": "positive"}, group="all")], [line("0", result())], ["mood"])
    (row,) = [text for text in shown(accuracy_table(found, ["small"])).splitlines() if "mood" in text]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["mood", "100%", "100%", "100% (1)"]

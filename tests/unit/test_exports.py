"""Results come as JSON Lines, CSV and Parquet with the same content, and a file appears only when it is complete."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.cli.exports import FORMATS, columns, write_results
from pipeline.domain.answers import Plain
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.runs import ResultLine, StepResult

JOB = Job.model_validate(
    {
        "name": "tickets",
        "steps": [
            {"name": "topic", "kind": "classify", "labels": ["billing", "größe 尺寸"]},
            {
                "name": "details",
                "kind": "extract",
                "fields": {
                    "order_id": {"type": "string"},
                    "amount": {"type": "number"},
                    "paid": {"type": "money"},
                    "open": {"type": "boolean"},
                    "items": {"type": "list", "of": "string"},
                },
            },
        ],
        "tiers": [{"name": "small", "engine": "instant", "model": "any"}],
    }
)
RECORD: dict[str, Any] = {
    "order_id": 'KL-1,"2"\n🎫',
    "amount": 64.9,
    "paid": "EUR 64.90",
    "open": True,
    "items": ("a", "b;c"),
}


def result(value: Plain, *, state: str = "verdict", confidence: float | None = 0.75) -> StepResult:
    return StepResult(
        state=state,
        value=value,
        fields={},
        confidence=confidence,
        calibrated=False,
        tier="small" if state == "verdict" else None,
        escalated_from=(("tiny", "low_confidence"),),
        reason=None if state == "verdict" else "malformed",
    )


LINES = [
    ResultLine(
        key="T-1", source="a.csv", line=2, answers={"topic": result("größe 尺寸"), "details": result(RECORD)}
    ),
    ResultLine(
        key="\N{LINE SEPARATOR}é", source="a.csv", line=3,
        answers={
            "topic": result(None, state="pending", confidence=None),
            "details": result(None, state="unresolved", confidence=None),
        },
    ),
]  # fmt: skip


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(path).to_pylist())


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    """Return the same results in every format."""
    paths = {style: tmp_path / f"out.{style}" for style in FORMATS}
    for path in paths.values():
        write_results(iter(LINES), JOB, path, None)
    return paths


def test_json_lines_are_the_script_contract_word_for_word(written: dict[str, Path]) -> None:
    assert read_jsonl(written["jsonl"]) == json.loads(json.dumps([line.as_json() for line in LINES]))
    assert "größe 尺寸" in written["jsonl"].read_text(encoding="utf-8")


def test_places_are_pairs_and_of_a_list_a_pair_for_each_value() -> None:
    given = replace(result(RECORD), spans={"amount": (3, 9), "items": ((0, 1), (4, 7))})
    assert given.as_json()["spans"] == {"amount": [3, 9], "items": [[0, 1], [4, 7]]}
    assert "spans" not in result(RECORD).as_json()


def test_csv_and_parquet_have_the_same_columns_and_the_same_rows(written: dict[str, Path]) -> None:
    as_csv, table = read_csv(written["csv"]), pq.read_table(written["parquet"])
    assert list(as_csv[0]) == table.column_names == columns(JOB)
    as_parquet = table.to_pylist()
    for name in (
        "key",
        "source",
        "topic",
        "topic_state",
        "topic_tier",
        "details.order_id",
        "details.paid",
        "details_reason",
    ):
        assert [row[name] for row in as_csv] == [row[name] or "" for row in as_parquet]
    for name in ("topic_confidence", "details_confidence"):
        assert [float(row[name]) if row[name] else None for row in as_csv] == [row[name] for row in as_parquet]


def test_flat_rows_say_what_json_lines_say(written: dict[str, Path]) -> None:
    for line, row in zip(read_jsonl(written["jsonl"]), read_parquet(written["parquet"]), strict=True):
        topic, details = line["answers"]["topic"], line["answers"]["details"]
        assert (row["key"], row["line"]) == (line["key"], line["line"])
        assert (row["topic"], row["topic_state"], row["topic_confidence"]) == (
            topic["value"],
            topic["state"],
            topic["confidence"],
        )
        for name in RECORD:
            told = row[f"details.{name}"]
            value = (details["value"] or {}).get(name)
            assert told == value or json.loads(told) == value


def test_a_list_in_a_cell_is_json(written: dict[str, Path]) -> None:
    assert json.loads(read_csv(written["csv"])[0]["details.items"]) == ["a", "b;c"]


def test_unknown_stays_empty_and_is_no_zero(written: dict[str, Path]) -> None:
    assert read_csv(written["csv"])[1]["topic_confidence"] == ""
    assert read_parquet(written["parquet"])[1]["topic_confidence"] is None


@pytest.mark.parametrize("style", FORMATS)
def test_a_file_of_no_results_can_be_read(style: str, tmp_path: Path) -> None:
    path = tmp_path / f"none.{style}"
    write_results(iter(()), JOB, path, None)
    readers: dict[str, Callable[[Path], list[Any]]] = {"jsonl": read_jsonl, "csv": read_csv, "parquet": read_parquet}
    assert readers[style](path) == []


@pytest.mark.parametrize("style", FORMATS)
def test_results_that_break_off_leave_the_file_of_before_and_nothing_else(style: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{style}"
    path.write_text("before")

    def broken() -> Iterator[ResultLine]:
        yield LINES[0]
        assert path.read_text() == "before"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(broken(), JOB, path, None)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


def test_without_a_file_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_results(iter(LINES), JOB, None, None)
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.split("\n")[:-1]] == [
        "T-1",
        "\N{LINE SEPARATOR}é",
    ]


def test_the_format_asked_for_counts_more_than_the_ending(tmp_path: Path) -> None:
    write_results(iter(LINES), JOB, tmp_path / "out.txt", "csv")
    assert len(read_csv(tmp_path / "out.txt")) == 2


@pytest.mark.parametrize(("name", "style"), [("out.xlsx", None), ("out", None), (None, "parquet")])
def test_what_cannot_be_written_is_refused_with_what_can(tmp_path: Path, name: str | None, style: str | None) -> None:
    with pytest.raises(ConfigError, match="parquet"):
        write_results(iter(LINES), JOB, None if name is None else tmp_path / name, style)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("style", FORMATS)
def test_a_folder_that_is_not_there_is_reported_by_the_files_name(style: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write_results(iter(LINES), JOB, tmp_path / "nowhere" / f"out.{style}", None)


@pytest.mark.parametrize("style", FORMATS)
def test_a_file_that_is_called_as_an_input_is_never_written_over(tmp_path: Path, style: str) -> None:
    path = tmp_path / f"in.{style}"
    lines = [LINES[0], replace(LINES[1], source=path.name)]
    path.write_text("the user's own", encoding="utf-8")
    with pytest.raises(ConfigError, match="is called as one of the run's inputs"):
        write_results(iter(lines), JOB, path, None)
    assert path.read_text(encoding="utf-8") == "the user's own"
    assert [one.name for one in tmp_path.iterdir()] == [path.name], "nothing half-written is left"
    path.unlink()
    write_results(iter(lines), JOB, path, None)
    assert path.exists(), "where nothing is lost, the name is as good as another"

"""What the engine benchmark asks: real rows, or the sample tickets, with their right answers."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import samples
from pipeline.domain.steps import ClassifyStep, ExtractStep, Step
from pipeline.flow.scoring import same
from pipeline.prompts import Question, question_of
from pipeline.wiring.inputs import written_job

ENTITIES = {
    "multidogo": {
        "name": "name of a person",
        "email_address": "e-mail address",
        "account_number": "number of an account",
    },
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Steps asked of texts, with gold answers."""

    name: str
    texts: Sequence[str]
    steps: Sequence[Step]
    gold: Sequence[dict[str, Any]]
    """Per text: step name → right answer."""

    @property
    def questions(self) -> list[Question]:
        return [question_of(step) for step in self.steps]

    def accuracy(self, step: Step, answers: Sequence[Any]) -> float:
        """Share of right answers; of a record, the mean share of its right fields."""
        right = [_right(gold[step.name], answer) for gold, answer in zip(self.gold, answers, strict=True)]
        return sum(right) / len(right)


def _right(gold: Any, answer: Any) -> float:  # noqa: ANN401 — answers as JSON has them
    if not isinstance(gold, dict):
        return float(gold == answer)
    given = answer if isinstance(answer, dict) else {}
    return sum(_same_field(value, given.get(field)) for field, value in gold.items()) / len(gold)


def _same_field(gold: Any, answer: Any) -> bool:  # noqa: ANN401
    if isinstance(gold, str) and isinstance(answer, str):
        return " ".join(gold.lower().split()) == " ".join(answer.lower().split())
    return same(gold, answer)


def rows_of(data: Path, name: str, limit: int, *, part: str = "dev") -> list[dict[str, Any]]:
    """Return rows of `dev.jsonl`, or of another part, evenly spaced."""
    with (data / name / f"{part}.jsonl").open(encoding="utf-8") as file:
        rows = list(map(json.loads, file))
    return rows if limit >= len(rows) else [rows[number * len(rows) // limit] for number in range(limit)]


def choice(data: Path, name: str, key: str, asked: str, limit: int) -> Task:
    """Return a classify task over all labels of the file."""
    with (data / name / "dev.jsonl").open(encoding="utf-8") as file:
        labels = sorted({json.loads(line)[key] for line in file})
    rows = rows_of(data, name, limit)
    step = ClassifyStep(name="label", kind="classify", question=asked, labels=dict.fromkeys(labels, ""))
    return Task(
        name=name,
        texts=[row["text"] for row in rows],
        steps=[step],
        gold=[{"label": row[key]} for row in rows],
    )


def entities(data: Path, name: str, limit: int, *, part: str = "dev", empty: bool = False) -> Task:
    """Return an extract task: at most one value of each type; rows that hold none only if `empty`."""
    kinds = ENTITIES[name]
    rows = rows_of(data, name, 1 << 30, part=part)
    rows = [row for row in rows if empty or any(one["type"] in kinds for one in row["entities"])]
    rows = [row for row in rows if all(_count(row, kind) <= 1 for kind in kinds)]
    rows = rows if limit >= len(rows) else [rows[number * len(rows) // limit] for number in range(limit)]
    step = ExtractStep.model_validate(
        {
            "name": "entities",
            "kind": "extract",
            "fields": {kind: {"type": "string", "description": words} for kind, words in kinds.items()},
        }
    )
    gold = [
        {
            "entities": {
                kind: next((one["text"] for one in row["entities"] if one["type"] == kind), None) for kind in kinds
            }
        }
        for row in rows
    ]
    return Task(name=name, texts=[row["text"] for row in rows], steps=[step], gold=gold)


def _count(row: dict[str, Any], kind: str) -> int:
    return sum(one["type"] == kind for one in row["entities"])


def tickets(*, steps: Sequence[str], longest: int = 4000) -> Task:
    """Return the sample tickets with some of their steps; texts of more characters than `longest` are left out."""
    job = written_job(samples.path("tickets.toml"))
    with samples.path("tickets.csv").open(encoding="utf-8", newline="") as file:
        texts = {row["ticket_id"]: f"{row['subject']}\n\n{row['body']}" for row in csv.DictReader(file, strict=True)}
    gold = {}
    for line in samples.path("tickets.gold.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if len(texts[row["key"]]) <= longest:
            gold[row["key"]] = row
    chosen = [step for step in job.steps if step.name in steps]
    return Task(
        name="tickets: " + ", ".join(steps),
        texts=[texts[key] for key in gold],
        steps=chosen,
        gold=[{name: row[name] for name in steps} for row in gold.values()],
    )

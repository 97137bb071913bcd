"""Labelling by people: texts drawn for them as a table to fill in, and the filled table read back as right answers.

One column for each step, and one for each field of a record (`details.amount`). An empty cell is no answer; the word
`null` is one: no label fits, or the text does not say.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pipeline.domain.answers import Plain
from pipeline.domain.cells import original
from pipeline.domain.errors import ConfigError
from pipeline.domain.fields import FieldSpec, parse_object
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.steps import Choice, ExtractStep, MultilabelStep, Step
from pipeline.flow.scoring import UNGROUPED, GoldLine
from pipeline.ports.labels import NewLabel

KEY, TEXT, GROUP = "key", "text", "difficulty"
NULL: Final = "null"
_MOST_NAMED = 20


def columns(job: Job) -> list[str]:
    """Return the columns that people fill in."""
    return [name for step in job.steps for name in _columns_of(step)]


def drawn(items: Iterable[Item], count: int, seed: str) -> list[Item]:
    """Return up to `count` different texts, drawn by a seeded hash: the same ones from the same input, in any order."""
    lots: dict[bytes, Item] = {}
    for item in items:
        lots.setdefault(hashlib.sha256(f"{seed}/{item.text}".encode("utf-8", "surrogatepass")).digest(), item)
    return [lots[lot] for lot in sorted(lots)[:count]]


def gold_rows(job: Job, rows: Iterable[Mapping[str, str | None]], name: str) -> Iterator[GoldLine]:
    """Read a filled table; rows without any answer are passed over. Raises ConfigError naming row and column."""
    for number, row in enumerate(rows, 2):
        place = f"{name}, line {number}"
        if not row.get(KEY):
            raise ConfigError(f"{place}: the column `{KEY}` is empty or missing; keep it as it was exported")
        answers = {step.name: found[0] for step in job.steps if (found := _answer(step, row, place))}
        if answers:
            yield GoldLine(key=original(str(row[KEY])), answers=answers, group=row.get(GROUP) or UNGROUPED)


def _columns_of(step: Step) -> Sequence[str]:
    if isinstance(step, ExtractStep):
        return [f"{step.name}.{field}" for field in step.fields]
    return [step.name]


def _answer(step: Step, row: Mapping[str, str | None], place: str) -> tuple[Any] | None:
    """Return the answer of one step in a tuple; None where nothing is filled in."""
    cells = {name: original((row.get(name) or "").strip()) for name in _columns_of(step)}
    if not any(cells.values()):
        return None
    if isinstance(step, ExtractStep):
        fields = [(name, spec, cells[f"{step.name}.{name}"]) for name, spec in step.fields.items()]
        empty = [name for name, _, cell in fields if not cell]
        if empty:
            raise ConfigError(
                f"{place}: {step.name}.{empty[0]} is empty beside filled ones; write null where nothing is said"
            )
        return ({name: _value(spec, cell, f"{place}, {step.name}.{name}") for name, spec, cell in fields},)
    cell = cells[step.name]
    if isinstance(step, MultilabelStep):
        return ([part.strip() for part in cell.split(";") if part.strip() and part.strip() != NULL],)
    return (None if cell == NULL else cell,)


def _value(spec: FieldSpec, cell: str, place: str) -> Any:  # noqa: ANN401 — as JSON has it
    if cell == NULL:
        return None
    try:
        value = cell if spec.type in {"string", "one_of", "date", "money"} else json.loads(cell)
        spec.parse(value)
    except (ValueError, RecursionError):
        raise ConfigError(f"{place} is no {spec.type}; write one, or null") from None
    return value


def labels_of(job: Job, lines: Iterable[GoldLine], name: str) -> list[NewLabel]:
    """Return people's answers as labels; raises ConfigError for a step or an answer that the job does not have."""
    steps = {step.name: number for number, step in enumerate(job.steps)}
    found: dict[tuple[str, int], NewLabel] = {}
    for line in lines:
        for step, value in line.answers.items():
            if step == TEXT:  # as it was exported
                continue
            place = f"{name}, key {line.key}"
            if step not in steps:
                raise ConfigError(f"{place}: {step!r} is no step of the job; its steps: {', '.join(steps)}")
            number = steps[step]
            if (line.key, number) in found:
                raise ConfigError(f"{place}: {step} stands there twice; remove one")
            found[line.key, number] = NewLabel(
                key=line.key, step_no=number, value=_checked(job.steps[number], value, f"{place}, {step}")
            )
    return list(found.values())


def _checked(step: Step, value: Any, place: str) -> Plain:  # noqa: ANN401 — as JSON has it
    """Return an answer as a step could have given it, or None; raises ConfigError for any other."""
    form = step.form
    if value is None:
        return None
    if isinstance(step, MultilabelStep):
        if not isinstance(value, list) or set(map(str, value)) - set(step.labels):
            raise ConfigError(f"{place}: write a list of its labels: {_some(step.labels)}")
        return tuple(label for label in step.labels if label in value)
    if isinstance(form, Choice):
        if value not in form.options:
            raise ConfigError(f"{place}: that is none of its answers: {_some(form.options)}; null: none fits")
        return str(value)
    fields = form.as_dict()
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: write an object of its fields: {_some(fields)}")
    try:
        return parse_object(fields, dict.fromkeys(fields) | value)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_MOST_NAMED]) + (
        f" and {len(shown) - _MOST_NAMED:,} more" if len(shown) > _MOST_NAMED else ""
    )

"""Scoring: gold answers and results in, accuracy out. Pure: whoever calls it reads the files and the store.

Right means equal to the gold answer and accepted: the best answer of an unresolved step does not count. For a record
all fields must be equal; its fields are scored one by one as well. Beside each share stands that of the commonest gold
answer: what always saying the same would score.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain.errors import ConfigError
from pipeline.domain.runs import ResultLine, StepResult

VERDICT = "verdict"
UNGROUPED = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldLine:
    """The right answers to one item."""

    key: str
    answers: Mapping[str, Any]
    """Step name → value, as JSON has it; a record is an object."""
    group: str
    """How hard the item is, or any other group to score by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many were right, out of how many."""

    right: int
    of: int

    @property
    def share(self) -> float | None:
        """1.0 is all; None out of nothing."""
        return self.right / self.of if self.of else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of a step, or of one field of its record."""

    total: Tally
    commonest: Tally
    """What the commonest gold answer alone would score."""
    by_group: Mapping[str, Tally]
    by_tier: Mapping[str, Tally]
    """By the tier whose answer stands."""
    fields: Mapping[str, "Score"]
    """Of a record."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract: shares between 0 and 1."""
        return {
            "right": self.total.right,
            "of": self.total.of,
            "accuracy": _rounded(self.total),
            "commonest_answer": _rounded(self.commonest),
            "by_difficulty": {group: _rounded(tally) for group, tally in self.by_group.items()},
            "by_tier": {tier: _rounded(tally) for tier, tally in self.by_tier.items()},
            "fields": {name: score.as_json() for name, score in self.fields.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Results, scored."""

    items: int
    """Items that have gold answers."""
    missing: int
    """Among them: those without a result, which count as wrong."""
    steps: Mapping[str, Score]

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        steps = {name: score.as_json() for name, score in self.steps.items()}
        return {"items": self.items, "missing": self.missing, "steps": steps}


def gold_lines(lines: Iterable[str], name: str = "gold answers") -> Iterator[GoldLine]:
    """Read gold answers: a JSON object a line with `key`, perhaps `difficulty`, and an answer for each step.

    Raises ConfigError naming the line.
    """
    for number, line in enumerate(lines, 1):
        try:
            found = dict(json.loads(line))
            key, group = str(found.pop("key")), str(found.pop("difficulty", UNGROUPED))
        except (ValueError, TypeError, KeyError, RecursionError):  # the last: nested too deeply
            message = f"{name}, line {number}: write a JSON object with `key` and an answer for each step"
            raise ConfigError(message) from None
        yield GoldLine(key=key, answers=found, group=group)


def score(gold: Iterable[GoldLine], results: Iterable[ResultLine], steps: Sequence[str]) -> Accuracy:
    """Compare results with gold answers, in memory that grows with the gold alone.

    Results without gold are passed over. Raises ConfigError when two gold lines have the same key.
    """
    wanted: dict[str, GoldLine] = {}
    for line in gold:
        if line.key in wanted:
            raise ConfigError(f"gold answers: the key {line.key} stands there twice; remove one")
        wanted[line.key] = line
    sheets = {step: _Sheet() for step in steps}
    # A copy has the key of a row of its own; only a key that comes twice is the same row, and is scored once.
    open_keys = dict(wanted)
    for result in results:
        answer_key = open_keys.pop(result.key, None)
        if answer_key is not None:
            for step in steps:
                sheets[step].enter(answer_key, step, result.answers.get(step))
    for line in open_keys.values():
        for step in steps:
            sheets[step].enter(line, step, None)
    return Accuracy(
        items=len(wanted), missing=len(open_keys), steps={step: sheet.score() for step, sheet in sheets.items()}
    )


class _Sheet:
    """Counts one step, or one field."""

    def __init__(self) -> None:
        self._total = _Count()
        self._groups: dict[str, _Count] = {}
        self._tiers: dict[str, _Count] = {}
        self._gold: Counter[str] = Counter()
        self._fields: dict[str, _Sheet] = {}

    def enter(self, gold: GoldLine, step: str, result: StepResult | None) -> None:
        if step not in gold.answers:
            return
        expected = gold.answers[step]
        stands = result is not None and result.state == VERDICT
        value = result.value if result is not None and stands else None
        tier = result.tier if result is not None and stands else None
        self.count(expected, right=stands and same(value, expected), group=gold.group, tier=tier)
        if isinstance(expected, Mapping):
            given = value if isinstance(value, Mapping) else None
            for name, field in expected.items():
                right = given is not None and same(given.get(name), field)
                self._fields.setdefault(name, _Sheet()).count(field, right=right, group=gold.group, tier=tier)

    def count(self, expected: object, *, right: bool, group: str, tier: str | None) -> None:
        self._gold[json.dumps(expected, sort_keys=True)] += 1
        self._total.add(right=right)
        self._groups.setdefault(group, _Count()).add(right=right)
        if tier is not None:
            self._tiers.setdefault(tier, _Count()).add(right=right)

    def score(self) -> Score:
        commonest = max(self._gold.values(), default=0)
        return Score(
            total=self._total.tally(),
            commonest=Tally(right=commonest, of=self._total.of),
            by_group={group: count.tally() for group, count in sorted(self._groups.items())},
            by_tier={tier: count.tally() for tier, count in self._tiers.items()},
            fields={name: sheet.score() for name, sheet in self._fields.items()},
        )


class _Count:
    def __init__(self) -> None:
        self.right = self.of = 0

    def add(self, *, right: bool) -> None:
        self.right += right
        self.of += 1

    def tally(self) -> Tally:
        return Tally(right=self.right, of=self.of)


def same(given: object, expected: object) -> bool:
    """Whether two answers are equal: numbers as numbers (58 is 58.0), lists in order, a missing field is null."""
    if isinstance(given, Mapping) and isinstance(expected, Mapping):
        return all(same(given.get(name), expected.get(name)) for name in {*given, *expected})
    if isinstance(given, list | tuple) and isinstance(expected, list | tuple):
        return len(given) == len(expected) and all(map(same, given, expected))
    if isinstance(given, bool) or isinstance(expected, bool):
        return given is expected
    if isinstance(given, int | float) and isinstance(expected, int | float):
        return math.isclose(given, expected, rel_tol=1e-9)
    return given == expected


def _rounded(tally: Tally) -> float | None:
    return None if tally.share is None else round(tally.share, 4)

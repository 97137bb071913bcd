"""Samples: the same questions put to several engines, and how their answers compare. Pure but for the engine."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipeline.asking import Asking, asked_apart
from pipeline.domain.answers import Malformed, to_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import MAX_LABELS, SPEAKABLE, ClassifyStep, SentimentStep, is_speakable
from pipeline.flow.scoring import GoldLine, same
from pipeline.ports.engine import Ask, Engine

_SLICE = 64
"""Texts of one call: enough to fill batches, few enough to show progress."""

Answers: TypeAlias = Mapping[str, Sequence[Given]]
"""Step name → answers, in the order of the sample's texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStep:
    """One step, the texts it is asked of, and what is right."""

    name: str
    asking: Asking
    texts: Sequence[str]
    gold: Sequence[Any] | None
    """As JSON has it, in the order of the texts; None: nobody knows what is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Questions whose answers by several engines are compared."""

    name: str
    steps: Sequence[SampleStep]

    @property
    def size(self) -> int:
        """How many answers there are."""
        return sum(len(step.texts) for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A line of the user's own sample."""

    text: str
    label: str | None


def ask_sample(engine: Engine, sample: Sample, show: Callable[[int, int], None]) -> Answers:
    """Put a sample to an engine; texts that are too long are cut. `show(answered, of)` is called as it goes on."""
    done = 0
    found: dict[str, list[Given]] = {}
    for step in sample.steps:
        given = found.setdefault(step.name, [])
        for at in range(0, len(step.texts), _SLICE):
            given += answer_step(engine, step.asking, step.texts[at : at + _SLICE])
            done += len(step.texts[at : at + _SLICE])
            show(done, sample.size)
    return found


def answer_step(engine: Engine, asking: Asking, texts: Sequence[str]) -> list[Given]:
    """Ask one step of texts, and make each text's answers the step's one."""
    width = len(asking.questions)
    asks = [Ask(question=question, text=text, on_long="truncate") for text in texts for question in asking.questions]
    given = [one for one in engine.answer(asks).given if one is not None]
    return [asking.merge(given[at : at + width]) for at in range(0, len(given), width)]


def plain(given: Given) -> Any:  # noqa: ANN401 — as JSON has it
    """Return an answer's bare value; None where there is no answer."""
    return None if isinstance(given.answer, Malformed) else to_json(given.answer)["value"]


def agrees(one: Given, other: Given) -> bool:
    """Whether two answers say the same, whatever they are sure of; two that failed do."""
    return same(plain(one), plain(other))


def is_right(given: Given, gold: object) -> bool:
    """Whether an answer is the gold answer."""
    return not isinstance(given.answer, Malformed) and same(plain(given), gold)


def accuracy(given: Sequence[Given], gold: Sequence[Any] | None) -> float | None:
    """Return the share of right answers; None without gold."""
    return None if not gold else statistics.fmean(map(is_right, given, gold))


def field_accuracy(given: Sequence[Given], gold: Sequence[Any] | None) -> dict[str, float]:
    """Return the share of right values of each field of a record; nothing for other steps."""
    records = [(plain(one), right) for one, right in zip(given, gold or (), strict=False) if isinstance(right, Mapping)]
    names = dict.fromkeys(name for _, right in records for name in right)
    return {
        name: statistics.fmean(
            isinstance(said, Mapping) and same(said.get(name), right.get(name)) for said, right in records
        )
        for name in names
    }


def agreement(one: Sequence[Given], other: Sequence[Given]) -> float:
    """Return the share of answers that say the same."""
    return statistics.fmean(map(agrees, one, other))


def gold_sample(
    name: str, askings: Mapping[str, Asking], items: Iterable[Item], gold: Iterable[GoldLine] | None
) -> Sample:
    """Make a sample of items; with gold answers, of those that have some. `askings`: by step name.

    Raises ConfigError for a key that has two gold lines, and where nothing is left to ask.
    """
    held = list(items)
    known = None if gold is None else gold_by_key(gold)
    steps = [_sample_step(step, asking, held, known) for step, asking in askings.items()]
    if not any(step.texts for step in steps):
        if known is None:
            raise ConfigError("the input has no items: headrace run lists what is wrong with its rows")
        raise ConfigError(
            "the input has no item whose key stands in the gold answers: see the job's `key` and the gold file"
        )
    return Sample(name=name, steps=[step for step in steps if step.texts])


def gold_by_key(gold: Iterable[GoldLine]) -> dict[str, GoldLine]:
    """Return gold lines by key; raises ConfigError for a key that stands there twice."""
    known: dict[str, GoldLine] = {}
    for line in gold:
        if line.key in known:
            raise ConfigError(f"gold answers: the key {line.key} stands there twice; remove one")
        known[line.key] = line
    return known


def _sample_step(name: str, asking: Asking, items: Sequence[Item], gold: Mapping[str, GoldLine] | None) -> SampleStep:
    if gold is None:
        return SampleStep(name=name, asking=asking, texts=[item.text for item in items], gold=None)
    chosen = [item for item in items if item.key in gold and name in gold[item.key].answers]
    right = [gold[item.key].answers[name] for item in chosen]
    return SampleStep(name=name, asking=asking, texts=[item.text for item in chosen], gold=right)


def labelled_lines(name: str, lines: Iterable[str]) -> list[Labelled]:
    """Read a sample of the user's own: a JSON object a line, with `text` and, on every line or on none, `label`.

    Raises ConfigError naming the line.
    """
    found: list[Labelled] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.append(_labelled(f"{name}, line {number}", line))
            if (found[-1].label is None) is not (found[0].label is None):
                raise _faulty(f"{name}, line {number}", "give every line a `label`, or none")
    if not found:
        raise ConfigError("the sample is empty: write one JSON object a line, with `text` and perhaps `label`")
    labels = {one.label for one in found}
    if labels != {None} and not 1 < len(labels) <= MAX_LABELS:
        raise ConfigError(f"the sample has {len(labels)} different labels; 2 to {MAX_LABELS} can be asked for")
    return found


def labelled_sample(name: str, lines: Iterable[str]) -> Sample:
    """Make a sample of the user's own lines: which of their labels fits; without labels, the mood of each text.

    Raises ConfigError naming the line.
    """
    found = labelled_lines(name, lines)
    labels = tuple(dict.fromkeys(one.label for one in found if one.label is not None))
    step = (
        ClassifyStep(name="label", kind="classify", labels=dict.fromkeys(labels, ""))
        if labels
        else SentimentStep(name="mood", kind="sentiment")
    )
    gold = [one.label for one in found] if labels else None
    asked = SampleStep(name=step.name, asking=asked_apart(step), texts=[one.text for one in found], gold=gold)
    return Sample(name=name, steps=[asked])


def _labelled(place: str, line: str) -> Labelled:
    try:
        row = json.loads(line)
    except ValueError:
        raise _faulty(place, 'this is no JSON; write {"text": …, "label": …}') from None
    except RecursionError:
        raise _faulty(place, 'this is nested too deeply; write {"text": …, "label": …}') from None
    if not isinstance(row, dict):
        raise _faulty(place, 'this is no JSON object; write {"text": …, "label": …}')
    text, label = row.get("text"), row.get("label")
    if not isinstance(text, str) or not text.strip():
        raise _faulty(place, "`text` must be there, as a string that says something")
    if label is not None and not (isinstance(label, str) and is_speakable(label)):
        raise _faulty(place, f"`label` must be a string, {SPEAKABLE}")
    return Labelled(text=text, label=label)


def _faulty(place: str, what: str) -> ConfigError:
    return ConfigError(f"sample {place}: {what}")

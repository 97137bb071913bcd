"""Extracting fields: each field is a lane of its own behind the item's text, read beside the others.

A field whose possible values can be listed (candidates that stand in the text, options, true and false) is chosen among
them like a label: often without writing a single token, and with an exact probability. Others are written token by
token, held to the item's text or to a grammar.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.choice import ChoiceLane
from pipeline.adapters.llama.constraint import Grammar
from pipeline.adapters.llama.copying import Copyable, SpanConstraint
from pipeline.adapters.llama.lanes import Extend, Lane, Want
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.answers import Defect, Fields, FieldValue, Malformed, Span
from pipeline.domain.fields import FieldSpec
from pipeline.domain.grammar import Slot
from pipeline.domain.scores import RawScore
from pipeline.domain.spans import Candidate, candidates, is_listed
from pipeline.domain.trie import LabelTrie, Logits, Tokens

_EXPECTED_TOKENS = 24  # of one field; for the cells that are set aside, no limit
_SURE = RawScore(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """A field, ready for this model."""

    slot: Slot
    spec: FieldSpec
    lead: Tokens
    """What we write before the value."""
    grammar: Grammar | None
    """None where a value is chosen, or held to the text."""


class _Constraint(Protocol):
    """What holds a value to what is allowed while it is written."""

    @property
    def written(self) -> bytes: ...

    def pick(self, logits: Logits) -> tuple[int, float] | None: ...

    def accept(self, token: int) -> None: ...

    def close(self) -> None: ...


class WriteLane:
    """Writes one value token by token; decoding is greedy.

    Its score is the product, over the value's tokens and its end sign, of the probability among the allowed tokens.
    """

    def __init__(self, plan: SlotPlan, constraint: _Constraint, *, max_answer_tokens: int) -> None:
        """Begin with the field's key."""
        self._plan = plan
        self._constraint: _Constraint | None = constraint
        self._most = max_answer_tokens
        self._pending: Tokens = plan.lead
        self._log_p = 0.0
        self.malformed: Malformed | None = None
        self.value: FieldValue = None
        self.tokens_out = 0

    @property
    def cells(self) -> int:
        """Tokens that it is expected to come to."""
        return len(self._plan.lead) + min(self._most, _EXPECTED_TOKENS)

    @property
    def width(self) -> int:
        """It never forks."""
        return 1

    @property
    def score(self) -> RawScore:
        """Of the value."""
        return RawScore(min(1.0, math.exp(self._log_p)))

    def next(self) -> Want | None:
        """Read what was written since."""
        if self._constraint is None:
            return None
        pending, self._pending = self._pending, ()
        return Extend(pending)

    def take(self, path: int, logits: Logits) -> None:
        """Write one token of the value."""
        del path  # there is only one
        constraint = self._constraint
        if constraint is None:
            return
        picked = constraint.pick(logits)
        if picked is None:
            self._fail(Defect.MALFORMED, "has no next token")
            return
        token, share = picked
        constraint.accept(token)
        self.tokens_out += 1
        self._log_p += math.log(max(share, 1e-300))
        self._pending = (token,)
        if self._plan.slot.holds(constraint.written):
            self._finish(json.loads(constraint.written[:-1]))
        elif self.tokens_out >= self._most:
            self._fail(Defect.CUT_OFF, f"was not finished within {self._most} tokens")

    def _finish(self, data: object) -> None:
        try:
            self.value = self._plan.spec.parse(data)
        except ValueError as error:  # such as the 30th of February, or a number out of its range
            self._fail(Defect.MALFORMED, str(error))
        self.close()

    def _fail(self, defect: Defect, what: str) -> None:
        self.malformed = Malformed(defect=defect, detail=f"field {self._plan.slot.name} {what}")
        self.close()

    def close(self) -> None:
        """Give the constraint's state back; twice is harmless."""
        if self._constraint is not None:
            self._constraint.close()
            self._constraint = None


@dataclass(slots=True, kw_only=True)
class _Chosen:
    """A field that is chosen among candidates, null first."""

    plan: SlotPlan
    options: Sequence[Candidate]
    lane: ChoiceLane | None
    """None: there is nothing to choose."""


@dataclass(slots=True, kw_only=True)
class Recording:
    """One record on its way: a lane for each field that is not decided at once."""

    text: str
    chosen: list[_Chosen] = field(default_factory=list)
    written: list[tuple[SlotPlan, WriteLane]] = field(default_factory=list)
    names: Sequence[str] = ()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What has to be read."""
        picks = [one.lane for one in self.chosen if one.lane is not None]
        return (*picks, *(lane for _, lane in self.written))

    @property
    def tokens_out(self) -> int:
        """Tokens that were written or chosen."""
        picked = sum(len(one.lane.label_tokens) for one in self.chosen if one.lane is not None)
        return picked + sum(lane.tokens_out for _, lane in self.written)

    @property
    def answer(self) -> Fields | Malformed:
        """The fields in the job's order, or what was wrong; only once all lanes are done."""
        values: dict[str, FieldValue] = {}
        spans: dict[str, Span] = {}
        for one in self.chosen:
            picked = one.options[0 if one.lane is None else one.lane.answer[0]]
            values[one.plan.slot.name] = picked.value
            if picked.end > picked.start:
                spans[one.plan.slot.name] = (picked.start, picked.end)
        for plan, lane in self.written:
            if lane.malformed is not None:
                return lane.malformed
            values[plan.slot.name] = lane.value
            if isinstance(lane.value, str) and (start := self.text.find(lane.value)) >= 0:
                spans[plan.slot.name] = (start, start + len(lane.value))
        return Fields({name: values[name] for name in self.names}, spans)

    @property
    def field_scores(self) -> dict[str, RawScore]:
        """Of every field, in the job's order."""
        scores = {
            one.plan.slot.name: _SURE if one.lane is None else RawScore(one.lane.answer[1]) for one in self.chosen
        } | {plan.slot.name: lane.score for plan, lane in self.written}
        return {name: scores[name] for name in self.names}

    def close(self) -> None:
        """Give back what an unfinished record holds."""
        for _, lane in self.written:
            lane.close()


def record_of(
    plan: Sequence[SlotPlan],
    text: str,
    *,
    vocab: Vocab,
    end_ids: NDArray[np.int64],
    max_answer_tokens: int,
) -> Recording:
    """Lay out a record's lanes; each begins where the answer begins."""
    found = Recording(text=text, names=[one.slot.name for one in plan])
    source: Copyable | None = None
    for one in plan:
        options = _options(one.spec, text)
        if options is not None:
            found.chosen.append(_Chosen(plan=one, options=options, lane=_pick(one, options, vocab, end_ids)))
            continue
        if one.grammar is None:
            source = source or Copyable(text, vocab, end=one.slot.end)
            constraint: _Constraint = SpanConstraint(source)
        else:
            constraint = one.grammar.begin()
        found.written.append((one, WriteLane(one, constraint, max_answer_tokens=max_answer_tokens)))
    return found


def is_chosen(spec: FieldSpec) -> bool:
    """Tell whether a field's values can be listed for any text."""
    return spec.type != "list" and (spec.scalar in {"boolean", "one_of"} or is_listed(spec))


def is_held_to_text(spec: FieldSpec) -> bool:
    """Tell whether a value is written as a span of the text."""
    return spec.type == "string" and spec.copied and spec.pattern is None


def _options(spec: FieldSpec, text: str) -> list[Candidate] | None:
    if not is_chosen(spec):
        return None
    null = Candidate(None, "null", 0, 0)
    match spec.scalar:
        case "boolean":
            return [null, Candidate(True, "true", 0, 0), Candidate(False, "false", 0, 0)]  # noqa: FBT003 — a value
        case "one_of":
            named = [Candidate(one, json.dumps(one, ensure_ascii=False), 0, 0) for one in spec.options]
            return [null, *named]
        case _:
            return [null, *candidates(spec, text)]


def _pick(plan: SlotPlan, options: Sequence[Candidate], vocab: Vocab, end_ids: NDArray[np.int64]) -> ChoiceLane | None:
    if len(options) == 1:
        return None
    literals = [f" {option.literal}{plan.slot.end}" for option in options]
    trie = LabelTrie([tuple(vocab.plain(literal)) for literal in literals], literals)
    return ChoiceLane(trie, plan.lead, end_ids)

"""Extracting fields: each field is a lane of its own behind the item's text, read beside the others.

A field whose possible values can be listed (candidates that stand in the text, options, true and false) is chosen among
them like a label: often without writing a single token, and with an exact probability. Others are written token by
token: strings and lists held to what the text says, what is not copied to a grammar.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.choice import ChoiceLane
from pipeline.adapters.llama.copying import Copyable, CopyConstraint, Frame
from pipeline.adapters.llama.lanes import Lane
from pipeline.adapters.llama.sources import Source, literals, spans_of_text
from pipeline.adapters.llama.vocab import Vocab
from pipeline.adapters.llama.writing import CopyLane, SlotPlan, WriteLane
from pipeline.domain.answers import Fields, FieldValue, Malformed, Span, Where
from pipeline.domain.claims import Claim, lost_claims
from pipeline.domain.fields import FieldSpec
from pipeline.domain.scores import RawScore
from pipeline.domain.spans import Candidate, candidates, is_listed, place_of
from pipeline.domain.trie import LabelTrie

_SURE = RawScore(1.0)
_NULL = Candidate(None, "null", 0, 0)
_Finder: TypeAlias = Callable[[FieldValue], Span | None]
"""Where the text says one value."""


@dataclass(slots=True, kw_only=True)
class _Chosen:
    """A field that is chosen among candidates, null first."""

    plan: SlotPlan
    options: Sequence[Candidate]
    lane: ChoiceLane | None
    """None: there is nothing to choose."""


@dataclass(slots=True, kw_only=True)
class _Written:
    """A field that is written."""

    plan: SlotPlan
    lane: WriteLane
    find: _Finder


@dataclass(slots=True, kw_only=True)
class Recording:
    """One record on its way: a lane for each field that is not decided at once."""

    chosen: list[_Chosen] = field(default_factory=list)
    written: list[_Written] = field(default_factory=list)
    names: Sequence[str] = ()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What has to be read."""
        picks = [one.lane for one in self.chosen if one.lane is not None]
        return (*picks, *(one.lane for one in self.written))

    @property
    def tokens_out(self) -> int:
        """Tokens that were written or chosen."""
        picked = sum(len(one.lane.label_tokens) for one in self.chosen if one.lane is not None)
        return picked + sum(one.lane.tokens_out for one in self.written)

    @property
    def answer(self) -> tuple[Fields | Malformed, dict[str, RawScore]]:
        """The fields in the job's order, or what was wrong, and each field's score; only once all lanes are done."""
        values: dict[str, FieldValue] = {}
        spans: dict[str, Where] = {}
        scores: dict[str, RawScore] = {}
        for one in self.chosen:
            picked = one.options[0 if one.lane is None else one.lane.answer[0]]
            values[one.plan.slot.name] = picked.value
            scores[one.plan.slot.name] = _SURE if one.lane is None else RawScore(one.lane.answer[1])
            if picked.end > picked.start:
                spans[one.plan.slot.name] = (picked.start, picked.end)
        for other in self.written:
            if other.lane.malformed is not None:
                return other.lane.malformed, {}
            values[other.plan.slot.name] = other.lane.value
            scores[other.plan.slot.name] = other.lane.score
            where = _where(other.lane.value, other.find)
            if where is not None:
                spans[other.plan.slot.name] = where
        for name, score in self._given_way(spans, scores).items():
            values[name], scores[name] = None, RawScore(score)
            del spans[name]
        return Fields({name: values[name] for name in self.names}, spans), {name: scores[name] for name in self.names}

    def _given_way(self, spans: Mapping[str, Where], scores: Mapping[str, RawScore]) -> dict[str, float]:
        """Return which fields give way to others of their type that stand at the same place, and how sure that is."""
        claims: dict[str, dict[str, Claim]] = {}
        fields: Sequence[_Chosen | _Written] = [*self.chosen, *self.written]
        for one in fields:
            name, spec = one.plan.slot.name, one.plan.spec
            if name in spans and spec.type != "list" and not spec.shared:
                start, end = spans[name]
                if isinstance(start, int) and isinstance(end, int):
                    claims.setdefault(spec.scalar, {})[name] = Claim((start, end), scores[name].value)
        return {name: score for rivals in claims.values() for name, score in lost_claims(rivals).items()}

    def close(self) -> None:
        """Give back what an unfinished record holds."""
        for one in self.written:
            one.lane.close()


def record_of(
    plan: Sequence[SlotPlan],
    text: str,
    *,
    vocab: Vocab,
    end_ids: NDArray[np.int64],
    max_answer_tokens: int,
) -> Recording:
    """Lay out a record's lanes; each begins where the answer begins."""
    found = Recording(names=[one.slot.name for one in plan])
    spans = _Spans(text, vocab)
    for one in plan:
        if is_chosen(one.spec):
            options = [_NULL, *_options(one.spec, text)]
            found.chosen.append(_Chosen(plan=one, options=options, lane=_pick(one, options, vocab, end_ids)))
            continue
        find: _Finder = spans.find
        if one.grammar is not None:
            lane = WriteLane(one, one.grammar.begin(), max_answer_tokens=max_answer_tokens)
        else:
            copyable, find = _copyable(one, spans)
            if not copyable.source.starts:
                found.chosen.append(_Chosen(plan=one, options=[_NULL], lane=None))
                continue
            lane = CopyLane(one, CopyConstraint(copyable, vocab), max_answer_tokens=max_answer_tokens)
        found.written.append(_Written(plan=one, lane=lane, find=find))
    return found


def is_chosen(spec: FieldSpec) -> bool:
    """Tell whether a field's values can be listed for any text."""
    return spec.type != "list" and (spec.scalar in {"boolean", "one_of"} or is_listed(spec))


def is_held(spec: FieldSpec) -> bool:
    """Tell whether a value is written out of what the text, or the options, offer: each of a list's once.

    Lists of booleans stay under a grammar: they are no sets.
    """
    if spec.type == "list":
        return spec.scalar == "one_of" or (spec.copied and spec.scalar != "boolean")
    return spec.type == "string" and spec.copied and spec.pattern is None


class _Spans:
    """The spans of one text, made ready once for all fields that copy them."""

    def __init__(self, text: str, vocab: Vocab) -> None:
        self.text = text
        self.vocab = vocab
        self._made: dict[Frame, Copyable] = {}

    @cached_property
    def _source(self) -> Source:
        return spans_of_text(self.text, self.vocab.pieces.single_bytes)

    def within(self, frame: Frame) -> Copyable:
        """Return what fields of this frame may be."""
        made = self._made.get(frame)
        if made is None:
            made = self._made[frame] = Copyable(self._source, frame, self.vocab.pieces)
        return made

    def find(self, value: FieldValue) -> Span | None:
        """Return where a string stands."""
        return place_of(value, self.text) if isinstance(value, str) else None


def _copyable(plan: SlotPlan, spans: _Spans) -> tuple[Copyable, _Finder]:
    """Return what a field may be that is held to the text, and where its values stand."""
    spec, listed = plan.spec, plan.spec.type == "list"
    if spec.scalar == "string" and spec.pattern is None:
        return spans.within(Frame.of(listed=listed, quoted=True, end=plan.slot.end)), spans.find
    # 24 and 24.00 are one value: in a list the first way to say it is enough.
    options = list({one.value: one for one in reversed(_options(spec, spans.text))}.values())[::-1]
    quoted = all(isinstance(one.value, str) for one in options)
    source = literals(
        [one.literal[1:-1] if quoted else one.literal for one in options], spans.vocab.pieces.single_bytes
    )
    places = {one.value: (one.start, one.end) for one in options if one.end > one.start}
    frame = Frame.of(listed=listed, quoted=quoted, end=plan.slot.end)
    return Copyable(source, frame, spans.vocab.pieces), places.get


def _where(value: FieldValue, find: _Finder) -> Where | None:
    """Return a value's place; of a list one for each member, or None where one of them is not known."""
    if not isinstance(value, tuple):
        return find(value)
    places = [place for place in map(find, value) if place is not None]
    return tuple(places) if places and len(places) == len(value) else None


def _options(spec: FieldSpec, text: str) -> list[Candidate]:
    match spec.scalar:
        case "boolean":
            return [Candidate(True, "true", 0, 0), Candidate(False, "false", 0, 0)]  # noqa: FBT003 — a value
        case "one_of":
            return [Candidate(one, json.dumps(one, ensure_ascii=False), 0, 0) for one in spec.options]
        case _:
            return candidates(spec, text)


def _pick(plan: SlotPlan, options: Sequence[Candidate], vocab: Vocab, end_ids: NDArray[np.int64]) -> ChoiceLane | None:
    if len(options) == 1:
        return None
    written = [f" {option.literal}{plan.slot.end}" for option in options]
    trie = LabelTrie([tuple(vocab.plain(one)) for one in written], written)
    return ChoiceLane(trie, plan.lead, end_ids)

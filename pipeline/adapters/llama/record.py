"""Extracting fields: an item's lane through the slots of the object, one value at a time under its own grammar."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.adapters.llama.constraint import Constraint, Grammar
from pipeline.adapters.llama.lanes import Extend, Want
from pipeline.domain.answers import Defect, Fields, Malformed
from pipeline.domain.fields import FieldSpec, parse_object
from pipeline.domain.grammar import Slot
from pipeline.domain.scores import RawScore
from pipeline.domain.trie import Logits, Tokens

_EXPECTED_TOKENS = 24  # of one field; for the cells that are set aside, no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """A slot, ready for this model."""

    slot: Slot
    lead: Tokens
    """What we write before the value."""
    grammar: Grammar


class RecordLane:
    """Reads the item and the first key; then takes the value token by token and writes the next key itself.

    A field's score is the product, over the value's tokens and its end sign, of the probability among the tokens that
    the grammar allows (see `Constraint.pick` for how near); decoding is greedy.
    """

    def __init__(
        self, fields: Mapping[str, FieldSpec], plan: Sequence[SlotPlan], tokens: Tokens, *, max_answer_tokens: int
    ) -> None:
        """`tokens` are the item's own, up to where the answer begins."""
        self._fields = fields
        self._plan = plan
        self._prompt = len(tokens)
        self._most = max_answer_tokens
        self._pending: Tokens = tokens
        self._parts: list[str] = []
        self._log_ps: list[float] = []
        self._constraint: Constraint | None = None
        self._malformed: Malformed | None = None
        self.tokens_out = 0
        """Tokens of the answer so far, our keys included: what an endpoint would have charged."""
        self._open_slot()

    @property
    def cells(self) -> int:
        """Tokens that it is expected to come to."""
        return self._prompt + min(self._most, _EXPECTED_TOKENS * len(self._plan))

    @property
    def width(self) -> int:
        """It never forks."""
        return 1

    def next(self) -> Want | None:
        """Read what was written since."""
        if self._malformed is not None or self._constraint is None:
            self.close()
            return None
        pending, self._pending = self._pending, ()
        return Extend(pending)

    def take(self, path: int, logits: Logits) -> None:
        """Write one token of the value, and what follows from it."""
        del path  # there is only one
        constraint = self._constraint
        if constraint is None:
            return
        picked = constraint.pick(logits)
        if picked is None:
            self._malformed = Malformed(defect=Defect.MALFORMED, detail=f"field {self._slot.name} has no next token")
            return
        token, share = picked
        constraint.accept(token)
        self.tokens_out += 1
        self._log_ps[-1] += math.log(max(share, 1e-300))
        self._pending = (*self._pending, token)
        if self._slot.holds(constraint.written):
            self._parts.append(self._slot.lead + constraint.written.decode())
            constraint.close()
            self._constraint = None
            if len(self._parts) < len(self._plan):
                self._open_slot()
        if self._constraint is not None and self.tokens_out >= self._most:
            detail = f"field {self._slot.name} was not finished within {self._most} tokens"
            self._malformed = Malformed(defect=Defect.CUT_OFF, detail=detail)

    @property
    def _slot(self) -> Slot:
        return self._plan[len(self._log_ps) - 1].slot

    def _open_slot(self) -> None:
        plan = self._plan[len(self._parts)]
        self._pending += plan.lead
        self.tokens_out += len(plan.lead)
        self._log_ps.append(0.0)
        self._constraint = plan.grammar.begin()

    def close(self) -> None:
        """Give the grammar's state back."""
        if self._constraint is not None:
            self._constraint.close()

    @property
    def answer(self) -> Fields | Malformed:
        """The fields, or what was wrong; only once `next` returned None."""
        if self._malformed is not None:
            return self._malformed
        try:
            return Fields(parse_object(self._fields, json.loads("".join(self._parts))))
        except ValueError as error:  # such as the 30th of February, or a number out of its range
            return Malformed(defect=Defect.MALFORMED, detail=str(error))

    @property
    def field_scores(self) -> dict[str, RawScore]:
        """Of the fields that were finished."""
        done = zip(self._plan, self._log_ps[: len(self._parts)], strict=False)
        return {plan.slot.name: RawScore(min(1.0, math.exp(log_p))) for plan, log_p in done}

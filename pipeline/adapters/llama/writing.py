"""Writing one field's value token by token, held to what is allowed: a grammar, or what may be copied from the text."""

import json
import math
from dataclasses import dataclass
from typing import Protocol

from pipeline.adapters.llama.constraint import Grammar
from pipeline.adapters.llama.copying import CopyConstraint
from pipeline.adapters.llama.lanes import Extend, Want
from pipeline.domain.answers import Defect, FieldValue, Malformed
from pipeline.domain.fields import FieldSpec
from pipeline.domain.grammar import Slot
from pipeline.domain.scores import RawScore
from pipeline.domain.trie import Listed, Logits, Tokens

EXPECTED_TOKENS = 24
"""Of one field: for the cells that are set aside, no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """A field, ready for this model."""

    slot: Slot
    spec: FieldSpec
    lead: Tokens
    """What we write before the value."""
    grammar: Grammar | None
    """None where a value is chosen, or held to the text."""


class Constraint(Protocol):
    """What holds a value to what is allowed while it is written."""

    @property
    def written(self) -> bytes:
        """All that was accepted."""
        ...

    def pick(self, logits: Logits) -> tuple[int, float] | None:
        """Return the most probable allowed token and its probability among the allowed; None without any."""
        ...

    def accept(self, token: int) -> None:
        """Go on behind an allowed token."""
        ...

    def forced(self) -> int | None:
        """Return the token that alone may come next; None where there is a choice or it takes long to tell."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


class WriteLane:
    """Writes one value token by token; decoding is greedy.

    Its score is the product, over the value's tokens and its end sign, of the probability among the allowed tokens.
    """

    def __init__(self, plan: SlotPlan, constraint: Constraint, *, max_answer_tokens: int) -> None:
        """Begin with the field's key."""
        self._plan = plan
        self._constraint: Constraint | None = constraint
        self._most = max_answer_tokens
        self._pending: Tokens = plan.lead
        self._log_p = 0.0
        self.malformed: Malformed | None = None
        self.value: FieldValue = None
        self.tokens_out = 0

    @property
    def cells(self) -> int:
        """Tokens that it is expected to come to."""
        return len(self._plan.lead) + min(self._most, EXPECTED_TOKENS)

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
        """Write one token of the value, and those behind it that it forces: they are certain without being read."""
        del path  # there is only one
        if self._constraint is not None:
            self._write(self._constraint, self._constraint.pick(logits))

    def _write(self, constraint: Constraint, picked: tuple[int, float] | None) -> None:
        if picked is None:
            self._fail(Defect.MALFORMED, "has no next token")
            return
        token: int | None
        token, share = picked
        self._log_p += math.log(max(share, 1e-300))
        while token is not None:
            constraint.accept(token)
            self.tokens_out += 1
            self._pending += (token,)
            if self._plan.slot.holds(constraint.written):
                self._finish(json.loads(constraint.written[:-1]))
                return
            if self.tokens_out >= self._most:
                self._fail(Defect.CUT_OFF, f"was not finished within {self._most} tokens")
                return
            token = constraint.forced()

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


class CopyLane(WriteLane):
    """Writes a value that is copied: it looks at the logits of what the text offers and at no others."""

    def __init__(self, plan: SlotPlan, constraint: CopyConstraint, *, max_answer_tokens: int) -> None:
        """Begin with the field's key."""
        super().__init__(plan, constraint, max_answer_tokens=max_answer_tokens)
        self._copied = constraint

    def take_listed(self, path: int, logits: Listed) -> None:
        """Write as `take` does."""
        del path
        if self._constraint is not None:
            self._write(self._copied, self._copied.pick(logits))

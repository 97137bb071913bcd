"""Writing a value: what is certain without being read is not read."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.adapters.llama.lanes import Extend
from pipeline.adapters.llama.writing import SlotPlan, WriteLane
from pipeline.domain.fields import FieldSpec
from pipeline.domain.grammar import slots
from pipeline.domain.trie import Logits

SPEC = FieldSpec(type="string")
LEAD = (1, 2)


class Script:
    """A constraint that allows, at each place, the tokens of one step; token n writes the n-th piece."""

    def __init__(self, pieces: Sequence[bytes], steps: Sequence[Sequence[int]]) -> None:
        self.pieces = pieces
        self.steps = list(steps)
        self.written = b""

    def pick(self, logits: Logits) -> tuple[int, float] | None:
        del logits
        return self.steps[0][0], 1 / len(self.steps[0])

    def accept(self, token: int) -> None:
        assert token in self.steps.pop(0)
        self.written += self.pieces[token]

    def forced(self) -> int | None:
        return self.steps[0][0] if len(self.steps[0]) == 1 else None

    def close(self) -> None:
        pass


def read_by(lane: WriteLane) -> list[tuple[int, ...]]:
    """Let a lane write to its end; returns what it wanted read, in order."""
    wants = []
    while (want := lane.next()) is not None:
        assert isinstance(want, Extend)
        wants.append(want.tokens)
        lane.take(0, np.zeros(8, dtype=np.float32))
    return wants


def lane_of(script: Script) -> WriteLane:
    (slot,) = slots([("name", SPEC)])
    return WriteLane(SlotPlan(slot=slot, spec=SPEC, lead=LEAD, grammar=None), script, max_answer_tokens=9)


def test_an_end_that_is_forced_is_not_read() -> None:
    lane = lane_of(Script([b" null", b' "', b"}"], [[0, 1], [2]]))
    assert read_by(lane) == [LEAD]
    assert lane.value is None
    assert lane.malformed is None
    assert lane.tokens_out == 2
    assert lane.score.value == 0.5


def test_forced_tokens_in_between_are_read_with_the_next_choice() -> None:
    script = Script([b' "', b"An", b"n", b"a", b'"', b"}"], [[0, 1], [1], [2], [3, 4], [4, 5], [5]])
    lane = lane_of(script)
    assert read_by(lane) == [LEAD, (0, 1, 2), (3,)]
    assert lane.value == "Anna"
    assert lane.score.value == pytest.approx(0.125)


def test_a_value_that_is_forced_beyond_the_limit_is_cut_off() -> None:
    lane = lane_of(Script([b' "', b"a"], [[0, 1], *([[1]] * 20)]))
    assert read_by(lane) == [LEAD]
    assert lane.malformed is not None
    assert lane.malformed.defect.value == "cut_off"

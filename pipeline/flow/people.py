"""Windows whose reference are people: texts drawn for them to label, and the thresholds that their labels allow.

Drawn are items of the whole window, since the last tier may be wrong too; it answers the drawn ones, so that each step
of the path can be judged: a cheap tier's answer where the step accepts it, the last tier's where it does not. The walk
begins where the last tier answers everything. Items that people label take their labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.answers import Plain
from pipeline.domain.bounds import binomial_tail, fewest_bad, most_left
from pipeline.domain.certify import Certificate, Drawing, Path, Promise, Refusal
from pipeline.domain.decisions import Decision, on_labels
from pipeline.domain.label_promises import LabelKept, LabelPromise
from pipeline.domain.sequence import Counted, Counts, believed, draws_needed, last_passed
from pipeline.flow.concluding import Advanced, PromiseStore, concluded
from pipeline.flow.scoring import same
from pipeline.flow.windows import Entries, entries_of, label_promises_of, promise_of, shared_lot
from pipeline.ports.store import LabelledAnswer, RunRecord, Window

_Flags = NDArray[np.bool_]
_ROUNDING = 1e-9


def draw_for_people(store: PromiseStore, run: RunRecord, window: Window) -> Advanced:
    """Fix what people are shown, from the items' lots alone, and let the last tier answer it."""
    promise, target = promise_of(run.job, window.step_no), run.job.target
    held, answered = store.held(run.id, window), store.answered(run.id, window)
    path, _ = entries_of(run.job, window, held, ())
    drawing = _drawing(promise, len(answered), 0 if target is None else target.sample, last=len(path.thresholds) - 1)
    lots = sorted(answered.tolist(), key=lambda item_no: shared_lot(run, window, item_no))
    notices = store.draw(run.id, window, drawing, sorted(lots[: drawing.drawn]))
    if notices is None:  # somebody else was first
        return Advanced()
    step = run.job.steps[window.step_no].name
    told = f"{step}: {drawing.drawn:,} of {drawing.region:,} texts are drawn for people to label"
    return Advanced(notices=notices, said=(told,))


def _drawing(promise: Promise, items: int, sample: int, *, last: int) -> Drawing:
    """Draw what the job says, and no fewer than could ever be enough."""
    budget = promise.budget(items)
    least = draws_needed(found=0, budget=budget, size=items, delta=promise.delta)
    drawn = min(items, max(sample, least or 0))
    allowed = 0
    while allowed < drawn and believed(allowed + 1, drawn=drawn, budget=budget, size=items, delta=promise.delta):
        allowed += 1
    return Drawing(last=last, region=items, drawn=drawn, allowed=allowed, expected_avoided=0.0)


def decide_by_people(store: PromiseStore, run: RunRecord, window: Window) -> Advanced:
    """Walk the path by people's labels; where some are missing, hold the run until they are there."""
    if window.drawing is None:
        return Advanced()
    drawn = store.labelled_answers(run.id, window)
    missing = sum(not one.labelled for one in drawn)
    if missing:
        reason = on_labels(missing, run.name)
        return Advanced(said=(reason,)) if store.wait(run.id, reason) else Advanced()
    held = store.held(run.id, window)
    taken = [(one.tier_no, one.confidence) for one in drawn if one.tier_no is not None and one.confidence is not None]
    path, entries = entries_of(run.job, window, held, taken)
    seen = _Seen.of(drawn, entries.min(axis=1)[: len(taken)], len(path.thresholds))
    promise = promise_of(run.job, window.step_no)
    labels = tuple(_kept(one, seen, window.items) for one in label_promises_of(run.job, window.step_no))
    return concluded(store, run, window, _decision(promise, path, seen, labels, entries[len(taken) :], window))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The drawn items; flags and entries (drawn,)."""

    steps: int
    entries: NDArray[np.int64]
    """The first step that accepts the cheap tier's answer; `steps` where none does."""
    cheap: tuple[Plain, ...]
    top: tuple[Plain, ...]
    """What is said where the step does not accept; None where the last tier has no answer."""
    label: tuple[Plain, ...]
    cheap_wrong: _Flags
    top_wrong: _Flags

    @classmethod
    def of(cls, drawn: Sequence[LabelledAnswer], accepted_from: NDArray[np.int64], steps: int) -> "_Seen":
        entries = np.full(len(drawn), steps, dtype=np.int64)
        entries[[one.tier_no is not None for one in drawn]] = accepted_from
        right = [(one.answer is not None and same(one.answer.value, one.label)) for one in drawn]
        top_right = [(one.top is not None and same(one.top.value, one.label)) for one in drawn]
        return cls(
            steps=steps,
            entries=entries,
            cheap=tuple(None if one.answer is None else one.answer.value for one in drawn),
            top=tuple(None if one.top is None else one.top.value for one in drawn),
            label=tuple(one.label for one in drawn),
            cheap_wrong=~np.array(right, dtype=np.bool_),
            top_wrong=~np.array(top_right, dtype=np.bool_),
        )

    def along(self, strict: _Flags, loose: _Flags) -> Counts:
        """Count, at each step, the items that are flagged: by `loose` where it accepts, by `strict` where not."""
        change = loose.astype(np.int64) - strict.astype(np.int64)
        steps = np.bincount(self.entries, weights=change, minlength=self.steps + 1)[: self.steps]
        return (int(strict.sum()) + np.cumsum(steps)).round().astype(np.int64)


def _decision(
    promise: Promise, path: Path, seen: _Seen, labels: tuple[LabelKept, ...], held: Entries, window: Window
) -> Decision:
    drawn, items = len(seen.label), window.items
    lost = seen.along(seen.top_wrong, seen.cheap_wrong)
    all_steps = np.ones(seen.steps, dtype=np.int64)
    counted = Counted(
        sizes=items * all_steps, drawn=drawn * all_steps, lost=lost, budgets=promise.budget(items) * all_steps
    )
    step = last_passed(counted, first=0, last=seen.steps - 1, delta=promise.delta)
    if step is None or any(one.step < 0 for one in labels):
        alone = int(lost[0])
        left = most_left(found=alone, drawn=drawn, size=items, delta=promise.delta)
        return Refusal(
            promise=promise,
            items=items,
            drawn=drawn,
            lost=alone,
            best_target=1.0 - (left + alone) / items,
            must_go_up=1.0,
            labels=labels,
        )
    step = min([step, *(one.step for one in labels)])
    stand = int(np.count_nonzero(held.min(axis=1) <= step)) if len(held) else 0
    found = int(lost[step])
    return Certificate(
        promise=promise,
        items=items,
        region=items,
        drawn=drawn,
        lost=found,
        step=step,
        thresholds=path.thresholds[step],
        goes_up=1.0 - stand / items,
        left_at_most=most_left(found=found, drawn=drawn, size=items, delta=promise.delta) / items,
        labels=labels,
    )


def _kept(promise: LabelPromise, seen: _Seen, items: int) -> LabelKept:
    """Walk for one label; its step is -1 where not even the last tier alone is shown to keep the promise."""
    cheap, top, label = (
        np.array([value == promise.label for value in values], dtype=np.bool_)
        for values in (seen.cheap, seen.top, seen.label)
    )
    if promise.what == "recall":
        lost = seen.along(label & ~top, label & ~cheap)
        of = np.full(seen.steps, int(label.sum()), dtype=np.int64)
        have = fewest_bad(found=int(label.sum()), drawn=len(label), size=items, delta=promise.delta / 2)
        budget = floor((1.0 - promise.target) * have + _ROUNDING)
        passes = [
            believed(int(one), drawn=len(label), budget=budget, size=items, delta=promise.delta / 2) for one in lost
        ]
    else:
        lost, of = seen.along(top & ~label, cheap & ~label), seen.along(top, cheap)
        passes = [
            binomial_tail(int(one), drawn=int(all_of), rate=1.0 - promise.target) <= promise.delta
            for one, all_of in zip(lost, of, strict=True)
        ]
    step = passes.index(False) - 1 if False in passes else seen.steps - 1
    at = max(step, 0)
    return LabelKept(
        label=promise.label,
        what=promise.what,
        target=promise.target,
        step=step,
        seen=int(of[at]),
        lost=int(lost[at]),
    )

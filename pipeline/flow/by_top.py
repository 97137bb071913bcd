"""Windows whose reference is the last tier: what it is shown, and the thresholds that its answers allow."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import allowed_found
from pipeline.domain.certify import Certificate, Drawing, Promise, Refusal, certify, lost_from
from pipeline.domain.drawing import cautious_doubts, choose_drawing
from pipeline.domain.job import Job
from pipeline.domain.label_promises import Answered, LabelKept, LabelPromise, draws_for, kept
from pipeline.flow.concluding import Advanced, PromiseStore, concluded, told_cost
from pipeline.flow.scoring import same
from pipeline.flow.windows import Entries, columns_of, entries_of, label_promises_of, lot, promise_of
from pipeline.ports.store import DrawnAnswer, HeldAnswers, RunRecord, Window

_MOST_DRAWN = 0.5
"""Where a label's promise needs a larger share of the region than this, asking the last tier everything costs less."""


def draw(store: PromiseStore, run: RunRecord, window: Window) -> Advanced:
    """Fix what is drawn from the held answers' confidences alone, and send it up."""
    held = store.held(run.id, window)
    promise = promise_of(run.job, window.step_no)
    accepted_from, drawing = chosen(run.job, window, held)
    if drawing is None:
        return concluded(store, run, window, _nothing_spared(promise, window, held))
    accepted_from = accepted_from[: len(held.item_nos)]
    asked = label_promises_of(run.job, window.step_no)
    if asked:
        values = np.array(store.held_values(run.id, window), dtype=np.object_)
        found = _enough_for_labels(promise, drawing, asked, values[accepted_from <= drawing.last], window.items)
        if isinstance(found, Refusal):
            return concluded(store, run, window, found)
        drawing = found
    region = held.item_nos[accepted_from <= drawing.last]
    drawn = sorted(sorted(region.tolist(), key=lambda item_no: lot(run, window, item_no))[: drawing.drawn])
    cost = told_cost(store, run, len(drawn))
    notices = store.draw(run.id, window, drawing, drawn)
    if notices is None:  # somebody else was first
        return Advanced()
    if not drawn:  # so few are held that all of them may be wrong
        return decide(store, run, replace(window, drawing=drawing))
    top, step = run.job.tiers[run.job.ladder(window.step_no)[-1]].name, run.job.steps[window.step_no].name
    told = f"{step}: {drawing.drawn:,} of {drawing.region:,} held answers are drawn and asked of {top}{cost}"
    return Advanced(notices=notices, said=(told,))


def chosen(job: Job, window: Window, held: HeldAnswers) -> tuple[NDArray[np.int64], Drawing | None]:
    """Return at which step each item of a window is accepted first, and how many to draw; None: nothing is spared."""
    path, entries = entries_of(job, window, held, ())
    accepted_from = entries.min(axis=1)
    doubts = np.ones(window.items)
    doubts[: len(held.item_nos)] = _doubts(held)
    promise = promise_of(job, window.step_no)
    return accepted_from, choose_drawing(promise, accepted_from, doubts, steps=len(path.thresholds))


def _nothing_spared(promise: Promise, window: Window, held: HeldAnswers) -> Refusal:
    return Refusal(
        promise=promise,
        items=window.items,
        drawn=0,
        lost=0,
        best_target=1.0 - len(held.item_nos) / max(window.items, 1),
        must_go_up=0.0,
    )


def _enough_for_labels(
    promise: Promise, drawing: Drawing, asked: Sequence[LabelPromise], values: NDArray[np.object_], items: int
) -> Drawing | Refusal:
    """Draw more where a label's promise needs it; refuse before anything is bought where it needs nearly all."""
    needed = {one: draws_for(one, values) for one in asked}
    hopeless = tuple(
        LabelKept(label=one.label, what=one.what, target=one.target, step=0, seen=0, lost=0)
        for one, count in needed.items()
        if count is None or count > _MOST_DRAWN * drawing.region
    )
    if hopeless:
        return Refusal(
            promise=promise,
            items=items,
            drawn=0,
            lost=0,
            best_target=1.0 - drawing.region / max(items, 1),
            must_go_up=0.0,
            labels=hopeless,
        )
    drawn = max(drawing.drawn, *(count or 0 for count in needed.values()))
    allowed = allowed_found(drawn=drawn, left=promise.budget(items), size=drawing.region, delta=promise.delta)
    return replace(drawing, drawn=drawn, allowed=drawing.allowed if allowed is None else allowed)


def _doubts(held: HeldAnswers) -> NDArray[np.float64]:
    """Return each held answer's chance to be wrong: what its tier has learned, or a cautious guess."""
    return np.where(held.calibrated, 1.0 - held.confidences, cautious_doubts(held.confidences))


def decide(store: PromiseStore, run: RunRecord, window: Window) -> Advanced:
    """Compare the drawn answers with the last tier's, and walk the path."""
    if window.drawing is None:
        return Advanced()
    drawn, held = store.drawn_answers(run.id, window), store.held(run.id, window)
    path, entries = entries_of(run.job, window, held, [(one.tier_no, one.confidence) for one in drawn])
    columns = columns_of(run.job, window.step_no)
    wrong = np.zeros((len(drawn), len(columns)), dtype=np.bool_)
    for number, one in enumerate(drawn):
        agrees = one.reference is not None and same(one.answer.value, one.reference.value)
        wrong[number, columns[one.tier_no]] = not agrees
    decision = certify(
        promise_of(run.job, window.step_no),
        path,
        window.drawing,
        entries,
        range(len(drawn)),
        lost_from(entries[: len(drawn)], wrong),
        _labels(store, run, window, drawn, entries),
    )
    audited = _audited(run, window, held, decision) if isinstance(decision, Certificate) else ()
    return concluded(store, run, window, decision, audited)


def _labels(
    store: PromiseStore, run: RunRecord, window: Window, drawn: Sequence[DrawnAnswer], entries: Entries
) -> tuple[LabelKept, ...]:
    asked = label_promises_of(run.job, window.step_no)
    if not asked or window.drawing is None:
        return ()
    values = np.array([*(one.answer.value for one in drawn), *store.held_values(run.id, window)], dtype=np.object_)
    answered = Answered(
        accepted_from=entries.min(axis=1)[: len(values)],
        labels=values,
        references=[None if one.reference is None else one.reference.value for one in drawn],
    )
    return tuple(kept(one, answered, last=window.drawing.last) for one in asked)


def _audited(run: RunRecord, window: Window, held: HeldAnswers, certificate: Certificate) -> Sequence[int]:
    """Choose, by other lots than those of the drawing, which of the answers that may stand are audited."""
    columns = columns_of(run.job, window.step_no)
    least = np.array(certificate.thresholds)[[columns[tier_no] for tier_no in held.tier_nos.tolist()]]
    standing = held.item_nos[held.confidences >= least].tolist()
    share = 0.0 if run.job.target is None else run.job.target.audit
    lots = sorted(standing, key=lambda item_no: lot(run, window, item_no, "audit"))
    return sorted(lots[: ceil(share * len(standing))])

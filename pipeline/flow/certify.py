"""Certify: what is held back becomes thresholds with a promise, once a run is at rest.

ingest → every cheap tier answers, and what it would accept is held → items are drawn from these by a seeded hash and
shown to the reference → the thresholds that keep the promise let answers stand, and all others go up. What is drawn is
stored before an answer of the reference is seen; a process that dies in between changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.audit import audited, wrong_allowed
from pipeline.domain.certify import Certificate, Path, Promise, Refusal, certify, common_path, lost_from
from pipeline.domain.decisions import Decision, describe, describe_withdrawal
from pipeline.domain.drawing import cautious_doubts, choose_drawing
from pipeline.domain.job import Job
from pipeline.flow.scoring import same
from pipeline.ports.store import CertifyStore, ChunkNotice, DrawnAnswer, HeldAnswers, RunRecord, Window, WorkStore

_Entries = NDArray[np.int64]


class PromiseStore(CertifyStore, WorkStore, Protocol):
    """What certifying needs of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What was done for a run's promises."""

    notices: tuple[ChunkNotice, ...] = ()
    said: tuple[str, ...] = ()
    """Lines for people: what was drawn, certified or refused."""


def promise_of(job: Job, step_no: int) -> Promise:
    """Return what is promised of a step: its target, and its part of the chance to fail."""
    if job.target is None:
        msg = "a job without a target promises nothing"
        raise ValueError(msg)
    steps = job.certified_steps
    return Promise(target=steps[step_no], delta=job.target.delta / len(steps))


def advance(store: CertifyStore, run: RunRecord) -> Advanced:
    """Draw or decide all windows of a run that is at rest; nothing otherwise. Safe from any number of places."""
    if run.job.target is None:
        return Advanced()
    notices: list[ChunkNotice] = []
    said: list[str] = []
    for window in store.windows(run.id):
        done = _draw(store, run, window) if window.drawing is None else _decide(store, run, window)
        notices += done.notices
        said += done.said
    return Advanced(notices=tuple(notices), said=tuple(said))


def _draw(store: CertifyStore, run: RunRecord, window: Window) -> Advanced:
    """Fix what is drawn from the held answers' confidences alone, and send it up."""
    promise = promise_of(run.job, window.step_no)
    held = store.held(run.id, window)
    path, entries = _entries(run.job, window, held, ())
    accepted_from = entries.min(axis=1)
    doubts = np.ones(window.items)
    doubts[: len(held.item_nos)] = _doubts(run.job, held)
    drawing = choose_drawing(promise, accepted_from, doubts, steps=len(path.thresholds))
    step = run.job.steps[window.step_no].name
    if drawing is None:
        nothing = Refusal(
            promise=promise,
            items=window.items,
            drawn=0,
            lost=0,
            best_target=1.0 - len(held.item_nos) / max(window.items, 1),
            must_go_up=0.0,
        )
        return _concluded(store, run, window, nothing)
    region = held.item_nos[accepted_from[: len(held.item_nos)] <= drawing.last]
    drawn = sorted(sorted(region.tolist(), key=lambda item_no: _lot(run, window, item_no))[: drawing.drawn])
    notices = store.draw(run.id, window, drawing, drawn)
    if not drawn:  # so few are held that all of them may be wrong
        return _decide(store, run, replace(window, drawing=drawing))
    if not notices:  # somebody else was first
        return Advanced()
    top = run.job.tiers[run.job.ladder(window.step_no)[-1]].name
    told = f"{step}: {drawing.drawn:,} of {drawing.region:,} held answers are drawn and asked of {top}"
    return Advanced(notices=notices, said=(told,))


def _doubts(job: Job, held: HeldAnswers) -> NDArray[np.float64]:
    """Return each held answer's chance to be wrong: what its tier has learned, or a cautious guess."""
    has_learned = np.array([tier.lesson is not None for tier in job.tiers])[held.tier_nos]
    return np.where(has_learned, 1.0 - held.confidences, cautious_doubts(held.confidences))


def _lot(run: RunRecord, window: Window, item_no: int, purpose: str = "") -> bytes:
    """Return an item's lot: a run's name holds its source's hash, so that nobody can choose what is drawn."""
    return hashlib.sha256(f"{run.name}/{window.step_no}/{window.number}/{item_no}{purpose}".encode()).digest()


def _decide(store: CertifyStore, run: RunRecord, window: Window) -> Advanced:
    """Compare the drawn answers with the reference's, and walk the path."""
    if window.drawing is None:
        return Advanced()
    drawn, held = store.drawn_answers(run.id, window), store.held(run.id, window)
    path, entries = _entries(run.job, window, held, drawn)
    columns = _columns(run.job, window.step_no)
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
    )
    audited = _audited(run, window, held, decision) if isinstance(decision, Certificate) else ()
    return _concluded(store, run, window, decision, audited)


def _audited(run: RunRecord, window: Window, held: HeldAnswers, certificate: Certificate) -> Sequence[int]:
    """Choose, by other lots than those of the drawing, which of the answers that may stand are audited."""
    columns = _columns(run.job, window.step_no)
    least = np.array(certificate.thresholds)[[columns[tier_no] for tier_no in held.tier_nos.tolist()]]
    standing = held.item_nos[held.confidences >= least].tolist()
    share = 0.0 if run.job.target is None else run.job.target.audit
    lots = sorted(standing, key=lambda item_no: _lot(run, window, item_no, "audit"))
    return sorted(lots[: ceil(share * len(standing))])


def watch(store: CertifyStore, run: RunRecord) -> tuple[str, ...]:
    """Look at the audits of a run that is done; returns a line for each certificate that has to be withdrawn."""
    if run.job.target is None or not run.job.target.audit:
        return ()
    said = []
    for one in store.concluded(run.id):
        if not isinstance(one.decision, Certificate) or one.audit is not None:
            continue
        answers = store.audited_answers(run.id, one.window)
        wrong = [
            answer.reference is None or not same(answer.answer.value, answer.reference.value) for answer in answers
        ]
        promise = one.decision.promise
        accepted = round((1.0 - one.decision.goes_up) * one.decision.items)
        limit = wrong_allowed(budget=promise.budget(one.decision.items), accepted=accepted)
        found = audited(limit, promise.delta, wrong)
        if store.keep_audit(run.id, one.window, found) and found.withdrawn:
            said.append(describe_withdrawal(found, step=run.job.steps[one.window.step_no].name))
    return tuple(said)


def _concluded(
    store: CertifyStore, run: RunRecord, window: Window, decision: Decision, audited: Sequence[int] = ()
) -> Advanced:
    hold = run.job.target is not None and run.job.target.on_refused == "hold"
    notices = store.conclude(run.id, window, decision, hold=hold, audited=audited)
    if notices is None:  # somebody else was first
        return Advanced()
    return Advanced(notices=notices, said=(describe(decision, step=run.job.steps[window.step_no].name),))


def _columns(job: Job, step_no: int) -> dict[int, int]:
    """Return tier number → column, for the tiers below the reference."""
    return {tier_no: column for column, tier_no in enumerate(job.ladder(step_no)[:-1])}


def _entries(job: Job, window: Window, held: HeldAnswers, drawn: Sequence[DrawnAnswer]) -> tuple[Path, _Entries]:
    """Return the path, the same before and after the drawing, and each item's steps: drawn, held, and all others."""
    columns = _columns(job, window.step_no)
    tiers = [*(one.tier_no for one in drawn), *held.tier_nos.tolist()]
    confidences = np.full((len(tiers), len(columns)), np.nan)
    values = np.concatenate([np.array([one.confidence for one in drawn], dtype=np.float64), held.confidences])
    confidences[np.arange(len(tiers)), [columns[tier_no] for tier_no in tiers]] = values
    path = common_path(confidences)
    others = np.full((window.items - len(tiers), len(columns)), len(path.thresholds), dtype=np.int64)
    return path, np.concatenate([path.entries(confidences), others])

"""Windows of a run at rest: the path that their confidences make, lots for drawing, and the part of delta they get."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.certify import Path, Promise, common_path
from pipeline.domain.job import Job
from pipeline.domain.label_promises import LabelPromise
from pipeline.ports.store import HeldAnswers, RunRecord, Window

Entries = NDArray[np.int64]


def promise_of(job: Job, step_no: int) -> Promise:
    """Return what is promised of a step: its target, and its part of the chance to fail."""
    if job.target is None:
        msg = "a job without a target promises nothing"
        raise ValueError(msg)
    return Promise(target=job.certified_steps[step_no], delta=_part(job, step_no))


def label_promises_of(job: Job, step_no: int) -> tuple[LabelPromise, ...]:
    """Return what is promised of single labels of a step, each with its part of the chance to fail."""
    delta = _part(job, step_no)
    return tuple(
        LabelPromise(label=label, what=what, target=share, delta=delta)
        for label, asked in job.label_targets(step_no).items()
        for what, share in asked.shares.items()
    )


def _part(job: Job, step_no: int) -> float:
    """Delta is divided among the steps, and a step's part among the whole and its labels."""
    delta = 0.0 if job.target is None else job.target.delta
    promises = 1 + sum(len(asked.shares) for asked in job.label_targets(step_no).values())
    return delta / len(job.certified_steps) / promises


def lot(run: RunRecord, window: Window, item_no: int, purpose: str = "") -> bytes:
    """Return an item's lot: a run's name holds its source's hash, so that nobody can choose what is drawn."""
    return hashlib.sha256(f"{run.name}/{window.step_no}/{window.number}/{item_no}{purpose}".encode()).digest()


def shared_lot(run: RunRecord, window: Window, item_no: int) -> bytes:
    """Return an item's lot for people: the same in all steps, so that one reading labels them all."""
    return hashlib.sha256(f"{run.name}/people/{window.number}/{item_no}".encode()).digest()


def columns_of(job: Job, step_no: int) -> dict[int, int]:
    """Return tier number → column, for the tiers below the last."""
    return {tier_no: column for column, tier_no in enumerate(job.ladder(step_no)[:-1])}


def entries_of(job: Job, window: Window, held: HeldAnswers, drawn: Sequence[tuple[int, float]]) -> tuple[Path, Entries]:
    """Return the path, the same before and after the drawing, and each item's steps: drawn, held, and all others.

    `drawn`: (tier number, confidence) of the answers that were held and drawn.
    """
    columns = columns_of(job, window.step_no)
    tiers = [*(tier_no for tier_no, _ in drawn), *held.tier_nos.tolist()]
    confidences = np.full((len(tiers), len(columns)), np.nan)
    values = np.concatenate([np.array([value for _, value in drawn], dtype=np.float64), held.confidences])
    confidences[np.arange(len(tiers)), [columns[tier_no] for tier_no in tiers]] = values
    path = common_path(confidences)
    others = np.full((window.items - len(tiers), len(columns)), len(path.thresholds), dtype=np.int64)
    return path, np.concatenate([path.entries(confidences), others])

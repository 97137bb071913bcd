"""What is done for a promise, told; and a window's decision, handed to the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from pipeline.domain.decisions import Decision, describe
from pipeline.domain.runs import RunProgress
from pipeline.ports.earlier import EarlierStore
from pipeline.ports.money import MoneyStore
from pipeline.ports.store import CertifyStore, ChunkNotice, RunRecord, Window, WorkStore


class PromiseStore(CertifyStore, WorkStore, MoneyStore, EarlierStore, Protocol):
    """What judging and certifying need of a store."""

    def progress(self, run_id: int) -> RunProgress:
        """See ReportStore."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What was done for a run's promises."""

    notices: tuple[ChunkNotice, ...] = ()
    said: tuple[str, ...] = ()
    """Lines for people: what was drawn, certified or refused."""


def concluded(
    store: CertifyStore, run: RunRecord, window: Window, decision: Decision, audited: Sequence[int] = ()
) -> Advanced:
    """Make a PolicyVersion of a decision; nothing where somebody else was first."""
    target = run.job.target
    hold = target is not None and target.on_refused == "hold"
    notices = store.conclude(run.id, window, decision, hold=hold, audited=audited)
    if notices is None or target is None:
        return Advanced()
    told = describe(decision, step=run.job.steps[window.step_no].name, reference=target.reference)
    return Advanced(notices=notices, said=(told,))


def told_cost(store: PromiseStore, run: RunRecord, answers: int) -> str:
    """Say what so many answers of the last tier are expected to cost; nothing where that is not known beforehand.

    It is their share of what a run all by the last tier is estimated to cost, which is known for prices by token.
    """
    now = store.progress(run.id)
    texts = (now.items - now.duplicates) * len(now.steps)
    if now.baseline_usd is None or not texts:
        return ""
    return f", for about ${now.baseline_usd * Decimal(answers) / Decimal(texts):.4f}"

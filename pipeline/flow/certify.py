"""Certify: what is held back becomes thresholds with a promise, once a run is at rest.

ingest → every cheap tier answers, and what it would accept is held → items are drawn by a seeded hash and shown to the
reference → the thresholds that keep the promise let answers stand, and all others go up. What is drawn is stored before
an answer of the reference is seen; a process that dies in between changes nothing. The reference is the last tier
(`by_top`) or people (`people`).
"""

from pipeline.domain.audit import audited, wrong_allowed
from pipeline.domain.certify import Certificate
from pipeline.domain.decisions import describe_withdrawal
from pipeline.domain.targets import PEOPLE
from pipeline.flow.by_top import decide, draw
from pipeline.flow.concluding import Advanced, PromiseStore
from pipeline.flow.people import decide_by_people, draw_for_people
from pipeline.flow.scoring import same
from pipeline.flow.windows import promise_of
from pipeline.ports.store import CertifyStore, ChunkNotice, RunRecord

__all__ = ["Advanced", "PromiseStore", "advance", "promise_of", "watch"]


def advance(store: PromiseStore, run: RunRecord) -> Advanced:
    """Draw or decide all windows of a run that is at rest; nothing otherwise. Safe from any number of places."""
    if run.job.target is None:
        return Advanced()
    first, then = (draw_for_people, decide_by_people) if run.job.target.reference == PEOPLE else (draw, decide)
    notices: list[ChunkNotice] = []
    said: list[str] = []
    windows = store.windows(run.id)
    for window in sorted(windows, key=lambda one: one.drawing is not None):  # a decision may hold the run
        done = (first if window.drawing is None else then)(store, run, window)
        notices += done.notices
        said += done.said
    if not windows:
        store.hold_refused(run.id)
    return Advanced(notices=tuple(notices), said=tuple(said))


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

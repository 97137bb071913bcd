"""Held answers, from drawing to thresholds: ports.store.CertifyStore."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.memory.rows import AttemptRow, ChunkState, Group, OutcomeRow, RunRow, Waiting, WindowRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Answer, Malformed, Plain
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing
from pipeline.domain.decisions import ON_HOLD, Decision
from pipeline.domain.outcomes import AUDITED, DRAWN, LOW_CONFIDENCE, Escalation, Held, Outcome, Verdict
from pipeline.domain.policy import FIRST_VERSION
from pipeline.domain.runs import RunState
from pipeline.domain.scores import Confidence
from pipeline.ports.store import ChunkNotice, Concluded, DrawnAnswer, HeldAnswers, LabelledAnswer, Window


class CertifyPart:
    """What makes thresholds of held answers."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def windows(self, run_id: int) -> Sequence[Window]:
        """Return, for each step with held answers, the window that is next; empty unless the run is at rest."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state is not RunState.RUNNING or not self._at_rest(run):
                return []
            steps = sorted({step_no for _, step_no, _ in held_rows(run)})
            found = [_window(run, step_no) for step_no in steps]
            return [one for one in found if one.first_item < one.until_item]

    def held(self, run_id: int, window: Window) -> HeldAnswers:
        """Return a window's held answers."""
        with self._tables.lock:
            rows = sorted(_within(self._tables.run(run_id), window), key=lambda row: row[0])
        return HeldAnswers(
            item_nos=np.array([item_no for item_no, _ in rows], dtype=np.int64),
            tier_nos=np.array([row.tier_no for _, row in rows], dtype=np.int64),
            confidences=np.array([_confidence(row).value for _, row in rows], dtype=np.float64),
            calibrated=np.array([_confidence(row).calibrated for _, row in rows], dtype=np.bool_),
        )

    def held_values(self, run_id: int, window: Window) -> Sequence[Plain]:
        """Return what a window's held answers say, in the order of `held`."""
        with self._tables.lock:
            rows = sorted(_within(self._tables.run(run_id), window), key=lambda row: row[0])
            return [_accepted(row).value for _, row in rows]

    def answered(self, run_id: int, window: Window) -> NDArray[np.int64]:
        """Return the numbers of a window's items that have an answer, held or standing, in their order."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            found = {item_no for item_no, _ in _within(run, window)}
            found |= {
                item_no
                for (item_no, step_no), row in run.outcomes.items()
                if step_no == window.step_no and window.first_item <= item_no < window.until_item and not row.unresolved
            }
        return np.array(sorted(found), dtype=np.int64)

    def draw(
        self, run_id: int, window: Window, drawing: Drawing, item_nos: Sequence[int]
    ) -> tuple[ChunkNotice, ...] | None:
        """Draw these items and send the held ones among them up; None where the window is drawn already."""
        with self._tables.lock:
            run, drawn = self._tables.run(run_id), set(item_nos)
            if not _is_next(run, window) or window.drawing is not None:
                return None
            kept = replace(window, drawing=drawing, drawn=tuple(item_nos))
            run.windows.append(WindowRow(window=kept))
            return self._send_up(run, window, lambda item_no: item_no in drawn, reason=DRAWN, version=FIRST_VERSION)

    def drawn_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """Return what was found of a window's drawn items, in the order of their numbers."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            return [self._drawn_answer(run, window, item_no, DRAWN) for item_no in sorted(window.drawn)]

    def audited_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """Return what was found of a window's audited items, in the order of their numbers."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            found = sorted(
                item_no
                for (item_no, step_no), rows in run.attempts.items()
                if step_no == window.step_no
                and window.first_item <= item_no < window.until_item
                and any(_went_up(row.attempt.outcome, AUDITED) for row in rows.values())
            )
            return [self._drawn_answer(run, window, item_no, AUDITED) for item_no in found]

    def keep_audit(self, run_id: int, window: Window, audit: Audited) -> bool:
        """Keep what the audit of a decided window came to; returns whether this was the first."""
        with self._tables.lock:
            row = next(
                one
                for one in self._tables.run(run_id).windows
                if (one.window.step_no, one.window.number) == (window.step_no, window.number)
            )
            if row.audit is not None:
                return False
            row.audit = audit
            return True

    def labelled_answers(self, run_id: int, window: Window) -> Sequence[LabelledAnswer]:
        """Return what tiers and people say of a window's drawn items, in the order of their numbers."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            return [_labelled(run, (item_no, window.step_no)) for item_no in sorted(window.drawn)]

    def wait(self, run_id: int, reason: str) -> bool:
        """Hold a run until somebody does what the reason says; returns whether it was running."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state is not RunState.RUNNING:
                return False
            run.state, run.reason = RunState.HELD, reason
            return True

    def hold_refused(self, run_id: int) -> bool:
        """Hold a run at rest again in which a refused promise keeps answers back; returns whether there was one."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            refused = any(any(_within(run, row.window)) for row in run.windows if row.version is not None)
            if not refused or not self._at_rest(run) or self.windows(run_id):
                return False
            return self.wait(run_id, ON_HOLD)

    def _at_rest(self, run: RunRow) -> bool:
        """Whether nothing is open, waiting or dead."""
        dead = any(one.run_id == run.id and one.state is ChunkState.DEAD for one in self._tables.chunks.values())
        return not (run.waiting or dead or any(self._tables.open_chunks(run.id)))

    def _drawn_answer(self, run: RunRow, window: Window, item_no: int, reason: str) -> DrawnAnswer:
        rows = run.attempts[item_no, window.step_no]
        asked = next(row for row in rows.values() if _went_up(row.attempt.outcome, reason))
        outcome = run.outcomes.get((item_no, window.step_no))
        reference = None
        if outcome is not None and not outcome.unresolved:
            reference = _accepted(rows[outcome.tier_no, outcome.generation])
        return DrawnAnswer(
            item_no=item_no,
            tier_no=asked.tier_no,
            confidence=_confidence(asked).value,
            answer=_accepted(asked),
            reference=reference,
        )

    def conclude(
        self, run_id: int, window: Window, decision: Decision, *, hold: bool, audited: Collection[int] = ()
    ) -> tuple[ChunkNotice, ...] | None:
        """Make a PolicyVersion of a decision, and let held answers stand or go up by it; None where one was made."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if not _is_next(run, window):
                return None
            version = FIRST_VERSION + 1 + sum(row.version is not None for row in run.windows)
            row = next((one for one in run.windows if one.window == window), None)
            if row is None:
                row = WindowRow(window=window)
                run.windows.append(row)
            row.decision, row.version = decision, version
            watched: tuple[ChunkNotice, ...] = ()
            if isinstance(decision, Certificate):
                watched = self._send_up(
                    run, window, lambda item_no: item_no in audited, reason=AUDITED, version=version
                )
                cheap = run.job.ladder(window.step_no)[:-1]
                _let_stand(run, window, dict(zip(cheap, decision.thresholds, strict=True)), version)
            elif hold:
                run.state = RunState.HELD
                run.reason = ON_HOLD
                return ()
            return watched + self._send_up(run, window, lambda _: True, reason=LOW_CONFIDENCE, version=version)

    def concluded(self, run_id: int) -> Sequence[Concluded]:
        """Return the windows that were decided, in the order of their versions."""
        with self._tables.lock:
            found = [
                Concluded(window=row.window, decision=row.decision, version=row.version, audit=row.audit)
                for row in self._tables.run(run_id).windows
                if row.decision is not None and row.version is not None
            ]
        return sorted(found, key=lambda one: one.version)

    def release(self, run: RunRow) -> int:
        """Let go up what refused promises hold back; returns how many answers."""
        sent = 0
        for row in run.windows:
            if row.version is not None:
                notices = self._send_up(run, row.window, lambda _: True, reason=LOW_CONFIDENCE, version=row.version)
                sent += sum(notice.items for notice in notices)
        return sent

    def _send_up(
        self, run: RunRow, window: Window, which: Callable[[int], bool], *, reason: str, version: int
    ) -> tuple[ChunkNotice, ...]:
        top = run.job.ladder(window.step_no)[-1]
        groups: set[Group] = set()
        for item_no, row in list(_within(run, window)):
            if which(item_no):
                _decide(run, (item_no, window.step_no), row, Escalation(top, reason), version)
                group = (top, row.generation)
                waiting = run.waiting.setdefault(group, {})
                entry = waiting.setdefault(item_no, Waiting(mask=0, since=self._tables.clock.now()))
                entry.mask |= 1 << window.step_no
                groups.add(group)
        notices: list[ChunkNotice] = []
        for group in sorted(groups):
            notices += self._tables.make_chunks(run, group, run.take_waiting(group, sorted(run.waiting[group])))
        return tuple(notices)


def held_rows(run: RunRow) -> Iterator[tuple[int, int, AttemptRow]]:
    """Yield (item_no, step_no, attempt) of all held answers."""
    for (item_no, step_no), rows in run.attempts.items():
        for row in rows.values():
            if isinstance(row.attempt.outcome, Held):
                yield item_no, step_no, row


def _within(run: RunRow, window: Window) -> Iterator[tuple[int, AttemptRow]]:
    for item_no, step_no, row in held_rows(run):
        if step_no == window.step_no and window.first_item <= item_no < window.until_item:
            yield item_no, row


def _is_next(run: RunRow, window: Window) -> bool:
    """Whether nobody drew or decided a window since it was handed out, when its run was at rest."""
    return run.state is RunState.RUNNING and window == _window(run, window.step_no)


def _window(run: RunRow, step_no: int) -> Window:
    latest = [row for row in run.windows if row.window.step_no == step_no]
    if latest and latest[-1].version is None:
        return latest[-1].window
    first = latest[-1].window.until_item if latest else 0
    unresolved = {item_no for (item_no, step), row in run.outcomes.items() if step == step_no and row.unresolved}
    asked = sum(
        row.copy_of is None and first <= item_no < run.rows_read and item_no not in unresolved
        for item_no, row in run.items.items()
    )
    return Window(step_no=step_no, number=len(latest), first_item=first, until_item=run.rows_read, items=asked)


def _let_stand(run: RunRow, window: Window, thresholds: dict[int, float], version: int) -> None:
    for item_no, row in list(_within(run, window)):
        if _confidence(row).value >= thresholds[row.tier_no]:
            place = (item_no, window.step_no)
            _decide(run, place, row, Verdict(), version)
            run.outcomes[place] = OutcomeRow(tier_no=row.tier_no, generation=row.generation, unresolved=False)


def _decide(run: RunRow, place: tuple[int, int], row: AttemptRow, outcome: Outcome, version: int) -> None:
    run.attempts[place][row.tier_no, row.generation] = replace(
        row, attempt=replace(row.attempt, outcome=outcome), policy_version=version
    )


def _labelled(run: RunRow, place: tuple[int, int]) -> LabelledAnswer:
    rows = run.attempts[place]
    asked = next((row for row in rows.values() if _went_up(row.attempt.outcome, DRAWN)), None)
    outcome = run.outcomes.get(place)
    stands = outcome is not None and not outcome.unresolved
    return LabelledAnswer(
        item_no=place[0],
        tier_no=None if asked is None else asked.tier_no,
        confidence=None if asked is None else _confidence(asked).value,
        answer=None if asked is None else _accepted(asked),
        top=_accepted(rows[outcome.tier_no, outcome.generation]) if outcome is not None and stands else None,
        labelled=place in run.labels,
        label=run.labels.get(place),
    )


def _accepted(row: AttemptRow) -> Answer:
    answer = row.attempt.given.answer
    if isinstance(answer, Malformed):
        msg = "a malformed answer was accepted"
        raise TypeError(msg)
    return answer


def _went_up(outcome: Outcome, reason: str) -> bool:
    return isinstance(outcome, Escalation) and outcome.reason == reason


def _confidence(row: AttemptRow) -> Confidence:
    if row.attempt.confidence is None:
        msg = "a held answer has a confidence"
        raise TypeError(msg)
    return row.attempt.confidence

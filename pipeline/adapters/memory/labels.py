"""People's labels: ports.labels.LabelStore."""

from collections.abc import Iterator, Sequence

from pipeline.adapters.memory.rows import RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.budget import BROKE
from pipeline.domain.outcomes import AUDITED, Escalation
from pipeline.domain.runs import PAUSED_BY_HAND, RunState
from pipeline.ports.labels import KeptLabels, NewLabel, ToLabel, Which


class LabelPart:
    """What is handed out to be labelled, and the labels."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def to_label(self, run_id: int, which: Which) -> Iterator[ToLabel]:
        """Yield items that are not labelled yet, in the source's order; of copies the first."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            places = sorted({"drawn": _drawn, "unresolved": _unresolved, "audited": _audited}[which](run))
            places = [place for place in places if place not in run.labels and run.items[place[0]].item.text]
            found = [(run.items[item_no].item, item_no) for item_no in dict.fromkeys(item_no for item_no, _ in places)]
        for item, item_no in found:
            yield ToLabel(
                key=item.key, text=item.text, steps=tuple(step for number, step in places if number == item_no)
            )

    def keep_labels(self, run_id: int, new: Sequence[NewLabel]) -> KeptLabels:
        """Keep labels, in place of earlier ones; a run that waited for some goes on."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            numbers: dict[str, int] = {}
            for item_no, row in sorted(run.items.items()):
                numbers.setdefault(row.item.key, item_no if row.copy_of is None else row.copy_of)
            kept = [one for one in new if one.key in numbers]
            run.labels.update({(numbers[one.key], one.step_no): one.value for one in kept})
            waited = run.state is RunState.HELD and not (run.reason or "").startswith((PAUSED_BY_HAND, BROKE))
            if kept and waited and any(row.version is None for row in run.windows):
                run.work_again()
            unknown = dict.fromkeys(one.key for one in new if one.key not in numbers)
            return KeptLabels(kept=len(kept), unknown_keys=tuple(unknown))


def _drawn(run: RunRow) -> Iterator[tuple[int, int]]:
    for row in run.windows:
        if row.version is None:
            yield from ((item_no, row.window.step_no) for item_no in row.window.drawn)


def _unresolved(run: RunRow) -> Iterator[tuple[int, int]]:
    return (place for place, outcome in run.outcomes.items() if outcome.unresolved)


def _audited(run: RunRow) -> Iterator[tuple[int, int]]:
    for place, rows in run.attempts.items():
        outcomes = [row.attempt.outcome for row in rows.values()]
        if any(isinstance(one, Escalation) and one.reason == AUDITED for one in outcomes):
            yield place

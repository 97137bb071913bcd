"""Answers of earlier runs: ports.earlier.EarlierStore."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Usage
from pipeline.domain.items import fingerprint
from pipeline.domain.outcomes import Given, Verdict
from pipeline.ports.earlier import Known
from pipeline.ports.store import RunRecord


class EarlierPart:
    """What was answered before."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def earlier_runs(self, run_id: int, *, most: int) -> Sequence[RunRecord]:
        """Return the runs of the same job's name that were made before this one, the latest first."""
        with self._tables.lock:
            name = self._tables.run(run_id).job.name
            runs = sorted((one for one in self._tables.runs.values() if one.id < run_id), key=lambda one: -one.id)
            return [one.record() for one in runs if one.job.name == name][:most]

    def answered_before(self, run_id: int, tier_no: int, texts: Sequence[str], *, model: str | None) -> Sequence[Known]:
        """Return what a tier of a run answered to these texts, where it stood and the whole text was read."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            numbers = {
                run.first_of_text[print_]: number
                for number, print_ in enumerate(map(fingerprint, texts))
                if print_ in run.first_of_text
            }
            models = {row.entry.call.id: row.entry.call.model for row in run.ledger}
            found: dict[tuple[int, int], Known] = {}
            for (item_no, step_no), rows in run.attempts.items():
                for (where, _), row in sorted(rows.items()):
                    one = row.attempt
                    stood = isinstance(one.outcome, Verdict) and not one.given.truncated
                    if item_no in numbers and where == tier_no and stood and model in {None, models[one.call_id]}:
                        found[numbers[item_no], step_no] = Known(
                            text_no=numbers[item_no],
                            step_no=step_no,
                            given=_again(one.given),
                            model=models[one.call_id],
                        )
            return list(found.values())


def _again(given: Given) -> Given:
    nothing = Usage(tokens_in=0, tokens_cached=0, tokens_out=0)
    return replace(given, usage=nothing, shares=None, hidden=None, halfway=None)

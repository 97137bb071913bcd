"""What is erased: ports.forgetting.ForgetStore. Nothing here has old versions: what is gone is gone."""

import copy
import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import replace

from pipeline.adapters.memory.certify import held_rows
from pipeline.adapters.memory.rows import AttemptRow, ChunkRow, ChunkState, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Defect, Malformed
from pipeline.domain.decisions import waits_for_labels
from pipeline.domain.errors import ConfigError
from pipeline.domain.forgetting import FORGOTTEN, ErasedTexts, Forgotten, texts_gone
from pipeline.domain.outcomes import Unresolved
from pipeline.domain.runs import FINAL_STATES, RunState
from pipeline.ports.forgetting import BATCH_TEXTS


class ForgetPart:
    """Keys and texts that go."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def runs_with_key(self, key: str) -> Sequence[int]:
        """Return the numbers of the runs that have an item with exactly this key, in their order."""
        with self._tables.lock:
            runs = self._tables.runs.values()
            return [run.id for run in runs if any(row.item.key == key for row in run.items.values())]

    def forget(self, run_id: int, key: str, *, dry_run: bool = False) -> Forgotten:
        """Erase every item of a run with this key, and all that was derived of it."""
        with self._tables.lock:
            run, chunks = self._tables.run(run_id), self._tables.chunks
            if dry_run:
                run = copy.deepcopy(run)
                chunks = copy.deepcopy(chunks)
            return _forget(run, [one for one in chunks.values() if one.run_id == run_id], key)

    def erase_texts(self, *, ended_for_s: float, limit: int = BATCH_TEXTS) -> ErasedTexts:
        """Erase up to `limit` texts, and what models said that was no answer, of runs that ended so long ago."""
        with self._tables.lock:
            now, texts = self._tables.clock.now(), 0
            names: list[str] = []
            for run in sorted(self._tables.runs.values(), key=lambda one: (one.ended_at or now, one.id)):
                if not _due(run, now - dt.timedelta(seconds=ended_for_s)):
                    continue
                left = [no for no, row in sorted(run.items.items()) if row.copy_of is None and row.item.text]
                for item_no in left[: limit - texts]:
                    run.items[item_no] = replace(run.items[item_no], item=replace(run.items[item_no].item, text=""))
                texts += min(len(left), limit - texts)
                if texts >= limit:
                    return ErasedTexts(texts=texts, runs=tuple(names), more=True)
                _erase_details(run)
                run.texts_erased_at = now
                names.append(run.name)
            return ErasedTexts(texts=texts, runs=tuple(names))

    def vacuum(self) -> None:
        """Do nothing: there are no old versions."""


def refuse_erased(tables: Tables, run: RunRow, item_nos: Collection[int] | None = None) -> None:
    """Raise ConfigError where a text is erased that would be asked again, of these items' chunks or any."""
    stopped = [one for one in tables.chunks.values() if one.run_id == run.id and one.state is not ChunkState.DONE]
    asked = {number for one in stopped if item_nos is None or set(item_nos) & set(one.masks) for number in one.masks}
    asked |= {number for waiting in run.waiting.values() for number in waiting}
    asked |= {number for number, _, _ in held_rows(run)}
    if any(not run.items[number].item.text for number in asked):
        raise ConfigError(texts_gone(run.name))


def _due(run: RunRow, before: dt.datetime) -> bool:
    if run.state not in FINAL_STATES or run.ended_at is None or run.ended_at > before:
        return False
    return run.texts_erased_at is None


def _forget(run: RunRow, chunks: Sequence[ChunkRow], key: str) -> Forgotten:
    named = sorted(number for number, row in run.items.items() if row.item.key == key)
    copies = {number: original for number in named if (original := run.items[number].copy_of) is not None}
    heirs: dict[int, int] = {}
    for number, row in sorted(run.items.items()):
        if row.copy_of in set(named) - set(copies) and number not in named:
            heirs.setdefault(row.copy_of, number)
    alone = set(named) - set(copies) - set(heirs)
    counts = _forget_answers(run, chunks, alone)
    run.first_of_text = {text: number for text, number in run.first_of_text.items() if number not in alone}
    for original, heir in heirs.items():
        item = run.items[heir].item
        text = run.items[original].item.text
        run.items[original] = replace(run.items[original], item=replace(item, text=text))
    for number in (set(named) - set(heirs)) | set(heirs.values()):
        del run.items[number]
    if named:
        run.text_of_key.pop(key, None)
    run.forgotten += len(named)
    kept = sum(copies.get(number, number) not in alone for number in named)
    return Forgotten(run=run.name, items=len(named), copies=len(copies), passed_on=kept, **counts)


def _forget_answers(run: RunRow, chunks: Sequence[ChunkRow], alone: set[int]) -> dict[str, int]:
    attempts = 0
    for place, rows in run.attempts.items():
        if place[0] in alone:
            attempts += len(rows)
            run.attempts[place] = {group: _emptied(row) for group, row in rows.items()}
    verdicts = [place for place in run.outcomes if place[0] in alone]
    labels = [place for place in run.labels if place[0] in alone]
    for place in verdicts:
        del run.outcomes[place]
    for place in labels:
        del run.labels[place]
    return {
        "attempts": attempts,
        "verdicts": len(verdicts),
        "labels": len(labels),
        "waiting": _not_waiting(run, alone),
        "chunks": sum(_taken_out(one, alone) for one in chunks),
        "drawings": _not_drawn(run, alone),
    }


def _emptied(row: AttemptRow) -> AttemptRow:
    """Return an attempt of which only the cost is left."""
    given = replace(
        row.attempt.given,
        answer=Malformed(defect=Defect.MALFORMED, detail=""),
        raw_score=None,
        confidence=None,
        field_scores={},
        shares=None,
    )
    outcome = Unresolved(FORGOTTEN)
    return replace(
        row, attempt=replace(row.attempt, given=given, confidence=None, field_confidences={}, outcome=outcome)
    )


def _not_waiting(run: RunRow, alone: set[int]) -> int:
    steps = 0
    for group in list(run.waiting):
        taken = run.take_waiting(group, [number for number in run.waiting[group] if number in alone])
        steps += sum(mask.bit_count() for _, mask in taken)
    return steps


def _taken_out(chunk: ChunkRow, alone: set[int]) -> bool:
    """Take items out of a chunk that is not done; whoever holds it is refused."""
    if chunk.state is ChunkState.DONE or not alone & set(chunk.masks):
        return False
    chunk.masks = {number: mask for number, mask in chunk.masks.items() if number not in alone}
    chunk.fence += 1
    if chunk.state is ChunkState.CLAIMED:
        chunk.put_back()
        chunk.claims -= 1
    if not chunk.masks:
        chunk.state = ChunkState.DONE
    return True


def _not_drawn(run: RunRow, alone: set[int]) -> int:
    drawn = [
        row
        for row in run.windows
        if row.version is None and any(row.window.first_item <= one < row.window.until_item for one in alone)
    ]
    run.windows = [row for row in run.windows if row not in drawn]
    if drawn and run.state is RunState.HELD and waits_for_labels(run.reason):
        run.state, run.reason = RunState.RUNNING, None  # what it waited for is drawn anew
    return len(drawn)


def _erase_details(run: RunRow) -> None:
    for rows in run.attempts.values():
        for group, row in rows.items():
            if isinstance(row.attempt.given.answer, Malformed):
                bare = replace(row.attempt.given.answer, detail="")
                rows[group] = replace(row, attempt=replace(row.attempt, given=replace(row.attempt.given, answer=bare)))

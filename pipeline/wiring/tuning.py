"""Finding a model's fastest format on this machine, and proof that its answers hold: `headrace models tune`."""

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import CatalogueEntry, ModelStore, ResolvedModel
from pipeline.adapters.models.pull import sha256_of
from pipeline.adapters.models.store import SHIPPED
from pipeline.adapters.models.tuned import Agreement, FormatSpeed, TunedRecord, read_record, tuned_file, write_record
from pipeline.domain.errors import ModelError
from pipeline.domain.outcomes import Given
from pipeline.flow.samples import Answers, Sample, agrees, is_right
from pipeline.ports.clock import Clock
from pipeline.settings import Settings
from pipeline.wiring.engines import model_store
from pipeline.wiring.formats import Say, Show, Written, ask, best_batch, best_threads, time_format, written
from pipeline.wiring.head_proof import head_answers, head_sample

LEAST_SAME = 0.9
"""Share of equal answers below which a format is not used, unless gold answers say that it is no worse."""
MOST_WORSE = 0.01
"""Accuracy that may be lost: one point."""

Proof: TypeAlias = Callable[[Written], Agreement]
"""Holds a format against the shipped file."""


__all__ = ["TunedRecord", "compared", "holds", "shipped_model", "tune"]


def shipped_model(store: ModelStore, name: str) -> tuple[ResolvedModel, CatalogueEntry]:
    """Return a catalogue's model as it was pulled, its hash checked; raises ModelError."""
    entry = store.catalogue.find(name)
    if entry is None:
        raise ModelError(f"{store.catalogue.unknown(name)}; only these are tuned and compared, no file by its path")
    shipped = store.verify(name)
    if shipped.header.is_encoder:
        raise ModelError(f"{name} is a sentence encoder: it gives no answers that could be compared")
    return shipped, entry


def tune(
    name: str,
    formats: Iterable[str],
    sample: Sample,
    settings: Settings,
    *,
    template: str | None = None,
    heads: bool = False,
    clock: Clock,
    say: Say,
    show: Show,
) -> TunedRecord:
    """Measure a model in each format, prove the fastest that holds its answers, and record it; raises ModelError.

    `template` is for a model that has none, to ask it the sample. With `heads` what has to hold is what heads on the
    model learn, and only tiers with one use the format. Threads and tokens at once are measured in the format that was
    chosen. Files of other formats are removed.
    """
    store = model_store(settings)
    sample = head_sample(sample) if heads else sample
    shipped, entry = shipped_model(store, name)
    files: dict[str, Written] = {}
    speeds: list[FormatSpeed] = []
    for one in written(shipped, formats, lambda to: tuned_file(store.folder, entry, to), say, template=template):
        files[one.format] = one
        speeds.append(time_format(one, say))
    prove = prove_heads if heads else prove_answers
    best, agreement = _fastest_that_holds(speeds, files, prove(files[SHIPPED], sample, show), say)
    threads, thread_speeds = best_threads(files[best], say)
    batch_tokens, batch_speeds = best_batch(files[best], threads, say)
    record = TunedRecord(
        model=name,
        source_sha256=shipped.sha256,
        format=best,
        sha256=sha256_of(files[best].path),
        machine=processor_name(),
        library=f"llama-cpp-python {version('llama-cpp-python')}",
        speeds=tuple(speeds),
        agreement=agreement,
        tuned_at=clock.now().isoformat(timespec="seconds"),
        heads=heads,
        granted_cpus=granted_cpus(),
        threads=threads,
        batch_tokens=batch_tokens,
        thread_speeds=tuple(thread_speeds),
        batch_speeds=tuple(batch_speeds),
    )
    write_record(store.folder, entry, record)
    other = read_record(store.folder, entry, heads=not heads)
    _sweep_out(store.folder, files, {best, SHIPPED} if other is None else {best, SHIPPED, other.format})
    if other is not None and other.format in files and sha256_of(files[other.format].path) != other.sha256:
        again = "without --heads" if heads else "with --heads"
        say(f"{other.format} is written in another way than when it was proved before: tune {again} again, too")
    return record


def prove_answers(shipped: Written, sample: Sample, show: Show) -> Proof:
    """Return how a format's own answers compare with those of the shipped file, which is asked when first needed."""
    baseline = cache(lambda: ask(shipped, sample, show))
    return lambda one: compared(sample, baseline(), ask(one, sample, show))


def prove_heads(shipped: Written, sample: Sample, show: Show) -> Proof:
    """Return how heads on a format's hidden states compare with heads on those of the shipped file."""
    baseline = cache(lambda: head_answers(shipped, sample, show))

    def prove(one: Written) -> Agreement:
        (before, right_before), (after, right_after) = baseline(), head_answers(one, sample, show)
        right = {"shipped_accuracy": right_before, "tuned_accuracy": right_after}
        return compared(sample, before, after).model_copy(update=right)

    return prove


def _fastest_that_holds(
    speeds: Iterable[FormatSpeed], files: Mapping[str, Written], prove: Proof, say: Say
) -> tuple[str, Agreement | None]:
    """Return the fastest format that holds, with the evidence; without evidence, it is the shipped one."""
    for speed in sorted(speeds, key=lambda one: -one.read_tokens_per_s):
        if speed.format == SHIPPED:
            break
        found = prove(files[speed.format])
        if holds(found):
            return speed.format, found
        say(f"{speed.format}: {_lacks(found)}; the next fastest is tried")
    return SHIPPED, None


def _lacks(found: Agreement) -> str:
    if found.shipped_accuracy is None or found.tuned_accuracy is None:
        return f"answers do not hold ({found.same:.1%} the same)"
    return f"answers do not hold ({found.tuned_accuracy:.1%} right instead of {found.shipped_accuracy:.1%})"


def compared(sample: Sample, shipped: Answers, tuned: Answers) -> Agreement:
    """Hold two files' answers to the same sample against each other, and against gold answers where there are any."""
    pairs = [pair for step in sample.steps for pair in zip(shipped[step.name], tuned[step.name], strict=True)]
    same = [(one, other) for one, other in pairs if agrees(one, other)]
    changes = [
        abs(one.raw_score.value - other.raw_score.value)
        for one, other in same
        if one.raw_score is not None and other.raw_score is not None
    ]
    return Agreement(
        sample=sample.name,
        answers=len(pairs),
        same=len(same) / len(pairs),
        median_change=statistics.median(changes) if changes else 0.0,
        largest_change=max(changes, default=0.0),
        shipped_accuracy=_accuracy(sample, shipped),
        tuned_accuracy=_accuracy(sample, tuned),
    )


def holds(found: Agreement) -> bool:
    """Tell whether a tuned file may be used: no worse by gold answers, or nearly always the same answer."""
    if found.shipped_accuracy is not None and found.tuned_accuracy is not None:
        return found.tuned_accuracy >= found.shipped_accuracy - MOST_WORSE
    return found.same >= LEAST_SAME


def _accuracy(sample: Sample, answers: Answers) -> float | None:
    """Return the share of right answers over all steps that have gold; None where none has."""
    pairs: list[tuple[Given, object]] = [
        pair for step in sample.steps if step.gold for pair in zip(answers[step.name], step.gold, strict=True)
    ]
    return statistics.fmean(is_right(given, gold) for given, gold in pairs) if pairs else None


def _sweep_out(folder: Path, files: Mapping[str, Written], used: Collection[str]) -> None:
    for to, one in files.items():
        if to not in used and one.path.is_relative_to(folder):
            one.path.unlink(missing_ok=True)

"""Finding a model's fastest format on this machine, and proof that its answers hold: `headrace models tune`."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.repack import FORMATS, repack
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelStore, read_header
from pipeline.adapters.models.pull import sha256_of
from pipeline.adapters.models.store import SHIPPED, ResolvedModel
from pipeline.adapters.models.tuned import Agreement, FormatSpeed, TunedRecord, tuned_file, write_record
from pipeline.domain.answers import Label
from pipeline.domain.errors import ModelError
from pipeline.domain.outcomes import Given
from pipeline.ports.clock import Clock
from pipeline.ports.engine import Ask
from pipeline.settings import Settings
from pipeline.wiring.engines import model_store

LEAST_SAME = 0.9
"""Share of equal answers below which a format is not used, unless gold answers say that it is no worse."""
MOST_WORSE = 0.01
"""Accuracy that may be lost: one point."""
_CONTEXT_TOKENS = 4096

__all__ = ["FORMATS", "Sample", "tune"]

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Questions whose answers by two files are compared."""

    name: str
    asks: Sequence[Ask]
    gold: Sequence[str] | None
    """Right answers, in the order of the asks; None: the shipped file's answers are the measure."""


def tune(
    name: str, formats: Iterable[str], sample: Sample, settings: Settings, *, clock: Clock, say: Say
) -> TunedRecord:
    """Measure a model in each format, prove the fastest that holds its answers, and record it; raises ModelError.

    Files of formats that were not chosen are removed.
    """
    store = model_store(settings)
    shipped = store.verify(name)
    if shipped.entry is None:
        raise ModelError(f"{name} is no model of the catalogue: only those are tuned; see headrace models list")
    files = {SHIPPED: shipped.path}
    speeds = [_speed(SHIPPED, shipped.path, say)]
    for to in formats:
        files[to] = path = tuned_file(store.folder, shipped.entry, to)
        _written(shipped, path, to, say)
        speeds.append(_speed(to, path, say))
    baseline = _answers(shipped.path, sample, say, SHIPPED)
    best, agreement = SHIPPED, None
    for speed in sorted(speeds, key=lambda one: -one.read_tokens_per_s):
        if speed.format == SHIPPED:
            break
        found = compared(sample, baseline, _answers(files[speed.format], sample, say, speed.format))
        if holds(found):
            best, agreement = speed.format, found
            break
        say(f"{speed.format}: answers do not hold ({found.same:.1%} the same); the next fastest is tried")
    record = TunedRecord(
        model=name,
        source_sha256=shipped.sha256,
        format=best,
        sha256=sha256_of(files[best]),
        machine=processor_name(),
        library=f"llama-cpp-python {version('llama-cpp-python')}",
        speeds=tuple(speeds),
        agreement=agreement,
        tuned_at=clock.now().isoformat(timespec="seconds"),
    )
    write_record(store.folder, shipped.entry, record)
    _sweep_out(store, files, best)
    return record


def compared(sample: Sample, shipped: Sequence[Given], tuned: Sequence[Given]) -> Agreement:
    """Hold two files' answers to the same asks against each other, and against gold answers where there are any."""
    pairs = list(zip(shipped, tuned, strict=True))
    same = [(one, other) for one, other in pairs if one.answer == other.answer]
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
        shipped_accuracy=_accuracy(sample.gold, shipped),
        tuned_accuracy=_accuracy(sample.gold, tuned),
    )


def holds(found: Agreement) -> bool:
    """Tell whether a tuned file may be used: no worse by gold answers, or nearly always the same answer."""
    if found.shipped_accuracy is not None and found.tuned_accuracy is not None:
        return found.tuned_accuracy >= found.shipped_accuracy - MOST_WORSE
    return found.same >= LEAST_SAME


def _accuracy(gold: Sequence[str] | None, given: Sequence[Given]) -> float | None:
    if gold is None:
        return None
    return sum(one.answer == Label(right) for one, right in zip(given, gold, strict=True)) / len(gold)


def _written(shipped: ResolvedModel, path: Path, to: str, say: Say) -> None:
    say(f"{to}: writing {path.name}")
    repack(shipped.path, path, to=to, threads=granted_cpus())


def _engine(path: Path) -> LlamaEngine:
    read_header(path)  # what llama.cpp is to load goes through our own reader first
    return LlamaEngine(
        path,
        model_name=path.stem,
        context_tokens=_CONTEXT_TOKENS,
        max_text_tokens=512,
        max_answer_tokens=64,
        gpu_layers=0,
        threads=granted_cpus(),
    )


def _speed(to: str, path: Path, say: Say) -> FormatSpeed:
    engine = _engine(path)
    try:
        speed = FormatSpeed(
            format=to,
            size_bytes=path.stat().st_size,
            read_tokens_per_s=round(engine.read_tokens_per_s(), 1),
            write_tokens_per_s=round(engine.write_tokens_per_s(), 1),
        )
    finally:
        engine.close()
    say(f"{to}: reads {speed.read_tokens_per_s:,.0f} tokens/s, writes {speed.write_tokens_per_s:,.0f}")
    return speed


def _answers(path: Path, sample: Sample, say: Say, to: str) -> list[Given]:
    say(f"{to}: answering {len(sample.asks)} questions of {sample.name}")
    engine = _engine(path)
    try:
        return [given for given in engine.answer(sample.asks).given if given is not None]
    finally:
        engine.close()


def _sweep_out(store: ModelStore, files: Mapping[str, Path], best: str) -> None:
    for to, path in files.items():
        if to not in {best, SHIPPED} and path.is_relative_to(store.folder):
            path.unlink(missing_ok=True)

"""A model's number formats beside one another, by step: `headrace models compare`. Nothing is kept or put to use."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.adapters.models.store import SHIPPED
from pipeline.adapters.models.tuned import FOLDER, FormatSpeed
from pipeline.domain.calibration import calibration_error, excess_calibration_error
from pipeline.domain.errors import ModelError
from pipeline.domain.outcomes import Given
from pipeline.flow.samples import Answers, Sample, SampleStep, accuracy, agreement, field_accuracy, is_right
from pipeline.settings import Settings
from pipeline.wiring.engines import model_store
from pipeline.wiring.formats import Say, Show, ask, time_format, written
from pipeline.wiring.tuning import shipped_model

_SEED = 20261125


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """How one format answers one step. Shares are between 0 and 1; None where there is no gold."""

    step: str
    answers: int
    accuracy: float | None
    fields: dict[str, float]
    """Accuracy of each field of a record."""
    agreement: float
    """Share of the shipped file's answers that are given again."""
    ece: float | None
    """Expected calibration error of the raw scores."""
    ece_excess: float | None
    """Beyond what scores that are true would have with so few answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFigures:
    """One row group of the table."""

    format: str
    size_bytes: int
    read_tokens_per_s: float
    write_tokens_per_s: float
    steps: tuple[StepFigures, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return asdict(self)


def compare(
    name: str,
    formats: Iterable[str],
    sample: Sample,
    settings: Settings,
    *,
    template: str | None = None,
    say: Say,
    show: Show,
) -> list[FormatFigures]:
    """Measure the shipped file and each format of it on a sample; raises ModelError.

    Files are written beside the tuned ones, for as long as this runs, one at a time.
    """
    store = model_store(settings)
    shipped, entry = shipped_model(store, name)
    folder = store.folder / FOLDER
    found: list[FormatFigures] = []
    baseline: Answers = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compare-", dir=folder) as place:
            files = written(
                shipped, formats, lambda to: Path(place) / f"{entry.name}.{to}.gguf", say, template=template
            )
            for one in files:
                speed = time_format(one, say)
                answers = ask(one, sample, show)
                baseline = baseline or answers
                found.append(figures(speed, sample, answers, baseline))
                if one.format != SHIPPED:
                    one.path.unlink()
    except OSError as error:
        raise ModelError(f"{folder} cannot be written to: {error.strerror}; free some space") from None
    return found


def figures(speed: FormatSpeed, sample: Sample, answers: Answers, shipped: Answers) -> FormatFigures:
    """Work out a format's figures from its answers and the shipped file's."""
    return FormatFigures(
        format=speed.format,
        size_bytes=speed.size_bytes,
        read_tokens_per_s=speed.read_tokens_per_s,
        write_tokens_per_s=speed.write_tokens_per_s,
        steps=tuple(_step(step, answers[step.name], shipped[step.name]) for step in sample.steps),
    )


def _step(step: SampleStep, given: Sequence[Given], shipped: Sequence[Given]) -> StepFigures:
    scored = [
        (one.raw_score.value, is_right(one, gold))
        for one, gold in zip(given, step.gold or (), strict=False)
        if one.raw_score is not None
    ]
    scores, right = [score for score, _ in scored], [was for _, was in scored]
    return StepFigures(
        step=step.name,
        answers=len(given),
        accuracy=accuracy(given, step.gold),
        fields=field_accuracy(given, step.gold),
        agreement=agreement(given, shipped),
        ece=calibration_error(scores, right),
        ece_excess=excess_calibration_error(scores, right, np.random.default_rng(_SEED)),
    )

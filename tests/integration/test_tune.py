"""Tuning a real model: written again, timed, compared, and used from then on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelStore
from pipeline.domain.steps import SentimentStep
from pipeline.ports.engine import Ask
from pipeline.prompts import question_of
from pipeline.settings import Settings
from pipeline.wiring.parts import system_clock
from pipeline.wiring.tuning import Sample, tune

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
SMALL = "smollm2-135m-instruct"


def test_a_model_is_written_again_timed_compared_and_then_used(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    shipped = model_path(SMALL)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / shipped.name).symlink_to(shipped)
    settings = Settings(home=tmp_path, models=folder)
    question = question_of(SentimentStep(name="mood", kind="sentiment"))
    asks = [Ask(question=question, text=text) for text in ("I love it", "It broke", "It is a lamp")]
    said: list[str] = []
    record = tune(
        SMALL, ["q8_0"], Sample(name="three", asks=asks, gold=None), settings, clock=system_clock(), say=said.append
    )
    assert [one.format for one in record.speeds] == ["shipped", "q8_0"]
    assert all(one.read_tokens_per_s > 0 and one.write_tokens_per_s > 0 for one in record.speeds)
    fastest = max(record.speeds, key=lambda one: one.read_tokens_per_s)
    best = ModelStore(folder).best(SMALL, machine=processor_name())
    assert best.sha256 == record.sha256
    if record.format == "q8_0":
        assert fastest.format == "q8_0"
        assert record.agreement is not None
        assert record.agreement.answers == 3
        assert best.sha256 != record.source_sha256
    else:
        assert best.sha256 == record.source_sha256
        assert not list((folder / "tuned").glob("*.gguf"))
    assert any("q8_0: reads" in line for line in said)

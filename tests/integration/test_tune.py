"""Tuning a real model: written again, timed, compared, and used from then on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelStore
from pipeline.adapters.models.store import SHIPPED
from pipeline.adapters.models.tuned import FormatSpeed
from pipeline.asking import asked_apart
from pipeline.domain.errors import ConfigError, ModelError
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import ClassifyStep, SentimentStep
from pipeline.flow.samples import Sample, SampleStep, agreement, answer_step
from pipeline.settings import Settings
from pipeline.wiring.comparing import FormatFigures, compare
from pipeline.wiring.formats import Say, Written
from pipeline.wiring.parts import system_clock
from pipeline.wiring.tuning import TunedRecord, tune
from tests.integration.llama_cases import BASE, SMALL, TEXTS, base_or_skip, engine_for

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
ASKING = asked_apart(SentimentStep(name="mood", kind="sentiment"))
SAMPLE = Sample(
    name="three",
    steps=[
        SampleStep(
            name="mood",
            asking=ASKING,
            texts=["I love it", "It broke", "It is a lamp"],
            gold=["positive", "negative", "neutral"],
        )
    ],
)


def test_a_model_is_written_again_timed_compared_and_then_used(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    shipped = model_path(SMALL)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / shipped.name).symlink_to(shipped)
    settings = Settings(home=tmp_path, models=folder)
    said: list[str] = []
    record = tune(SMALL, ["q8_0"], SAMPLE, settings, clock=system_clock(), say=said.append, show=lambda *_: None)
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
    assert record.threads in {one.threads for one in record.thread_speeds}
    assert [one.batch_tokens for one in record.batch_speeds] == [256, 512, 1024]
    assert best.batch_tokens == record.batch_tokens


def test_a_format_for_heads_is_proved_by_what_heads_learn_and_used_by_tiers_that_have_one(
    model_path: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(one: Written, _say: Say) -> FormatSpeed:
        """Find the other format faster, whatever this machine says: then it has to be proved."""
        rate = 1.0 if one.format == SHIPPED else 2.0
        return FormatSpeed(format=one.format, size_bytes=1, read_tokens_per_s=rate, write_tokens_per_s=rate)

    monkeypatch.setattr("pipeline.wiring.tuning.time_format", timed)
    shipped = model_path(SMALL)
    (tmp_path / shipped.name).symlink_to(shipped)
    settings = Settings(home=tmp_path, models=tmp_path)
    step = ClassifyStep(name="what", kind="classify", labels={"kettle": "", "card": "", "courier": "", "update": ""})
    gold = [next(label for label in step.labels if label in text) for text in TEXTS]
    known = SampleStep(name="what", asking=asked_apart(step), texts=TEXTS, gold=gold)
    small = SampleStep(name="mood", asking=ASKING, texts=TEXTS[:9], gold=["positive"] * 9)

    def tuned(*steps: SampleStep) -> TunedRecord:
        sample = Sample(name="some", steps=steps)
        return tune(
            SMALL,
            ["bf16"],
            sample,
            settings,
            heads=True,
            clock=system_clock(),
            say=lambda _: None,
            show=lambda *_: None,
        )

    with pytest.raises(ConfigError, match="some teaches no head: give --sample with 40 or more"):
        tuned(small)
    record = tuned(known, small)
    assert record.heads
    for_heads = ModelStore(tmp_path).best(SMALL, machine=processor_name(), heads=True)
    assert for_heads.sha256 == record.sha256
    assert ModelStore(tmp_path).best(SMALL, machine=processor_name()).sha256 == record.source_sha256
    assert record.format == "bf16"
    assert record.agreement is not None
    assert record.agreement.answers == len(TEXTS)
    assert record.agreement.tuned_accuracy is not None
    assert record.agreement.tuned_accuracy > 0.9


def test_formats_are_compared_and_nothing_of_them_is_kept(model_path: Callable[[str], Path], tmp_path: Path) -> None:
    shipped = model_path(SMALL)
    (tmp_path / shipped.name).symlink_to(shipped)
    settings = Settings(home=tmp_path, models=tmp_path)
    shown: list[tuple[int, int]] = []
    first, q4_1 = compare(
        SMALL,
        ["q4_1"],
        SAMPLE,
        settings,
        say=lambda _: None,
        show=lambda _title, done, of, _note: shown.append((done, of)),
    )
    assert (first.format, q4_1.format) == ("shipped", "q4_1")
    assert first.size_bytes == shipped.stat().st_size
    (step,) = first.steps
    assert (step.step, step.answers, step.agreement) == ("mood", 3, 1.0)
    assert step.accuracy is not None
    assert step.ece is not None
    assert (3, 3) in shown
    assert list((tmp_path / "tuned").iterdir()) == []


def test_a_base_model_is_compared_with_the_template_that_is_named_and_refused_without(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    base = base_or_skip(model_path)
    (tmp_path / base.name).symlink_to(base)
    settings = Settings(home=tmp_path, models=tmp_path)

    def compared(name: str, template: str | None) -> list[FormatFigures]:
        return compare(name, [], SAMPLE, settings, template=template, say=lambda _: None, show=lambda *_: None)

    (shipped,) = compared(BASE, "plain")
    assert (shipped.format, shipped.steps[0].answers) == ("shipped", 3)
    with pytest.raises(ModelError, match="has no chat template: it is a base model"):
        compared(BASE, None)
    (tmp_path / model_path(SMALL).name).symlink_to(model_path(SMALL))
    with pytest.raises(ConfigError, match="has a chat template of its own"):
        compared(SMALL, "plain")


@pytest.mark.parametrize("batch_tokens", [64, 1024])
def test_however_many_tokens_are_read_at_once_answers_move_no_more_than_kernels_make_them(
    model_path: Callable[[str], Path], batch_tokens: int
) -> None:
    def answered(batch_tokens: int) -> list[Given]:
        engine = engine_for(model_path(SMALL), batch_tokens=batch_tokens)
        try:
            return answer_step(engine, ASKING, TEXTS)
        finally:
            engine.close()

    changed, usual = answered(batch_tokens), answered(512)
    assert agreement(changed, usual) >= 0.85
    for one, other in zip(changed, usual, strict=True):
        assert one.raw_score is not None
        assert other.raw_score is not None
        assert one.raw_score.value == pytest.approx(other.raw_score.value, abs=0.1)

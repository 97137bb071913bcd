"""Tuned model files: used only where and as they were proved, and only when their answers hold."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelCatalogue, ModelStore
from pipeline.adapters.models.pull import sha256_of
from pipeline.adapters.models.tuned import Agreement, TunedRecord, read_record, tuned_file, write_record
from pipeline.domain.answers import Label, Usage
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.wiring.tuning import Sample, compared, holds
from tests.unit.test_models_store import ENTRY, MODEL, gguf

HERE = "a processor"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    (tmp_path / ENTRY.file).write_bytes(MODEL)
    target = tuned_file(tmp_path, ENTRY, "q8_0")
    target.parent.mkdir()
    target.write_bytes(gguf(tensors=2))
    write_record(tmp_path, ENTRY, record(sha256=sha256_of(target)))
    return ModelStore(tmp_path, catalogue=ModelCatalogue((ENTRY,)), sources=())


def record(**changes: Any) -> TunedRecord:  # noqa: ANN401 — fields of the record
    values = {
        "model": ENTRY.name,
        "source_sha256": ENTRY.sha256,
        "format": "q8_0",
        "sha256": "0" * 64,
        "machine": HERE,
        "library": "a library",
        "speeds": (),
        "agreement": None,
        "tuned_at": "2026-01-01T00:00:00+00:00",
    }
    return TunedRecord.model_validate({**values, **changes})


def test_a_tuned_file_is_used_under_its_own_hash(store: ModelStore) -> None:
    best = store.best(ENTRY.name, machine=HERE)
    assert best.path == tuned_file(store.folder, ENTRY, "q8_0")
    assert best.sha256 != ENTRY.sha256
    assert store.path(ENTRY.name).sha256 == ENTRY.sha256


def test_on_another_processor_the_shipped_file_is_used(store: ModelStore) -> None:
    assert store.best(ENTRY.name, machine="another").sha256 == ENTRY.sha256


@pytest.mark.parametrize("what", ["changed", "gone", "of another source", "no record", "shipped is best"])
def test_a_tuned_file_that_was_not_proved_is_not_used(store: ModelStore, what: str) -> None:
    target = tuned_file(store.folder, ENTRY, "q8_0")
    if what == "changed":
        target.write_bytes(gguf(tensors=3))
    elif what == "gone":
        target.unlink()
    elif what == "of another source":
        write_record(store.folder, ENTRY, record(sha256=sha256_of(target), source_sha256="1" * 64))
    elif what == "no record":
        (target.parent / f"{ENTRY.name}.json").write_text("{", encoding="utf-8")
    else:
        write_record(store.folder, ENTRY, record(format="shipped", sha256=ENTRY.sha256))
    assert store.best(ENTRY.name, machine=HERE).sha256 == ENTRY.sha256


def test_a_record_comes_back_as_it_was_written(store: ModelStore) -> None:
    found = read_record(store.folder, ENTRY)
    assert found is not None
    write_record(store.folder, ENTRY, found)
    assert read_record(store.folder, ENTRY) == found


def given(label: str, score: float) -> Given:
    return Given(answer=Label(label), raw_score=RawScore(score), usage=Usage(tokens_in=1), call_no=0)


def test_answers_are_compared_with_each_other_and_with_gold() -> None:
    shipped = [given("a", 0.9), given("b", 0.8), given("a", 0.6), given("b", 0.5)]
    tuned = [given("a", 0.88), given("b", 0.7), given("b", 0.6), given("b", 0.5)]
    found = compared(Sample(name="s", asks=(), gold=["a", "b", "b", "a"]), shipped, tuned)
    assert (found.answers, found.same) == (4, 0.75)
    assert found.median_change == pytest.approx(0.02)
    assert found.largest_change == pytest.approx(0.1)
    assert (found.shipped_accuracy, found.tuned_accuracy) == (0.5, 0.75)
    assert compared(Sample(name="s", asks=(), gold=None), shipped, tuned).tuned_accuracy is None


@pytest.mark.parametrize(
    ("shipped", "tuned", "same", "expected"),
    [
        (0.80, 0.80, 0.5, True),
        (0.80, 0.791, 0.99, True),
        (0.80, 0.78, 0.99, False),
        (None, None, 0.95, True),
        (None, None, 0.8, False),
    ],
)
def test_a_format_holds_when_it_is_no_more_than_a_point_worse(
    shipped: float | None, tuned: float | None, same: float, *, expected: bool
) -> None:
    found = Agreement(
        sample="s",
        answers=100,
        same=same,
        median_change=0.0,
        largest_change=0.0,
        shipped_accuracy=shipped,
        tuned_accuracy=tuned,
    )
    assert holds(found) is expected


def test_a_processor_is_named_with_what_matters_to_formats(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A Chip\nflags\t\t: fpu avx2 sse2 avx512_bf16\n", encoding="utf-8")
    assert processor_name(info) == "A Chip avx2 avx512_bf16"
    assert processor_name(tmp_path / "none")

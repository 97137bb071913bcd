"""Tuned model files: used only where and as they were proved, and only when their answers hold."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.llama.context import BATCH_TOKENS
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelCatalogue, ModelStore
from pipeline.adapters.models.pull import sha256_of
from pipeline.adapters.models.tuned import Agreement, TunedRecord, read_record, tuned_file, write_record
from pipeline.asking import asked_apart
from pipeline.domain.answers import Label, Usage
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import SentimentStep
from pipeline.domain.tiers import Tier
from pipeline.flow.samples import Sample, SampleStep
from pipeline.settings import Settings
from pipeline.wiring import engines
from pipeline.wiring.engines import threads_for
from pipeline.wiring.formats import batches_to_try, best_of, threads_to_try
from pipeline.wiring.tuning import compared, holds
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


def test_a_format_that_was_proved_for_heads_is_used_by_tiers_that_have_one_and_by_no_other(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore
) -> None:
    monkeypatch.setattr(engines, "model_store", lambda _: store)
    monkeypatch.setattr(engines, "processor_name", lambda: HERE)
    target = tuned_file(store.folder, ENTRY, "bf16")
    target.write_bytes(gguf(tensors=4))
    settings = Settings(home=store.folder)

    def formats() -> tuple[str, str]:
        """Return which files a tier without a head and one with a head load."""
        names = [engines.best_file(one, settings).path.name for one in (tier(), tier(learned="mine"))]
        return names[0], names[1]

    assert formats() == (f"{ENTRY.name}.q8_0.gguf",) * 2, "one that was proved for all is good for heads"
    write_record(store.folder, ENTRY, record(format="bf16", sha256=sha256_of(target), heads=True))
    assert formats() == (f"{ENTRY.name}.q8_0.gguf", f"{ENTRY.name}.bf16.gguf")
    kept = target.read_bytes()
    target.unlink()
    assert formats() == (f"{ENTRY.name}.q8_0.gguf",) * 2, "what was proved for heads is gone, the other is there"
    target.write_bytes(kept)
    (target.parent / f"{ENTRY.name}.json").unlink()
    assert formats() == (ENTRY.file, f"{ENTRY.name}.bf16.gguf")
    write_record(store.folder, ENTRY, record(format="bf16", sha256=sha256_of(target), heads=True, machine="another"))
    assert formats() == (ENTRY.file, ENTRY.file)


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
    assert read_record(store.folder, ENTRY, heads=True) is None
    write_record(store.folder, ENTRY, record(format="bf16", heads=True))
    assert read_record(store.folder, ENTRY) == found
    assert read_record(store.folder, ENTRY, heads=True) == record(format="bf16", heads=True)


def given(label: str, score: float) -> Given:
    return Given(answer=Label(label), raw_score=RawScore(score), usage=Usage(tokens_in=1), call_no=0)


def sample(gold: list[str] | None) -> Sample:
    asking = asked_apart(SentimentStep(name="mood", kind="sentiment"))
    return Sample(name="s", steps=[SampleStep(name="mood", asking=asking, texts=["t"] * 4, gold=gold)])


def test_answers_are_compared_with_each_other_and_with_gold() -> None:
    shipped = [given("a", 0.9), given("b", 0.8), given("a", 0.6), given("b", 0.5)]
    tuned = [given("a", 0.88), given("b", 0.7), given("b", 0.6), given("b", 0.5)]
    found = compared(sample(["a", "b", "b", "a"]), {"mood": shipped}, {"mood": tuned})
    assert (found.answers, found.same) == (4, 0.75)
    assert found.median_change == pytest.approx(0.02)
    assert found.largest_change == pytest.approx(0.1)
    assert (found.shipped_accuracy, found.tuned_accuracy) == (0.5, 0.75)
    assert compared(sample(None), {"mood": shipped}, {"mood": tuned}).tuned_accuracy is None


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


def test_another_number_is_taken_only_when_it_is_clearly_faster() -> None:
    assert best_of({256: 104.0, 512: 100.0, 1024: 90.0}, usual=512) == 512
    assert best_of({256: 90.0, 512: 100.0, 1024: 106.0}, usual=512) == 1024
    assert best_of({1: 60.0, 2: 100.0}, usual=2) == 2


@pytest.mark.parametrize(
    ("granted", "tried"), [(1, [1]), (3, [1, 2, 3]), (8, list(range(1, 9))), (48, [1, 2, 4, 8, 16, 24, 32, 48])]
)
def test_every_number_of_threads_is_tried_on_small_machines_and_some_on_large_ones(
    granted: int, tried: list[int]
) -> None:
    assert threads_to_try(granted) == tried


def test_what_was_measured_of_a_file_comes_with_it(store: ModelStore) -> None:
    target = tuned_file(store.folder, ENTRY, "q8_0")
    write_record(store.folder, ENTRY, record(sha256=sha256_of(target), granted_cpus=4, threads=2, batch_tokens=256))
    best = store.best(ENTRY.name, machine=HERE)
    assert best.batch_tokens == 256
    assert threads_for(tier(), best, None) <= 4
    write_record(store.folder, ENTRY, record(format="shipped", sha256=ENTRY.sha256, batch_tokens=1024))
    assert store.best(ENTRY.name, machine=HERE).batch_tokens == 1024
    assert store.best(ENTRY.name, machine="another").batch_tokens is None
    assert store.path(ENTRY.name).batch_tokens is None


def tier(**changes: Any) -> Tier:  # noqa: ANN401 — fields of the tier
    return Tier.model_validate(
        {"name": "small", "engine": "llama", "model": ENTRY.name, "chat_template": "chatml", **changes}
    )


@pytest.mark.parametrize(
    ("granted_then", "says", "share", "expected"),
    [(4, None, None, 2), (4, None, 1, 1), (4, None, 4, 2), (4, 3, 1, 3), (8, None, None, 4), (None, None, 3, 3)],
    ids=["measured", "a smaller share", "a larger share", "the tier says", "another machine", "not measured"],
)
def test_the_measured_threads_are_a_most_that_a_tier_may_override(
    monkeypatch: pytest.MonkeyPatch,
    store: ModelStore,
    granted_then: int | None,
    says: int | None,
    share: int | None,
    expected: int,
) -> None:
    monkeypatch.setattr(engines, "granted_cpus", lambda: 4)
    measured = record(sha256=sha256_of(tuned_file(store.folder, ENTRY, "q8_0")), granted_cpus=granted_then, threads=2)
    write_record(store.folder, ENTRY, measured)
    assert threads_for(tier(threads=says), store.best(ENTRY.name, machine=HERE), share) == expected


def test_a_tuned_file_answers_under_another_name_so_that_no_calibration_of_the_shipped_one_fits_it(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore
) -> None:
    """Ledger, attempts and calibrations know a model by this name: the job's, and the hash of the very file."""
    loaded: list[dict[str, Any]] = []
    monkeypatch.setattr("pipeline.adapters.llama.engine.LlamaEngine", lambda _, **how: loaded.append(how))
    target = tuned_file(store.folder, ENTRY, "q8_0")
    write_record(store.folder, ENTRY, record(sha256=sha256_of(target), batch_tokens=1024))
    for model in (store.path(ENTRY.name), store.best(ENTRY.name, machine=HERE)):
        engines.llama_engine(tier(), model)
    shipped, tuned = loaded
    assert shipped["model_name"] == f"{ENTRY.name}@{ENTRY.sha256[:12]}"
    assert tuned["model_name"] == f"{ENTRY.name}@{sha256_of(target)[:12]}" != shipped["model_name"]
    assert (shipped["batch_tokens"], tuned["batch_tokens"]) == (512, 1024)


def test_two_thousand_tokens_at_once_are_tried_on_a_gpu_only_and_the_usual_number_everywhere() -> None:
    assert 2048 in batches_to_try(has_gpu=True)
    assert 2048 not in batches_to_try(has_gpu=False)
    assert all(BATCH_TOKENS in batches_to_try(has_gpu=there) for there in (True, False))

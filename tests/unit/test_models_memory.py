"""The memory that a model takes is worked out from its file, summed over a machine, and refused with a way out."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pipeline.adapters.models import Architecture, MemoryNeed, memory_need
from pipeline.domain.errors import ModelError
from pipeline.domain.findings import Level
from pipeline.domain.tiers import Tier
from pipeline.wiring.fit import PROCESS_BYTES, Room, TierNeed, refuse_unless_it_fits, tier_need, together_bytes
from pipeline.wiring.job_checkup import memory_finding

SMOL = Architecture(
    layers=30,
    context_tokens=8192,
    embedding=576,
    feed_forward=1536,
    heads=9,
    cell_values=11_520,
    vocabulary=49_152,
    mapped_bytes=30_221_568,
    copied_bytes=99_975_168,
)


def tier(**keys: object) -> Tier:
    return Tier.model_validate({"name": "small", "engine": "llama", "model": "m", **keys})


def need(*, has_gpu: bool = False, **keys: object) -> TierNeed:
    found = tier_need(tier(**keys), SMOL, has_gpu=has_gpu)
    assert found is not None
    return found


def test_the_documented_series_holds() -> None:
    found = memory_need(SMOL, cells=8192, batch_tokens=512, outputs=128)
    assert found is not None
    assert found.weights_bytes == 130_196_736
    assert found.kv_bytes == 188_743_680
    assert found.compute_bytes == 32_112_640 + 25_165_824 + 27_288_000
    assert found.total_bytes == pytest.approx(403e6, rel=0.01)
    assert str(found).startswith("0.40 GB (weights 0.13 GB, context 0.19 GB, computing 0.08 GB)")


def test_with_a_long_context_and_few_outputs_the_layers_decide_what_computing_takes() -> None:
    found = memory_need(SMOL, cells=20_300, batch_tokens=512, outputs=4)
    assert found is not None
    # Cells are rounded up to 256; two masks of half floats, three widths of the inner layer, five of the outer.
    layer = 2 * 512 * 20_480 * 2 + 512 * (3 * 1536 + 5 * 576) * 4
    assert found.compute_bytes == layer + 4 * 49_152 * 4 + 27_288_000


@pytest.mark.parametrize(
    "measures",
    [
        replace(SMOL, embedding=None),
        replace(SMOL, feed_forward=None),
        replace(SMOL, cell_values=None),
        replace(SMOL, vocabulary=None),
    ],
    ids=["width", "inner width", "heads", "vocabulary"],
)
def test_a_file_that_does_not_say_enough_gives_no_estimate_and_no_refusal(measures: Architecture) -> None:
    assert memory_need(measures, cells=8192, batch_tokens=512, outputs=128) is None
    refuse_unless_it_fits(tier(), tier_need(tier(), measures, has_gpu=False), Room(host_bytes=0, gpu_bytes=None))


def test_a_window_beyond_what_the_model_was_trained_on_costs_no_more() -> None:
    assert need(context_tokens=100_000) == need(context_tokens=8192)
    assert need(context_tokens=4096).host.kv_bytes < need(context_tokens=8192).host.kv_bytes


def test_a_tier_that_does_not_fit_is_refused_with_the_numbers_and_the_way_out() -> None:
    small = need(context_tokens=4096)
    refuse_unless_it_fits(tier(), small, Room(host_bytes=small.host.total_bytes, gpu_bytes=None))
    with pytest.raises(ModelError, match=r"0\.65 GB.*0\.30 GB are free.*smaller context_tokens.*fewer tiers"):
        refuse_unless_it_fits(tier(), small, Room(host_bytes=300_000_000, gpu_bytes=None))


def test_layers_on_a_gpu_count_there() -> None:
    all_there, half, none = need(has_gpu=True), need(has_gpu=True, gpu_layers=15), need(has_gpu=True, gpu_layers=0)
    assert need(has_gpu=True, gpu_layers=-1) == need(has_gpu=True, gpu_layers=99) == all_there
    assert all_there.host.weights_bytes == all_there.host.kv_bytes == 0
    assert all_there.gpu_bytes == all_there.need.total_bytes
    assert half.host.kv_bytes == half.need.kv_bytes / 2
    assert (none.gpu_bytes, need(gpu_layers=-1).gpu_bytes) == (0, 0), "without a GPU everything stays here"
    roomy = 10**12
    refuse_unless_it_fits(tier(), all_there, Room(host_bytes=roomy, gpu_bytes=None))
    with pytest.raises(ModelError, match=r"of the GPU.*gpu_layers lower"):
        refuse_unless_it_fits(tier(), all_there, Room(host_bytes=roomy, gpu_bytes=1000))


def test_weights_used_in_the_file_count_once_for_all_processes_that_load_it() -> None:
    one = need()
    assert together_bytes([("a", one), ("b", one)]) == 2 * one.host.total_bytes
    assert together_bytes([("a", one), ("a", one)]) == 2 * one.host.total_bytes - one.host.mapped_bytes
    assert one.host.compute_bytes == one.need.compute_bytes + PROCESS_BYTES


def judged(needs: Mapping[str, tuple[str, TierNeed | None]], host_bytes: int, *, up: bool = False) -> Level:
    found = memory_finding(needs, Room(host_bytes=host_bytes, gpu_bytes=None), up=up)
    assert found.level is Level.OK or "context_tokens" in (found.mend or "")
    return found.level


def test_a_job_whose_workers_need_more_than_is_free_is_a_failure_unless_they_may_be_running() -> None:
    needs = {"small": ("a", need()), "large": ("b", need())}
    total = 2 * need().host.total_bytes
    assert judged(needs, total) is Level.OK
    assert judged(needs, total - 1) is Level.FAILURE
    assert judged(needs, total - 1, up=True) is Level.WARNING


def test_a_job_with_a_file_that_does_not_tell_says_so() -> None:
    needs: dict[str, tuple[str, TierNeed | None]] = {"small": ("a", need()), "odd": ("b", None)}
    found = memory_finding(needs, Room(host_bytes=10**12, gpu_bytes=None), up=False)
    assert "odd do not say enough" in found.seen


def test_what_is_said_of_a_need_names_its_parts() -> None:
    parts = MemoryNeed(mapped_bytes=10**9, copied_bytes=10**9, kv_bytes=3 * 10**9, compute_bytes=5 * 10**8)
    assert str(parts) == "5.50 GB (weights 2.00 GB, context 3.00 GB, computing 0.50 GB)"

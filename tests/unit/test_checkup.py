"""Each judgement of the check-up: what is fine, what a run survives, what it does not, and always the way out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.llama.probe import LibraryFacts
from pipeline.adapters.machine import available_memory_bytes, processor_features
from pipeline.adapters.postgres.probe import DatabaseFacts
from pipeline.adapters.redis_probe import RedisFacts
from pipeline.domain.findings import Finding, Level
from pipeline.domain.job import Job
from pipeline.settings import load_settings
from pipeline.wiring.checkup import (
    database_finding,
    home_finding,
    library_finding,
    masked_address,
    python_finding,
    redis_finding,
    settings_finding,
)
from pipeline.wiring.engines import too_many_threads
from pipeline.wiring.fit import Room
from pipeline.wiring.job_checkup import job_findings, threshold_findings

SLOWER = "more threads than CPUs make a model slower"


def level(finding: Finding) -> Level:
    """Return a finding's level; whatever is amiss must say what to do."""
    assert finding.level is Level.OK or finding.mend
    return finding.level


def facts(*, major: int = 16, revision: str | None = "0001", knows_revision: bool = True) -> DatabaseFacts:
    return DatabaseFacts(
        version=f"{major}.1", major=major, revision=revision, newest="0001", knows_revision=knows_revision
    )


@pytest.mark.parametrize(
    ("version", "expected"), [((3, 10, 9), Level.FAILURE), ((3, 11, 0), Level.OK), ((3, 14, 1), Level.OK)]
)
def test_python_must_be_3_11_or_newer(version: tuple[int, int, int], expected: Level) -> None:
    assert level(python_finding(version)) is expected


@pytest.mark.parametrize(
    ("mode", "free_gb", "expected"),
    [
        (0o700, 50.0, Level.OK),
        (0o755, 50.0, Level.WARNING),
        (0o700, 1.0, Level.WARNING),
        (0o700, 0.1, Level.FAILURE),
        (0o755, 0.1, Level.FAILURE),
    ],
)
def test_a_home_should_be_private_and_have_room(mode: int, free_gb: float, expected: Level) -> None:
    assert level(home_finding(Path("/data/headrace"), mode, free_gb)) is expected


@pytest.mark.parametrize(
    ("policy", "expected"), [("noeviction", Level.OK), ("allkeys-lru", Level.WARNING), (None, Level.WARNING)]
)
def test_redis_should_not_evict_what_is_queued(policy: str | None, expected: Level) -> None:
    assert level(redis_finding(RedisFacts(version="8.0", eviction=policy), "yours")) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (facts(), Level.OK),
        (facts(major=13), Level.FAILURE),
        (facts(revision=None), Level.WARNING),
        (facts(revision="0000"), Level.WARNING),
        (facts(revision="0099", knows_revision=False), Level.FAILURE),
    ],
)
def test_postgres_must_be_14_or_newer_with_tables_of_this_release(found: DatabaseFacts, expected: Level) -> None:
    assert level(database_finding(found, "yours")) is expected


@pytest.mark.parametrize(
    ("built", "processor", "expected"),
    [
        ({"AVX2", "FMA", "F16C"}, {"avx2", "fma", "f16c"}, Level.OK),
        ({"SSE3"}, {"avx2", "fma", "f16c"}, Level.WARNING),
        ({"AVX2"}, {"avx2", "avx512f"}, Level.WARNING),
        ({"NEON"}, {"asimd"}, Level.OK),
        (set(), set(), Level.OK),
    ],
)
def test_llama_cpp_should_use_what_the_processor_has(built: set[str], processor: set[str], expected: Level) -> None:
    found = LibraryFacts(version="0.3.36", features=frozenset(built))
    assert level(library_finding(found, frozenset(processor))) is expected


def test_what_rebuilds_llama_cpp_keeps_its_version_and_leaves_all_else_alone() -> None:
    found = library_finding(LibraryFacts(version="0.3.36", features=frozenset()), frozenset({"avx2"}))
    assert found.mend is not None
    assert found.mend.endswith("llama-cpp-python==0.3.36")
    assert "--no-deps --no-cache-dir" in found.mend


def test_settings_are_shown_without_secrets() -> None:
    found = settings_finding(
        load_settings(
            {
                "HEADRACE_REDIS_URL": "redis://:hush@db:6379/0",
                "HEADRACE_DATABASE_URL": "postgresql://me:hu/sh@db/h",
                "HEADRACE_LEASE_S": "30",
            }
        )
    )
    assert "HEADRACE_LEASE_S=30" in found.seen
    assert "HEADRACE_REDIS_URL=redis://***@db:6379/0" in found.seen
    assert "hush" not in found.seen
    assert "hu/sh" not in found.seen


def test_settings_that_nobody_made_are_all_defaults() -> None:
    assert settings_finding(load_settings({})).seen == "all defaults"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db:6379/0", "redis://db:6379/0"),
        ("rediss://me:hush@db/1?password=hush", "rediss://***@db/1"),
        ("postgresql+psycopg://me:hush@[::1]:5432/h", "postgresql+psycopg://***@[::1]:5432/h"),
        ("redis://me:hu@s/h@db:port/0", "redis://***@db:port/0"),
        ("me:hush@db", "***"),
    ],
)
def test_an_address_is_shown_without_user_password_and_parameters(url: str, shown: str) -> None:
    assert masked_address(url) == shown


def tier(name: str = "small", **more: Any) -> dict[str, Any]:  # noqa: ANN401 — any value of a job file
    return {"name": name, "engine": "instant", "model": "any", **more}


def job(tiers: Sequence[dict[str, Any]], **step: Any) -> Job:  # noqa: ANN401 — as above
    steps = [{"name": "topic", "kind": "classify", "labels": ["a", "b"], **step}, {"name": "mood", "kind": "sentiment"}]
    return Job.model_validate({"name": "tickets", "steps": steps, "tiers": tiers})


def test_a_tier_that_believes_from_the_default_on_is_named_with_its_steps() -> None:
    (found,) = threshold_findings(job([tier(), tier("large")]), {})
    assert level(found) is Level.WARNING
    assert "small believes topic, mood from 0.85" in found.seen


@pytest.mark.parametrize(("threads", "warned"), [(None, False), (2, False), (3, True), (1024, True)])
def test_more_threads_than_cpus_are_told_of(threads: int | None, *, warned: bool) -> None:
    said = too_many_threads(job([tier(threads=threads)]).tiers[0], 2)
    assert said == (f"threads = {threads}, and this machine grants 2: {SLOWER}" if warned else None)


def test_the_checkup_of_a_job_tells_of_too_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(
        'name = "j"\nsteps = [{ name = "mood", kind = "sentiment" }]\n'
        'tiers = [{ name = "t", engine = "llama", model = "no-such-model", threads = 1024 }]\n'
    )
    settings = load_settings({"HEADRACE_HOME": str(tmp_path), "HEADRACE_MODELS": str(tmp_path)})
    found = {one.name: one for one in job_findings(path, settings, Room(host_bytes=1 << 34, gpu_bytes=None), up=False)}
    assert level(found["threads of t"]) is Level.WARNING
    assert SLOWER in found["threads of t"].seen


def test_a_threshold_for_one_step_only_leaves_the_others_at_the_default() -> None:
    (found,) = threshold_findings(job([tier(accept_at={"topic": 0.9}), tier("large")]), {})
    assert "small believes mood from" in found.seen


@pytest.mark.parametrize("accept_at", [0.9, {"default": 0.9}, {"topic": 0.9, "mood": 0.8}])
def test_thresholds_that_the_job_sets_are_fine(accept_at: object) -> None:
    (found,) = threshold_findings(job([tier(accept_at=accept_at), tier("large")]), {})
    assert level(found) is Level.OK


def test_an_instant_tier_that_states_no_score_is_found_before_a_worker_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(
        'name = "j"\nsteps = [{ name = "mood", kind = "sentiment" }]\n'
        'tiers = [{ name = "small", engine = "instant", model = "score=7" }]\n'
    )
    (found,) = job_findings(path, load_settings({}), Room(host_bytes=1 << 34, gpu_bytes=None), up=False)
    assert found.level is Level.FAILURE
    assert found.seen.startswith("tiers.small.model: ")


def test_the_top_of_a_steps_ladder_needs_no_threshold() -> None:
    (found,) = threshold_findings(job([tier(), tier("large")], ladder=["large"]), {})
    assert "small believes mood from" in found.seen
    (found,) = threshold_findings(job([tier()]), {})
    assert level(found) is Level.OK


def test_memory_is_what_the_cgroup_leaves(tmp_path: Path) -> None:
    everything = available_memory_bytes(tmp_path / "no-cgroup")
    assert everything > 0
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert available_memory_bytes(tmp_path) == 600_000
    (tmp_path / "memory.current").write_text("1400000\n")
    assert available_memory_bytes(tmp_path) == 0
    # What was read once and lies in the page cache is given back whenever memory is wanted.
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 900000\nactive_file 100\n")
    assert available_memory_bytes(tmp_path) == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory_bytes(tmp_path) > 1_000_000


def test_processor_features_are_read_from_either_kind_of_processor(tmp_path: Path) -> None:
    intel, arm = tmp_path / "intel", tmp_path / "arm"
    intel.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    arm.write_text("Features\t: fp asimd\n")
    assert processor_features(intel) == {"fpu", "avx2", "fma"}
    assert processor_features(arm) == {"fp", "asimd"}
    assert processor_features(tmp_path / "none") == frozenset()

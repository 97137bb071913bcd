"""The user's own checks: a job file brings code, a job from the database never does."""

import sys
from pathlib import Path

import pytest

from pipeline.adapters.entry_points import load_entry_points, loader_within, named_entry_points
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.settings import load_settings


def job_with(*entry_points: str) -> Job:
    return Job.model_validate(
        {
            "name": "checked",
            "text": "{text}",
            "steps": [
                {
                    "name": "mood",
                    "kind": "sentiment",
                    "checks": [{"kind": "python", "entry_point": name} for name in entry_points],
                }
            ],
            "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
        }
    )


@pytest.fixture
def marking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that is there as soon as somebody imports the module `marking_module`."""
    mark = tmp_path / "imported"
    (tmp_path / "marking_module.py").write_text(
        f"open({str(mark)!r}, 'w').close()\ndef holds(value, text): return True\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "marking_module", raising=False)
    return mark


def test_a_job_file_brings_code_by_design(marking: Path) -> None:
    assert load_entry_points(job_with("marking_module:holds"))["marking_module:holds"](1, "x")
    assert marking.exists()


@pytest.mark.parametrize("named", ["marking_module:holds", "os:system", "builtins:eval"])
def test_a_stored_job_cannot_name_code_that_the_workers_own_job_does_not(marking: Path, named: str) -> None:
    load = loader_within(named_entry_points(job_with("json:dumps")))
    with pytest.raises(ConfigError, match=f"{named}, which this worker's own job file does not"):
        load(job_with("json:dumps", named))
    assert not marking.exists(), "nothing was imported"


def test_what_the_workers_own_job_names_is_loaded_for_a_stored_job_too(marking: Path) -> None:
    load = loader_within(named_entry_points(job_with("marking_module:holds")))
    assert set(load(job_with("marking_module:holds"))) == {"marking_module:holds"}
    assert marking.exists()
    assert load(job_with()) == {}


def test_a_setting_allows_checks_of_other_jobs_by_name() -> None:
    allowed = load_settings({"HEADRACE_ALLOW_CHECKS": " json:dumps, ,a.b:c "}).allowed_checks
    assert allowed == {"json:dumps", "a.b:c"}
    assert set(loader_within(allowed)(job_with("json:dumps"))) == {"json:dumps"}
    assert load_settings({}).allowed_checks == frozenset()

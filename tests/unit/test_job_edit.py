"""A job file that is changed keeps all that is not."""

from pathlib import Path

import pytest

from pipeline import samples
from pipeline.adapters.user_files import edited_job, load_job
from pipeline.domain.errors import JobError


def edited(tmp_path: Path, text: str, **changes: object) -> str:
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    return edited_job(path, **{"ladders": {}, "thresholds": {}, **changes})  # type: ignore[arg-type]


def test_a_job_keeps_every_line_that_is_not_changed(tmp_path: Path) -> None:
    text = samples.path("tickets.toml").read_text(encoding="utf-8")
    assert edited(tmp_path, text) == text
    changed = edited(tmp_path, text, ladders={"mood": ["large"]}, thresholds={"small": {"category": 0.8123456789}})
    kept = [line for line in text.splitlines() if not line.startswith("accept_at")]
    assert [line for line in changed.splitlines() if line in kept] == kept
    (tmp_path / "job.toml").write_text(changed, encoding="utf-8")
    job = load_job(tmp_path / "job.toml")
    assert [job.ladder(number) for number in range(3)] == [(0, 1), (0, 1), (1,)]
    assert job.tiers[0].accept_at == {"default": 0.75, "category": 0.812346}


def test_one_number_for_all_steps_stays_the_one_for_the_others(tmp_path: Path) -> None:
    text = samples.path("tickets.toml").read_text(encoding="utf-8")
    plain = text.replace("accept_at = { default = 0.75, category = 0.7 }", "accept_at = 0.9")
    changed = edited(tmp_path, plain, thresholds={"small": {"mood": 0.5}, "large": {"mood": 0.1}})
    (tmp_path / "job.toml").write_text(changed, encoding="utf-8")
    job = load_job(tmp_path / "job.toml")
    assert job.tiers[0].accept_at == {"default": 0.9, "mood": 0.5}
    assert job.tiers[1].accept_at == {"mood": 0.1}


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    text = samples.path("tickets.toml").read_text(encoding="utf-8")
    with pytest.raises(JobError, match="has no steps called colour"):
        edited(tmp_path, text, ladders={"colour": ["small"]})
    with pytest.raises(JobError, match="cannot be read as TOML"):
        edited(tmp_path, "name = ")

"""The job file: TOML → Job."""

from pathlib import Path

from pipeline.adapters.user_files.document import read_model
from pipeline.domain.errors import JobError
from pipeline.domain.job import Job


def load_job(path: Path) -> Job:
    """Read and validate a job file; raises JobError listing every error with its key, line and what is allowed."""
    return read_model(path, Job, title="job file", error=JobError)

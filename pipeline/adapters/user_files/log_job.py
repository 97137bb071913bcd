"""The log job file: TOML → LogJob, its paths made to begin at the file."""

import glob
from pathlib import Path

from pipeline.adapters.user_files.document import read_model
from pipeline.domain.errors import JobError
from pipeline.domain.logs.nights import LogJob


def load_log_job(path: Path) -> LogJob:
    """Read and validate a log job file; raises JobError listing every error with its key, line and what is allowed."""
    job = read_model(path, LogJob, title="log job file", error=JobError)
    folder = path.resolve().parent
    return job.model_copy(
        update={
            "files": tuple(
                one if Path(one).is_absolute() else f"{glob.escape(str(folder))}/{one}" for one in job.files
            ),
            **{
                name: None if (named := getattr(job, name)) is None else str(folder / named)
                for name in ("reports", "ask", "ask_values", "ask_words")
            },
        }
    )

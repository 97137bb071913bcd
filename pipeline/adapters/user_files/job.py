"""The job file: TOML → Job, with the chat templates that it names put in."""

from pathlib import Path
from typing import Final

from pipeline.adapters.user_files.document import read_model
from pipeline.domain.errors import JobError
from pipeline.domain.job import Job
from pipeline.domain.tiers import TEMPLATE_SUFFIX, Tier

MAX_TEMPLATE_BYTES: Final = 1 << 20


def load_job(path: Path) -> Job:
    """Read and validate a job file; raises JobError listing every error with its key, line and what is allowed.

    A `chat_template` that names a `.jinja` file, relative to the job file, is replaced by that file's text.
    """
    job = read_model(path, Job, title="job file", error=JobError)
    return job.model_copy(update={"tiers": tuple(_with_template(tier, path.parent) for tier in job.tiers)})


def _with_template(tier: Tier, folder: Path) -> Tier:
    named = tier.chat_template
    if named is None or not named.endswith(TEMPLATE_SUFFIX):
        return tier
    try:
        with (folder / named).open("rb") as file:
            text = file.read(MAX_TEMPLATE_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise JobError(f"tiers.{tier.name}.chat_template: {folder / named} cannot be read: {reason}") from None
    if len(text) > MAX_TEMPLATE_BYTES or "{" not in text:
        raise JobError(f"tiers.{tier.name}.chat_template: {folder / named} is no chat template")
    return tier.model_copy(update={"chat_template": text})

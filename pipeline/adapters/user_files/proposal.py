"""Proposals of thresholds as TOML files, for people to read and change before they are applied."""

import os
from pathlib import Path

import tomlkit

from pipeline.adapters.user_files.document import read_model
from pipeline.domain.errors import ConfigError
from pipeline.domain.review import Proposal

_HEAD = (
    "Thresholds proposed for a job, from an evaluation. Nothing has changed yet: read it, change what you like,",
    "and put it to use with `headrace policy apply THIS_FILE JOB`. `expected` is only for reading.",
)


def write_proposal(path: Path, proposal: Proposal) -> None:
    """Write a proposal; raises ConfigError where the file is there already or cannot be written."""
    document = tomlkit.document()
    for line in _HEAD:
        document.add(tomlkit.comment(line))
    document.update(proposal.model_dump(mode="json", exclude_none=True))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
    except FileExistsError:
        raise ConfigError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def read_proposal(path: Path) -> Proposal:
    """Read a proposal as its reader left it; raises ConfigError naming key and line."""
    return read_model(path, Proposal, title="proposal", error=ConfigError)

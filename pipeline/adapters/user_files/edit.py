"""Changes to a job file that keep everything else in it as its author wrote it, comments and all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from pipeline.domain.errors import ConfigError, JobError


def edited_job(
    path: Path, *, ladders: Mapping[str, Sequence[str]], thresholds: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the job file's text with other ladders (step → tiers) and thresholds (tier → step → least confidence).

    Raises JobError where the file cannot be read or lacks them.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TOMLKitError):
        raise JobError(f"{path} cannot be read as TOML") from None
    for name, tiers in ladders.items():
        _named(document, "steps", name, path)["ladder"] = list(tiers)
    for name, wanted in thresholds.items():
        tier = _named(document, "tiers", name, path)
        now = tier.get("accept_at")
        held = dict(now) if isinstance(now, Mapping) else {} if now is None else {"default": now}
        table = tomlkit.inline_table()
        table.update({**held, **{step: round(value, 6) for step, value in wanted.items()}})
        tier["accept_at"] = table
    return tomlkit.dumps(document)


def write_job(path: Path, text: str) -> None:
    """Put a text in a job file's place, all of it or nothing; raises ConfigError."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _named(document: Mapping[str, Any], table: str, name: str, path: Path) -> Any:  # noqa: ANN401 — tomlkit's own kinds
    found = next((one for one in document.get(table, []) if one.get("name") == name), None)
    if found is None:
        raise JobError(f"{path} has no {table} called {name}")
    return found

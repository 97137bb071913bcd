"""Records beside the models: what was measured, as JSON files that are written whole or not at all."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.domain.errors import ModelError

_Record = TypeVar("_Record", bound=BaseModel)


def keep(path: Path, record: BaseModel) -> None:
    """Write a record; raises ModelError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".json.partial")
        partial.write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None


def kept(path: Path, kind: type[_Record]) -> _Record | None:
    """Read a record; None where there is none, or none of this kind."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None

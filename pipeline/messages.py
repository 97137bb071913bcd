"""What travels on a queue: a version and a chunk's id. Never customer text."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.domain.errors import MessageError

JUDGE_TASK = "headrace.judge"
VERSION = 1


class JudgeChunk(BaseModel):
    """Ask the worker of a tier to claim and judge one chunk."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = VERSION
    chunk_id: int = Field(ge=0, lt=1 << 63)


def read(body: Mapping[str, Any]) -> JudgeChunk:
    """Check a message body; raises MessageError when it is not ours or of another version."""
    try:
        message = JudgeChunk.model_validate(dict(body))
    except ValidationError as error:
        msg = f"not a judge message ({error.error_count()} faults): is another program using these queues?"
        raise MessageError(msg) from None
    if message.version != VERSION:
        msg = f"message version {message.version}, this worker knows {VERSION}: upgrade all workers to one release"
        raise MessageError(msg)
    return message

"""Reads what a GGUF file says about itself, with the standard library alone and trusting nothing.

Layout, little-endian: `GGUF`, version, tensor count, key count; the keys; the tensors' names, shapes, types and
offsets; padding; the tensors' bytes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.adapters.models.architecture import ENDINGS, Architecture, architecture_of
from pipeline.adapters.models.bert import ENCODER_ENDINGS, ENCODER_KEYS, ENCODERS, check_encoder
from pipeline.adapters.models.ggml_types import FILE_TYPES
from pipeline.adapters.models.gguf_layout import Cursor, Value, read_key, read_tensor
from pipeline.adapters.models.vocabulary import KEYS
from pipeline.domain.errors import ModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_KEYS: Final = 65_536
MAX_TENSORS: Final = 262_144
MAX_ALIGNMENT: Final = 1 << 20
_WANTED: Final = (
    KEYS
    | ENCODER_KEYS
    | {
        "general.alignment",
        "general.architecture",
        "general.file_type",
        "general.name",
        "split.count",
        "tokenizer.chat_template",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufHeader:
    """What a GGUF says about itself; None where it does not say."""

    version: int
    architecture: str
    name: str | None
    context_tokens: int | None
    #: A chat template lies in the file (`tokenizer.chat_template`).
    has_chat_template: bool
    #: Such as `Q4_K_M`; `type N` for a number that we do not know.
    file_type: str | None
    tensor_count: int
    #: Bytes from the first tensor's to the last tensor's end.
    tensor_bytes: int
    file_bytes: int
    #: Files that the model is split into; 1 for an ordinary one.
    split_count: int
    measures: Architecture

    @property
    def is_encoder(self) -> bool:
        """Whether it makes vectors of texts, and writes nothing."""
        return self.architecture in ENCODERS


def read_header(path: Path) -> GgufHeader:
    """Read the header of the GGUF at `path` and check that the file can be what it says.

    Whatever llama.cpp is to load goes through here first: over some lies it ends the process.

    Raises:
        ModelError: it cannot be read, is not a GGUF of version 2 or 3, contradicts itself, or is truncated.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _read(Cursor(stream, name=path.name, size=size))
    except OSError as error:
        msg = f"the model file {path} cannot be read ({error.strerror or type(error).__name__}): check path and rights"
        raise ModelError(msg) from error


def _read(cursor: Cursor) -> GgufHeader:
    version = _read_version(cursor)
    tensor_count = cursor.length("the number of tensors", limit=MAX_TENSORS)
    key_count = cursor.length("the number of keys", limit=MAX_KEYS)
    values: dict[str, Value] = {}
    for _ in range(key_count):
        key, value = read_key(cursor, _WANTED, (*ENDINGS, *ENCODER_ENDINGS))
        if value is not None:
            values[key] = value
    entries = [read_tensor(cursor) for _ in range(tensor_count)]
    data_end = max((end for _, end in entries), default=0)
    alignment = _whole(values, "general.alignment", 32)
    if not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise cursor.refuse("its alignment is no power of two")
    data_start = math.ceil(cursor.position / alignment) * alignment
    if tensor_count and data_start + data_end > cursor.size:
        needed = data_start + data_end
        raise cursor.refuse(f"it is truncated: its tensors need {needed} bytes and it has {cursor.size}")
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise cursor.refuse("it does not name its architecture")
    name = values.get("general.name")
    measures = architecture_of(architecture, values, (tensor for tensor, _ in entries), cursor.refuse)
    if architecture in ENCODERS:
        every = [tensor for tensor, _ in entries]
        width, heads = measures.embedding, measures.heads
        check_encoder(architecture, values, every, embedding=width, heads=heads, refuse=cursor.refuse)
    file_type = _whole(values, "general.file_type", -1)
    return GgufHeader(
        version=version,
        architecture=architecture,
        name=name if isinstance(name, str) else None,
        context_tokens=measures.context_tokens,
        has_chat_template=bool(values.get("tokenizer.chat_template")),
        file_type=FILE_TYPES.get(file_type, f"type {file_type}") if file_type >= 0 else None,
        tensor_count=tensor_count,
        tensor_bytes=data_end,
        file_bytes=cursor.size,
        split_count=max(1, _whole(values, "split.count", 1)),
        measures=measures,
    )


def _read_version(cursor: Cursor) -> int:
    if cursor.size < len(MAGIC) or cursor.read(len(MAGIC), "the first four bytes") != MAGIC:
        raise cursor.refuse("it does not begin with the letters GGUF")
    version = cursor.number("<I", "the version")
    if version not in VERSIONS:
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        raise cursor.refuse("it is big-endian" if big_endian else f"its version is {version}, not 2 or 3")
    return version


def _whole(values: Mapping[str, Value], key: str, default: int) -> int:
    value = values.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default

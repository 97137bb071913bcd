"""Reads what a GGUF file says about itself, with the standard library alone and trusting nothing.

Layout, little-endian: `GGUF`, version, tensor count, key count; the keys; the tensors' names, shapes, types and
offsets; padding; the tensors' bytes. Every count and length is checked against the bytes that are left in the file
before anything is read, so a file that lies costs an error and no memory.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pipeline.adapters.models.ggml_types import BLOCKS, FILE_TYPES
from pipeline.domain.errors import ModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_KEYS: Final = 65_536
MAX_TENSORS: Final = 262_144
MAX_NAME_BYTES: Final = 65_535
MAX_KEPT_NAME_CHARS: Final = 128
MAX_KEPT_BYTES: Final = 1 << 20
MAX_STRING_BYTES: Final = 1 << 26
MAX_ARRAY_LENGTH: Final = 1 << 24
MAX_ARRAY_DEPTH: Final = 3
MAX_DIMENSIONS: Final = 8
MAX_ALIGNMENT: Final = 1 << 20

_SCALARS: Final[Mapping[int, str]] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_WANTED_KEYS: Final = frozenset(
    {
        "general.alignment",
        "general.architecture",
        "general.file_type",
        "general.name",
        "split.count",
        "tokenizer.chat_template",
    }
)
_STRING: Final = 8
_ARRAY: Final = 9

Scalar = int | float | bool | str


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


class _Cursor:
    """Reads forward through one file and refuses to go past its end."""

    def __init__(self, stream: BinaryIO, *, name: str, size: int) -> None:
        self._stream = stream
        self._name = name
        self.size = size
        self.position = 0

    def refuse(self, what: str) -> ModelError:
        return ModelError(f"{self._name} is not a usable GGUF file: {what}. Pull it or copy it again.")

    def read(self, length: int, what: str) -> bytes:
        self._claim(length, what)
        data = self._stream.read(length)
        if len(data) != length:
            raise self.refuse(f"it ends inside {what}")
        return data

    def skip(self, length: int, what: str) -> None:
        self._claim(length, what)
        self._stream.seek(length, 1)

    def number(self, form: str, what: str) -> int:
        value: int = struct.unpack(form, self.read(struct.calcsize(form), what))[0]
        return value

    def length(self, what: str, *, limit: int) -> int:
        value = self.number("<Q", what)
        if value > limit:
            raise self.refuse(f"{what} is {value}, more than the {limit} that are believable")
        return value

    def _claim(self, length: int, what: str) -> None:
        if length > self.size - self.position:
            raise self.refuse(f"it ends inside {what} (truncated at {self.size} bytes)")
        self.position += length


def read_header(path: Path) -> GgufHeader:
    """Read the header of the GGUF at `path` and check that the file is as long as its tensors need.

    Raises:
        ModelError: it cannot be read, is not a GGUF of version 2 or 3, contradicts itself, or is truncated.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _read(_Cursor(stream, name=path.name, size=size))
    except OSError as error:
        msg = f"the model file {path} cannot be read ({error.strerror or type(error).__name__}): check path and rights"
        raise ModelError(msg) from error


def _read(cursor: _Cursor) -> GgufHeader:
    version = _read_version(cursor)
    tensor_count = cursor.length("the number of tensors", limit=MAX_TENSORS)
    key_count = cursor.length("the number of keys", limit=MAX_KEYS)
    values: dict[str, Scalar] = {}
    for _ in range(key_count):
        key, value = _read_key(cursor)
        if value is not None:
            values[key] = value
    data_end = _tensors_end(cursor, tensor_count)
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
    context_tokens = _whole(values, f"{architecture}.context_length", 0)
    file_type = _whole(values, "general.file_type", -1)
    return GgufHeader(
        version=version,
        architecture=architecture,
        name=name if isinstance(name, str) else None,
        context_tokens=context_tokens if context_tokens > 0 else None,
        has_chat_template=bool(values.get("tokenizer.chat_template")),
        file_type=FILE_TYPES.get(file_type, f"type {file_type}") if file_type >= 0 else None,
        tensor_count=tensor_count,
        tensor_bytes=data_end,
        file_bytes=cursor.size,
        split_count=max(1, _whole(values, "split.count", 1)),
    )


def _read_version(cursor: _Cursor) -> int:
    if cursor.size < len(MAGIC) or cursor.read(len(MAGIC), "the first four bytes") != MAGIC:
        raise cursor.refuse("it does not begin with the letters GGUF")
    version = cursor.number("<I", "the version")
    if version not in VERSIONS:
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        raise cursor.refuse("it is big-endian" if big_endian else f"its version is {version}, not 2 or 3")
    return version


def _read_key(cursor: _Cursor) -> tuple[str, Scalar | None]:
    """One key and its value; None for what we have no use for, which is passed over and not kept in memory."""
    key = _text(cursor, "a key's name", limit=MAX_NAME_BYTES)
    wanted = key in _WANTED_KEYS or (key.endswith(".context_length") and len(key) <= MAX_KEPT_NAME_CHARS)
    kind = cursor.number("<I", "a key's type")
    if kind == _ARRAY:
        _skip_array(cursor, depth=1)
        return key, None
    if kind == _STRING:
        length = cursor.length("a string's length", limit=MAX_STRING_BYTES)
        if not wanted or length > MAX_KEPT_BYTES:
            cursor.skip(length, "a string")
            return key, None
        return key, cursor.read(length, "a string").decode(errors="replace")
    form = _SCALARS.get(kind)
    if form is None:
        raise cursor.refuse(f"it has a value of the unknown type {kind}")
    value: int | float | bool = struct.unpack(form, cursor.read(struct.calcsize(form), "a value"))[0]
    return key, value if wanted else None


def _skip_array(cursor: _Cursor, *, depth: int) -> None:
    if depth > MAX_ARRAY_DEPTH:
        raise cursor.refuse("its arrays are nested too deeply")
    kind = cursor.number("<I", "an array's type")
    length = cursor.length("an array's length", limit=MAX_ARRAY_LENGTH)
    if kind == _STRING:
        for _ in range(length):
            cursor.skip(cursor.length("a string's length", limit=MAX_STRING_BYTES), "a string")
    elif kind == _ARRAY:
        for _ in range(length):
            _skip_array(cursor, depth=depth + 1)
    elif kind in _SCALARS:
        cursor.skip(length * struct.calcsize(_SCALARS[kind]), "an array")
    else:
        raise cursor.refuse(f"it has an array of the unknown type {kind}")


def _tensors_end(cursor: _Cursor, count: int) -> int:
    """Bytes from the start of the tensors' data to the end of the last one."""
    end = 0
    for _ in range(count):
        _text(cursor, "a tensor's name", limit=MAX_NAME_BYTES)
        dimensions = cursor.number("<I", "a tensor's number of dimensions")
        if dimensions > MAX_DIMENSIONS:
            raise cursor.refuse(f"a tensor claims {dimensions} dimensions")
        shape = [cursor.number("<Q", "a tensor's shape") for _ in range(dimensions)]
        kind = cursor.number("<I", "a tensor's type")
        offset = cursor.number("<Q", "a tensor's place")
        # A type newer than our table has an unknown size: then only its beginning must lie in the file.
        per_block, block_bytes = BLOCKS.get(kind, (1, 0))
        if shape and shape[0] % per_block:
            raise cursor.refuse("a tensor's row is not a whole number of blocks")
        end = max(end, offset + math.prod(shape) // per_block * block_bytes)
    return end


def _text(cursor: _Cursor, what: str, *, limit: int) -> str:
    return cursor.read(cursor.length(f"the length of {what}", limit=limit), what).decode(errors="replace")


def _whole(values: Mapping[str, Scalar], key: str, default: int) -> int:
    value = values.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default

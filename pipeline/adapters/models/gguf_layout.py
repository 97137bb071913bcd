"""The parts that a GGUF file is laid out of: keys with values, then tensors. Nothing is believed unchecked.

Every count and length is held against the bytes that are left in the file before anything is read, so a file that
lies costs an error and no memory.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from pipeline.adapters.models.ggml_types import BLOCKS
from pipeline.domain.errors import ModelError

MAX_NAME_BYTES: Final = 65_535
MAX_KEPT_NAME_CHARS: Final = 128
MAX_KEPT_BYTES: Final = 1 << 20
MAX_KEPT_NUMBERS: Final = 1024
MAX_KEPT_TEXTS: Final = 1 << 20
MAX_KEPT_TEXT_BYTES: Final = 1 << 26
MAX_STRING_BYTES: Final = 1 << 26
MAX_ARRAY_LENGTH: Final = 1 << 24
MAX_ARRAY_DEPTH: Final = 3
MAX_DIMENSIONS: Final = 4  # as ggml has it

_SCALARS: Final[Mapping[int, str]] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_WHOLE: Final = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
_STRING: Final = 8
UINT_32: Final = 4
INT_32: Final = 5
FLOAT_32: Final = 6
_ARRAY: Final = 9

Scalar = int | float | bool | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """An array of a header, of which only what is needed is kept."""

    length: int
    kind: int
    """GGUF's code of what is in it."""
    numbers: tuple[int, ...] | None = None
    """The whole numbers in it; None for other things, and for more of them than a model has layers."""
    texts: tuple[bytes, ...] | None = None
    """The texts in it; None for other things, and for more of them than any vocabulary has."""
    largest: int | None = None
    """The largest whole number in it; None for other things, none, and more of them than any vocabulary has."""


Value = Scalar | Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor as the header announces it."""

    name: str
    shape: tuple[int, ...]
    """Innermost first, as ggml counts."""
    kind: int
    size_bytes: int
    """0 for a number format that is newer than our table."""


class Cursor:
    """Reads forward through one file and refuses to go past its end."""

    def __init__(self, stream: BinaryIO, *, name: str, size: int) -> None:
        """`size` is the file's, in bytes; `name` is what errors call it."""
        self._stream = stream
        self._name = name
        self.size = size
        self.position = 0

    def refuse(self, what: str) -> ModelError:
        """Return the error for a file of which `what` is true."""
        return ModelError(f"{self._name} is not a usable GGUF file: {what}. Pull it or copy it again.")

    def read(self, length: int, what: str) -> bytes:
        """Return the next bytes; raises ModelError where the file ends before."""
        self._claim(length, what)
        data = self._stream.read(length)
        if len(data) != length:
            raise self.refuse(f"it ends inside {what}")
        return data

    def skip(self, length: int, what: str) -> None:
        """Pass over bytes; raises ModelError where the file ends before."""
        self._claim(length, what)
        self._stream.seek(length, 1)

    def number(self, form: str, what: str) -> int:
        """Return the next number, laid out as `struct` writes `form`."""
        value: int = struct.unpack(form, self.read(struct.calcsize(form), what))[0]
        return value

    def length(self, what: str, *, limit: int) -> int:
        """Return the next count; raises ModelError beyond `limit`."""
        value = self.number("<Q", what)
        if value > limit:
            raise self.refuse(f"{what} is {value}, more than the {limit} that are believable")
        return value

    def text(self, what: str, *, limit: int) -> str:
        """Return the next string of at most `limit` bytes."""
        return self.read(self.length(f"the length of {what}", limit=limit), what).decode(errors="replace")

    def _claim(self, length: int, what: str) -> None:
        if length > self.size - self.position:
            raise self.refuse(f"it ends inside {what} (truncated at {self.size} bytes)")
        self.position += length


def read_key(cursor: Cursor, wanted: frozenset[str], wanted_endings: tuple[str, ...]) -> tuple[str, Value | None]:
    """Read one key and its value; None for what nobody wants, which is passed over and not kept in memory."""
    key = cursor.text("a key's name", limit=MAX_NAME_BYTES)
    keep = key in wanted or (key.endswith(wanted_endings) and len(key) <= MAX_KEPT_NAME_CHARS)
    kind = cursor.number("<I", "a key's type")
    if kind == _ARRAY:
        array = _read_array(cursor, keep=keep, depth=1)
        return key, array if keep else None
    if kind == _STRING:
        length = cursor.length("a string's length", limit=MAX_STRING_BYTES)
        if not keep or length > MAX_KEPT_BYTES:
            cursor.skip(length, "a string")
            return key, None
        return key, cursor.read(length, "a string").decode(errors="replace")
    form = _SCALARS.get(kind)
    if form is None:
        raise cursor.refuse(f"it has a value of the unknown type {kind}")
    value: int | float | bool = struct.unpack(form, cursor.read(struct.calcsize(form), "a value"))[0]
    return key, value if keep else None


def _read_array(cursor: Cursor, *, keep: bool, depth: int) -> Array:
    if depth > MAX_ARRAY_DEPTH:
        raise cursor.refuse("its arrays are nested too deeply")
    kind = cursor.number("<I", "an array's type")
    length = cursor.length("an array's length", limit=MAX_ARRAY_LENGTH)
    numbers: tuple[int, ...] | None = None
    texts: tuple[bytes, ...] | None = None
    largest: int | None = None
    if kind == _STRING and keep and length <= MAX_KEPT_TEXTS:
        texts = tuple(_read_texts(cursor, length))
    elif kind == _STRING:
        for _ in range(length):
            cursor.skip(cursor.length("a string's length", limit=MAX_STRING_BYTES), "a string")
    elif kind == _ARRAY:
        for _ in range(length):
            _read_array(cursor, keep=False, depth=depth + 1)
    elif kind not in _SCALARS:
        raise cursor.refuse(f"it has an array of the unknown type {kind}")
    elif keep and kind in _WHOLE and length <= MAX_KEPT_TEXTS:
        form = f"<{length}{_SCALARS[kind][1:]}"
        found: tuple[int, ...] = struct.unpack(form, cursor.read(struct.calcsize(form), "an array"))
        numbers, largest = found if length <= MAX_KEPT_NUMBERS else None, max(found, default=None)
    else:
        cursor.skip(length * struct.calcsize(_SCALARS[kind]), "an array")
    return Array(length=length, kind=kind, numbers=numbers, texts=texts, largest=largest)


def _read_texts(cursor: Cursor, length: int) -> Iterator[bytes]:
    left = MAX_KEPT_TEXT_BYTES
    for _ in range(length):
        size = cursor.length("a string's length", limit=left)
        left -= size
        yield cursor.read(size, "a string")


def read_tensor(cursor: Cursor) -> tuple[Tensor, int]:
    """Read one tensor's entry, and at which byte of the tensors' data its own ends."""
    name = cursor.text("a tensor's name", limit=MAX_NAME_BYTES)
    dimensions = cursor.number("<I", "a tensor's number of dimensions")
    if dimensions > MAX_DIMENSIONS:
        raise cursor.refuse(f"a tensor claims {dimensions} dimensions")
    shape = tuple(cursor.number("<Q", "a tensor's shape") for _ in range(dimensions))
    if 0 in shape:
        raise cursor.refuse("a tensor has a dimension of zero")
    kind = cursor.number("<I", "a tensor's type")
    offset = cursor.number("<Q", "a tensor's place")
    # A type newer than our table has an unknown size: then only its beginning must lie in the file.
    per_block, block_bytes = BLOCKS.get(kind, (1, 0))
    if shape and shape[0] % per_block:
        raise cursor.refuse("a tensor's row is not a whole number of blocks")
    size_bytes = math.prod(shape) // per_block * block_bytes
    return Tensor(name=name, shape=shape, kind=kind, size_bytes=size_bytes), offset + size_bytes

"""journald's export format (`journalctl --output=export`): entries as lines of JSON, each known by where it ends.

An entry is fields, `NAME=text` or, where a text has line feeds or is none, NAME, its length in 8 bytes and the bytes; a
blank line ends it. See "Journal Export Formats" of the systemd project.
"""

import json
import struct
from collections.abc import Iterable, Iterator

from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.blocks import MOST_LINE_BYTES

BEGINS = b"__CURSOR="
_LENGTH = struct.Struct("<Q")
_MOST_ENTRY_BYTES = 4 * MOST_LINE_BYTES


def entries(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield each complete entry as a line of JSON, and how many bytes it was.

    Raises ConfigError where the bytes are no such entry; what is not complete at the end is left.
    """
    waiting = b""
    for piece in pieces:
        waiting += piece
        at = 0
        while (found := _entry(waiting, at)) is not None:
            fields, end = found
            if fields:
                yield json.dumps(fields).encode() + b"\n", end - at
            else:
                yield b"", end - at  # a blank line more than is needed
            at = end
        waiting = waiting[at:]
        if len(waiting) > _MOST_ENTRY_BYTES:
            raise ConfigError("its journal export is damaged: an entry does not end")


def _entry(data: bytes, start: int) -> tuple[dict[str, str | list[str]], int] | None:
    """Return an entry's fields and where it ends; None where it is not complete yet."""
    fields: dict[str, str | list[str]] = {}
    at = start
    while (end := data.find(b"\n", at)) >= 0:
        if end == at:
            return fields, at + 1
        name, equals, text = data[at:end].partition(b"=")
        if not equals:
            head = end + 1 + _LENGTH.size
            if len(data) < head:
                return None
            length = _LENGTH.unpack_from(data, end + 1)[0]
            if length > _MOST_ENTRY_BYTES:
                raise ConfigError("its journal export is damaged: a field is said to be too long")
            if len(data) <= head + length:
                return None
            text, end = data[head : head + length], head + length
            if data[end : end + 1] != b"\n":
                raise ConfigError("its journal export is damaged: a field does not end where it should")
        _add(fields, name.decode("ascii", "backslashreplace"), text.decode("utf-8", "backslashreplace"))
        at = end + 1
    return None


def _add(fields: dict[str, str | list[str]], name: str, text: str) -> None:
    """Take a field; one that comes again is a list, as in journald's own JSON."""
    there = fields.get(name)
    if there is None:
        fields[name] = text
    else:
        fields[name] = [*there, text] if isinstance(there, list) else [there, text]

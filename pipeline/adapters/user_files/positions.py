"""Where the keys of a TOML text stand: key path → line number. `tomllib` reads values but keeps no places.

The text is scanned, not parsed: `tomllib` has accepted it before. Keys inside an inline table or an array stand at the
line of the key that holds them.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_KEY_PART = re.compile(r"""\s*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<basic>"(?:[^"\\]|\\.)*")|'(?P<literal>[^']*)')\s*""")
_PIECE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|[\[\]{}]|\n|[^\"'\#\[\]{}\n]+",
    re.DOTALL,
)


class Positions:
    """Lines of all keys and tables of one text."""

    def __init__(self, text: str) -> None:
        """Scan a text that is valid TOML."""
        self._lines: dict[KeyPath, int] = {(): 1}
        # array of tables → index of its latest element
        self._tables: dict[KeyPath, int] = {}
        here: KeyPath = ()
        for line, statement in _statements(text):
            if statement.startswith("[["):
                here = self._latest(_key(statement[2:]))
                index = self._tables[here] = self._tables.get(here, -1) + 1
                self._lines.setdefault(here, line)
                here = (*here, index)
                self._lines[here] = line
            elif statement.startswith("["):
                here = self._latest(_key(statement[1:]))
                self._note(here, line)
            else:
                self._note((*here, *_key(statement)), line)

    def _note(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _latest(self, keys: KeyPath) -> KeyPath:
        """Return a header's keys with the indices of the tables that it continues."""
        path: KeyPath = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if path in self._tables and number < len(keys):
                path = (*path, self._tables[path])
        return path

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest key that holds it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text up to the line's end) of every header and `key = value`, however many lines it goes over."""
    line = 1
    depth = 0
    begun: tuple[int, str] | None = None
    for piece in _PIECE.findall(text):
        if piece == "\n" and depth == 0:
            if begun is not None:
                yield begun
            begun = None
        elif piece.strip() and not piece.startswith("#"):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(piece, 0)
            begun = (line, piece.lstrip()) if begun is None else (begun[0], begun[1] + piece)
        line += piece.count("\n")
    if begun is not None:
        yield begun


def _key(statement: str) -> KeyPath:
    """Return the dotted key at a statement's beginning."""
    parts: list[str | int] = []
    at = 0
    while found := _KEY_PART.match(statement, at):
        basic = found["basic"]
        parts.append(found["bare"] or found["literal"] or "" if basic is None else tomllib.loads(f"k = {basic}")["k"])
        at = found.end()
        if statement[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts)

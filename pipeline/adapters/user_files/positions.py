"""Where the keys of a TOML text stand: key path → line number. `tomllib` reads values but keeps no places.

The text is scanned, not parsed: `tomllib` has accepted it before. Keys inside an inline table or an array stand at the
line of the key that holds them.
"""

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_KEY_PART = re.compile(r"""\s*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<basic>"(?:[^"\\]|\\.)*")|'(?P<literal>[^']*)')\s*""")
_TOKEN = re.compile(
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
        self._lines: dict[Path, int] = {(): 1}
        self._tables: dict[Path, int] = {}  # array of tables → index of its latest element
        here: Path = ()
        for line, statement in _statements(text):
            if statement.startswith("[["):
                here = self._latest(_key(statement[2:])[0])
                index = self._tables[here] = self._tables.get(here, -1) + 1
                self._lines.setdefault(here, line)
                here = (*here, index)
                self._lines[here] = line
            elif statement.startswith("["):
                here = self._latest(_key(statement[1:])[0])
                self._note(here, line)
            else:
                self._note((*here, *_key(statement)[0]), line)

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _latest(self, keys: Path) -> Path:
        """Return a header's keys with the indices of the tables that it continues."""
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if path in self._tables and number < len(keys):
                path = (*path, self._tables[path])
        return path

    def line(self, path: Path) -> int:
        """Return the line of a key, or of the nearest key that holds it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text up to the line's end) of every header and `key = value`, however many lines it goes over."""
    line = 1
    depth = 0
    begun: tuple[int, str] | None = None
    for token in _TOKEN.findall(text):
        if token == "\n" and depth == 0:
            if begun is not None:
                yield begun
            begun = None
        elif token.strip() and not token.startswith("#"):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
            begun = (line, token.lstrip()) if begun is None else (begun[0], begun[1] + token)
        line += token.count("\n")
    if begun is not None:
        yield begun


def _key(statement: str) -> tuple[Path, int]:
    """Return the dotted key at a statement's beginning, and where it ends."""
    parts: list[str | int] = []
    at = 0
    while found := _KEY_PART.match(statement, at):
        basic = found["basic"]
        parts.append(json.loads(basic) if basic is not None else found["bare"] or found["literal"] or "")
        at = found.end()
        if statement[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), at

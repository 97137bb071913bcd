"""From a path to TOML data: whatever the file holds comes out as data or as one message with its line.

Values that may be secrets are masked where a line is quoted.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.adapters.user_files.positions import KeyPath, Positions
from pipeline.domain.errors import ConfigError

_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_SECRET_KEY = re.compile(r"(?i)^(\s*\"?[\w.-]*(?:api_?key|secret|password|credential)[\w-]*\"?\s*=\s*).+")
_USER_INFO = re.compile(r"//[^\s\"']+@")
_LONG_NUMBER = re.compile(r"[0-9][0-9_]{1000,}|[0-9][eE][+-]?[0-9_]{9,}")
_MAX_SHOWN_CHARS = 160
_MAX_FILE_BYTES = 16 * 1024 * 1024
_LARGEST = 2**63 - 1
"""TOML's integers have 64 bits."""


def read_toml(
    path: Path, *, title: str, error: type[ConfigError], parse_float: Callable[[str], float | Decimal] = float
) -> tuple[str, dict[str, Any]]:
    """Return the text and its data; raises `error`, `title` saying what the file is."""
    text = _text(path, title, error)
    try:
        data = tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as wrong:
        raise error(_syntax_message(path, title, text, wrong)) from None
    except RecursionError:
        msg = f"{title} {path}: nested too deeply; write it with tables"
        raise error(msg) from None
    except (ValueError, ArithmeticError):  # neither int nor Decimal takes every number that TOML's grammar allows
        found = _LONG_NUMBER.search(text)
        line = 1 if found is None else text.count("\n", 0, found.start()) + 1
        msg = f"{title} {path}: a number that is too long\n{_too_long(text, line)}"
        raise error(msg) from None
    lines = [Positions(text).line(place) for place in _large_integers(data, ())]
    if lines:
        joined = "\n".join(_too_long(text, line) for line in sorted(set(lines)))
        msg = f"{title} {path}: a number that is too long\n{joined}"
        raise error(msg)
    return text, data


def quoted(lines: Sequence[str], line: int) -> str:
    """Return a line with its number, cut, and without what may be a secret."""
    content = lines[line - 1] if 0 < line <= len(lines) else ""
    content = _USER_INFO.sub("//***@", _SECRET_KEY.sub(r"\1***", content))
    cut = content if len(content) <= _MAX_SHOWN_CHARS else content[:_MAX_SHOWN_CHARS] + " …"
    return f"    {line} | {cut}"


def _text(path: Path, title: str, error: type[ConfigError]) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            msg = f"{title} {path} has more than {_MAX_FILE_BYTES} bytes; is it the right file?"
            raise error(msg)
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as wrong:
        msg = f"{title} {path} can't be read: {wrong.strerror}"
        raise error(msg) from None
    except UnicodeDecodeError as wrong:
        line = wrong.object.count(b"\n", 0, wrong.start) + 1
        msg = f"{title} {path}, line {line}: not UTF-8; save the file as UTF-8"
        raise error(msg) from None


def _syntax_message(path: Path, title: str, text: str, wrong: tomllib.TOMLDecodeError) -> str:
    said = str(wrong)
    lines = text.split("\n")
    place = _SYNTAX_PLACE.search(said)
    line = int(place[1]) if place is not None and place[1] else len(lines)
    what = _SYNTAX_PLACE.sub("", said)
    return f"{title} {path}: no valid TOML\n  line {line}: {what}\n{quoted(lines, line)}"


def _too_long(text: str, line: int) -> str:
    said = f"an integer has at most 64 bits (up to {_LARGEST}); write what is no number in quotes"
    return f"  line {line}: {said}\n{quoted(text.split(chr(10)), line)}"


def _large_integers(data: object, path: KeyPath) -> Iterator[KeyPath]:
    match data:
        case dict():
            for name, value in data.items():
                yield from _large_integers(value, (*path, name))
        case list():
            for number, value in enumerate(data):
                yield from _large_integers(value, (*path, number))
        case int() if not -_LARGEST - 1 <= data <= _LARGEST:
            yield path

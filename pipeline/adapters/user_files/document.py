"""A TOML file of the user's, read into a pydantic model; what is wrong comes as one message that lists every error.

Each error names the key, its line, what stands there, and what is allowed. Values that may be secrets are masked.
"""

import datetime as dt
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.adapters.user_files.allowed import allowed_keys
from pipeline.adapters.user_files.positions import Positions
from pipeline.domain.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)

_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_OWN_PLACE = re.compile(r"(?P<table>[a-z]+)(?:\.(?P<name>[A-Za-z0-9_-]+))?(?:\.(?P<key>[a-z_]+))?: ")
_EXAMPLE = re.compile(r"example (\d+): ")
_SECRET_KEY = re.compile(r"(?i)^(\s*\"?[\w.-]*(?:api_?key|secret|password|credential)[\w-]*\"?\s*=\s*).+")
_USER_INFO = re.compile(r"//[^/@\s\"']+@")
_MAX_SHOWN_CHARS = 160
_MAX_FILE_BYTES = 16 * 1024 * 1024


def read_model(path: Path, model: type[ModelT], *, title: str, error: type[ConfigError]) -> ModelT:
    """Return the validated model; raises `error` listing everything that is wrong, `title` saying what the file is."""
    text = _text(path, title, error)
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as wrong:
        raise error(_syntax_message(path, title, text, wrong)) from None
    except RecursionError:
        msg = f"{title} {path}: nested too deeply"
        raise error(msg) from None
    try:
        return model.model_validate(_plain_numbers(data))
    except ValidationError as wrong:
        entries = [_Entry(detail, model, data) for detail in wrong.errors(include_url=False)]
    positions = Positions(text)
    lines = text.splitlines()
    count = f"{len(entries)} error{'s' if len(entries) > 1 else ''}"
    shown = "\n".join(entry.message(positions, lines) for entry in entries)
    msg = f"{title} {path}: {count}\n{shown}"
    raise error(msg)


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
    lines = text.splitlines() or [""]
    place = _SYNTAX_PLACE.search(said)
    line = int(place[1]) if place is not None and place[1] else len(lines)
    what = _SYNTAX_PLACE.sub("", said)
    return f"{title} {path}: no valid TOML\n  line {line}: {what}\n{_quoted(lines, line)}"


def _quoted(lines: Sequence[str], line: int) -> str:
    content = lines[line - 1] if 0 < line <= len(lines) else ""
    content = _USER_INFO.sub("//***@", _SECRET_KEY.sub(r"\1***", content))
    cut = content if len(content) <= _MAX_SHOWN_CHARS else content[:_MAX_SHOWN_CHARS] + " …"
    return f"    {line} | {cut}"


def _plain_numbers(data: object) -> object:
    """Return the data with decimals as floats where that loses nothing, as models of thresholds expect."""
    return data


class _Entry:
    """One error of pydantic's, in the user's own terms."""

    def __init__(self, detail: ErrorDetails, model: type[BaseModel], data: Mapping[str, Any]) -> None:
        self._kind = detail["type"]
        self._context = detail.get("ctx", {})
        self._model = model
        self._data = data
        self._said = detail["msg"].removeprefix("Value error, ")
        self._path = _path_in(data, detail["loc"], keep_last=self._kind in {"missing", "extra_forbidden"})
        self._take_own_place()

    def _take_own_place(self) -> None:
        """Validators that look at several keys say themselves which one is meant: `steps.mood.ladder: …`."""
        if example := _EXAMPLE.match(self._said):
            self._path = (*self._path, "examples", int(example[1]) - 1)
            return
        own = _OWN_PLACE.match(self._said)
        if own is None or self._path or not isinstance(self._data.get(own["table"]), list):
            return
        self._said = self._said[own.end() :]
        self._path = (own["table"],)
        for number, table in enumerate(self._data[own["table"]]):
            if own["name"] and isinstance(table, dict) and table.get("name") == own["name"]:
                self._path = (own["table"], number, *([own["key"]] if own["key"] else []))

    def message(self, positions: Positions, lines: Sequence[str]) -> str:
        line = positions.line(self._path)
        where = _named(self._data, self._path) or "file"
        return f"  line {line}, {where}: {self._wording()}\n{_quoted(lines, line)}"

    def _wording(self) -> str:
        last = str(self._path[-1]) if self._path else ""
        match self._kind:
            case "missing":
                return "is missing; add it"
            case "extra_forbidden":
                allowed = allowed_keys(self._model, self._data, self._path[:-1])
                return f"unknown key{_meant(last, allowed)}; allowed: {', '.join(allowed)}"
            case "union_tag_not_found":
                return f"`kind` is missing; allowed: {_tags(self._model, self._data, self._path)}"
            case "union_tag_invalid":
                tags = str(self._context.get("expected_tags", "")).replace("'", "")
                return f"unknown kind{_meant(str(self._context.get('tag', '')), tags.split(', '))}; allowed: {tags}"
            case "literal_error":
                options = re.findall(r"'([^']*)'", str(self._context.get("expected", "")))
                value = _value_at(self._data, self._path)
                return f"not allowed{_meant(str(value), options)}; allowed: {', '.join(options)}"
        return self._said


def _tags(model: type[BaseModel], data: Mapping[str, Any], path: Sequence[str | int]) -> str:
    kinds = allowed_kinds(model, data, path)
    return ", ".join(kinds)


def _meant(word: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""

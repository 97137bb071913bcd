"""A TOML file of the user's, read into a pydantic model; what is wrong comes as one message that lists every error.

Each error names the key, its line, what stands there, and what is allowed.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.adapters.user_files.allowed import allowed_keys, allowed_kinds, allowed_words, description_at, value_at
from pipeline.adapters.user_files.positions import KeyPath, Positions
from pipeline.adapters.user_files.toml_text import quoted, read_toml
from pipeline.adapters.user_files.wording import plain
from pipeline.domain.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)

_OWN_PLACE = re.compile(r"(?P<table>[a-z]+)(?:\.(?P<name>[A-Za-z0-9_-]+))?(?:\.(?P<key>[a-z_]+))?: ")
_EXAMPLE = re.compile(r"example (\d+): ")


def read_model(
    path: Path,
    model: type[ModelT],
    *,
    title: str,
    error: type[ConfigError],
    parse_float: Callable[[str], float | Decimal] = float,
) -> ModelT:
    """Return the validated model; raises `error` listing everything that is wrong, `title` saying what the file is."""
    text, data = read_toml(path, title=title, error=error, parse_float=parse_float)
    try:
        return model.model_validate(data)
    except ValidationError as wrong:
        entries = [_Entry(detail, model, data) for detail in wrong.errors(include_url=False, include_input=False)]
    shown = _shown(entries, text)
    count = f"{len(shown)} error{'s' if len(shown) > 1 else ''}"
    joined = "\n".join(shown)
    msg = f"{title} {path}: {count}\n{joined}"
    raise error(msg)


def _shown(entries: Sequence["_Entry"], text: str) -> list[str]:
    """Return one message for each error, in the order of the lines; the branches of a union say the same thing once."""
    positions = Positions(text)
    lines = text.split("\n")
    messages = {
        (positions.line(entry.path), f"{entry.where()}: {entry.wording()}"): None
        for entry in entries
        if not entry.is_echo(entries)
    }
    return [f"  line {line}, {message}\n{quoted(lines, line)}" for line, message in sorted(messages)]


class _Entry:
    """One error of pydantic's, in the user's own terms."""

    def __init__(self, detail: ErrorDetails, model: type[BaseModel], data: Mapping[str, Any]) -> None:
        self.kind = detail["type"]
        self._context = detail.get("ctx", {})
        self._model = model
        self._data = data
        self._said = detail["msg"].removeprefix("Value error, ")
        self.path = _path_in(data, detail["loc"], keep_last=self.kind in {"missing", "extra_forbidden"})
        if self.kind == "union_tag_invalid":
            self.path = (*self.path, "kind")
        self._take_own_place()

    def _take_own_place(self) -> None:
        """Take the place that a message names itself, as validators over several keys do: `steps.mood.ladder: …`."""
        if example := _EXAMPLE.match(self._said):
            self.path = (*self.path, "examples", int(example[1]) - 1)
            return
        own = _OWN_PLACE.match(self._said)
        if own is None or self.path or not isinstance(self._data.get(own["table"]), list):
            return
        self._said = self._said[own.end() :]
        self.path = (own["table"],)
        for number, table in enumerate(self._data[own["table"]]):
            if own["name"] and isinstance(table, dict) and table.get("name") == own["name"]:
                self.path = (own["table"], number, *([own["key"]] if own["key"] else []))

    def is_echo(self, others: Sequence["_Entry"]) -> bool:
        """Tell whether this only says again what another says.

        "Too few" follows from the errors in what is there, "true or false" stands among a list's words already.
        """
        if self.kind in {"bool_type", "bool_parsing"}:
            return any(other.kind == "literal_error" and other.path == self.path for other in others)
        size = len(self.path)
        return self.kind == "too_short" and any(
            len(other.path) > size and other.path[:size] == self.path for other in others
        )

    def where(self) -> str:
        """Name the key."""
        return _named(self._data, self.path) or "file"

    def wording(self) -> str:
        """Say what is wrong and what is allowed."""
        last = str(self.path[-1]) if self.path else ""
        allowed: Sequence[str] = ()
        match self.kind:
            case "missing":
                return "is missing; add it"
            case "extra_forbidden":
                allowed = allowed_keys(self._model, self._data, self.path[:-1])
                said, word = "unknown key", last
            case "union_tag_not_found":
                allowed = allowed_kinds(self._model, self._data, self.path)
                said, word = "`kind` is missing", ""
            case "union_tag_invalid":
                allowed = allowed_kinds(self._model, self._data, self.path[:-1])
                said, word = "not allowed", str(self._context.get("tag", ""))
            case "literal_error":
                allowed = allowed_words(self._model, self._data, self.path)
                said, word = "not allowed", str(value_at(self._data, self.path))
            case _:
                described = description_at(self._model, self._data, self.path)
                return plain(self.kind, self._said) + (f" ({described})" if described else "")
        return f"{said}{_meant(word, allowed)}; allowed: {', '.join(allowed)}"


def _meant(word: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _path_in(data: object, location: Sequence[str | int], *, keep_last: bool) -> KeyPath:
    """Return pydantic's location as a path of keys in the file: without the names of kinds and types in it."""
    path: KeyPath = ()
    for number, part in enumerate(location, 1):
        here = value_at(data, path)
        inside_list = bool(path) and isinstance(path[-1], int)
        if inside_list and isinstance(here, dict) and here.get("kind") == part and location[number - 2] == path[-1]:
            continue
        known = isinstance(here, dict) and (part in here or (keep_last and number == len(location)))
        if not known and not (isinstance(here, list) and isinstance(part, int)):
            break
        path = (*path, part)
    return path


def _named(data: object, path: KeyPath) -> str:
    """Write a path as users speak of it: `steps.category.labels`, or `steps[0].labels` where no name tells it apart."""
    written = ""
    for number, part in enumerate(path):
        if isinstance(part, int):
            tables = value_at(data, path[:number])
            names = (
                [table.get("name") for table in tables if isinstance(table, dict)] if isinstance(tables, list) else []
            )
            name = value_at(data, (*path[: number + 1], "name"))
            unique = isinstance(name, str) and names.count(name) == 1 and name.isprintable()
            written += f".{name}" if unique else f"[{part}]"
        else:
            written += f".{part}" if written else part
    return written

"""JSON lines as log lines: which of an object's keys say what a header says, and which is the message."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.domain.logs.layouts import Header, Layout, Line
from pipeline.domain.logs.masks import Value

NAME: Final = "json"
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    # As libraries, collectors and journald's own JSON call them; nested ones are written with dots.
    "time": (
        *("@timestamp", "timestamp", "time", "ts", "datetime", "date", "eventTime", "t", "asctime", "@t"),
        *("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"),
    ),
    "level": ("level", "severity", "log.level", "levelname", "loglevel", "lvl", "@l", "PRIORITY"),
    "host": ("host", "hostname", "host.name", "host.hostname", "_HOSTNAME"),
    "component": (
        *("component", "logger", "logger_name", "log.logger", "service.name", "service", "app", "module", "name"),
        *("SYSLOG_IDENTIFIER", "_COMM"),
    ),
    "pid": ("pid", "process.pid", "process", "_PID", "SYSLOG_PID"),
    "thread": ("thread", "thread_name", "threadName", "process.thread.name", "tid"),
}
_MESSAGES: Final = ("message", "msg", "MESSAGE", "event", "log", "text", "body", "@m", "@mt", "short_message")
_MOST_DIGITS = 4000
"""A longer number stays text: Python refuses to read it as one."""
_PRIORITIES: Final = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
REST: Final = "rest"
"""The field that holds all other keys, as JSON."""


class JsonLayout(Layout):
    """A line is a JSON object with a message in it."""

    def __init__(self) -> None:
        """Name it."""
        self.name = NAME

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that a header may have, in their order."""
        return (*_KEYS, REST)

    def header(self, text: str) -> Header | None:
        """Return what an object says; None for what is none. Without a message its other keys are the content."""
        found = _object(text)
        if not found:
            return None
        key = next((key for key in _MESSAGES if not _is_empty(found.get(key))), None)
        said = None if key is None else _message(found.pop(key))
        fields = {}
        for name, keys in _KEYS.items():
            taken = next((key for key in keys if not _is_empty(found.get(key))), None)
            if taken is not None:
                fields[name] = _said(taken, found.pop(taken))
        if said is None:
            return Header(fields, _written(found).rstrip())
        if found:
            fields[REST] = _written(found)
        content, _, following = said.strip("\r\n").partition("\n")
        return Header(fields, content.rstrip(), following)

    def read(self, text: str) -> Line:
        """Return places in the fields and the message, written one behind another; any other line is all content."""
        found = self.header(text)
        if found is None:
            return Line({}, 0, text)
        fields, at = {}, 0
        for name, value in found.fields.items():
            fields[name] = Value(name, at, at + len(value))
            at += len(value) + 1
        return Line(fields, at, " ".join([*found.fields.values(), found.content]))


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        return None
    return dict(_flat(found)) if isinstance(found, dict) else None


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _message(value: object) -> str:
    """Return a message; journald writes bytes that are no text as a list of numbers."""
    if isinstance(value, list) and all(isinstance(one, int) and one in range(256) for one in value):
        return _clean(bytes(value).decode("utf-8", "backslashreplace"))
    return _clean(value) if isinstance(value, str) else _written(value)


def _written(value: object) -> str:
    return _clean(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def _said(key: str, value: object) -> str:
    if key == "PRIORITY" and str(value) in {"0", "1", "2", "3", "4", "5", "6", "7"}:
        return _PRIORITIES[int(str(value))]
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Write what no store holds (NULs, halves of characters) in hexadecimal."""
    if text.isascii():
        return text.replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")

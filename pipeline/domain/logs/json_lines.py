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
        """Return what an object says; None for what is none, or has no message."""
        found = _object(text)
        if found is None:
            return None
        key = next((key for key in _MESSAGES if isinstance(found.get(key), str)), None)
        if key is None:
            return None
        content, _, following = _clean(found.pop(key)).strip("\r\n").partition("\n")
        fields = {}
        for name, keys in _KEYS.items():
            taken = next((key for key in keys if not _is_empty(found.get(key))), None)
            if taken is not None:
                fields[name] = _said(taken, found.pop(taken))
        if found:
            fields[REST] = _clean(json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
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
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return dict(_flat(found)) if isinstance(found, dict) else None


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _is_empty(value: object) -> bool:
    return value is None or value == ""


def _said(key: str, value: object) -> str:
    if key == "PRIORITY" and str(value) in {"0", "1", "2", "3", "4", "5", "6", "7"}:
        return _PRIORITIES[int(str(value))]
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Write what no store holds (NULs, halves of characters) in hexadecimal."""
    if text.isascii():
        return text.replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")

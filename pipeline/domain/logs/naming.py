"""Entities: what a value of an event is, and what it is called, by rules: its looks, its unit, the word before it.

Worked out from a pattern, once: nothing of it is stored with the events, so that better rules need no second loading.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.domain.logs.events import Event, content_of
from pipeline.domain.logs.masks import VARIABLE, values_in
from pipeline.domain.logs.slots import spans_in

_CALLED: Final[dict[str, str]] = {
    # The word before a value (its last one where it has several) → the type of what it names.
    **dict.fromkeys(("user", "username", "login", "logname", "ruser", "account", "owner", "uname"), "user"),
    **dict.fromkeys(("uid", "euid", "gid", "uidnumber"), "user_id"),
    **dict.fromkeys(("host", "hostname", "rhost", "server", "node", "peer", "client", "remote", "domain"), "host"),
    **dict.fromkeys(("ip", "addr", "address", "src", "dst", "dest"), "ip"),
    **dict.fromkeys(("port", "sport", "dport", "spt", "dpt"), "port"),
    **dict.fromkeys(("pid", "ppid", "process"), "pid"),
    **dict.fromkeys(("thread", "tid"), "thread"),
    **dict.fromkeys(("status", "code", "rc", "exit", "exitcode", "result", "ret", "retval"), "status"),
    **dict.fromkeys(("error", "errno", "err", "errorcode"), "error_code"),
    **dict.fromkeys(("exception", "cause"), "exception"),
    **dict.fromkeys(("version", "ver", "release"), "version"),
    **dict.fromkeys(("path", "file", "filename", "dir", "directory", "folder", "src_path", "cwd", "tty"), "path"),
    **dict.fromkeys(("url", "uri", "link", "endpoint"), "url"),
    **dict.fromkeys(("size", "len", "length", "bytes", "memory", "mem", "capacity", "offset"), "size"),
    **dict.fromkeys(("count", "num", "total", "times", "entries", "attempts", "retries", "queue", "n"), "count"),
    **dict.fromkeys(("duration", "elapsed", "took", "timeout", "latency", "delay", "interval", "sleep"), "duration"),
    **dict.fromkeys(("time", "date", "timestamp", "when", "since", "until"), "timestamp"),
    **dict.fromkeys(("level", "severity", "priority"), "level"),
    **dict.fromkeys(("component", "module", "service", "class", "logger", "daemon"), "component"),
    **dict.fromkeys(
        (
            *("id", "uuid", "guid", "session", "sessionid", "request", "req", "reqid", "trace", "span", "block", "blk"),
            *("container", "job", "task", "attempt", "application", "instance", "transaction", "txn", "zxid", "cxid"),
            *("stage", "shard", "partition", "connection", "conn", "message", "msgid", "key", "token", "rdd", "tag"),
        ),
        "id",
    ),
}
_UNITS: Final[dict[str, str]] = {
    **dict.fromkeys(("ms", "us", "ns", "s", "sec", "secs", "seconds", "second", "min", "minutes", "hours"), "duration"),
    **dict.fromkeys(("b", "kb", "mb", "gb", "tb", "bytes", "byte", "kib", "mib", "gib"), "size"),
    **dict.fromkeys(("times", "entries", "items", "rows", "files", "attempts", "retries", "threads"), "count"),
}
UNKNOWN: Final = "?"
"""What stands for an answer that nobody gave."""
_UNSURE: Final = frozenset({"text", "number", "hex", "name"})
"""Types that say little, of values that nothing names."""
_SURE: Final = frozenset({"ip", "url", "mac", "id", "timestamp", "time", "path", "duration", "size", "request"})
"""Looks that say more than any word before."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
_GLUED = re.compile(r"[A-Za-z]\w*[_@#.-]$")
_AGENT = re.compile(r"[A-Za-z][\w.-]*/\d[\d.]*(?: .*)?")
_REQUEST = re.compile(r'"(?:GET|POST|PUT|HEAD|PATCH|DELETE|OPTIONS) $')
_KEY = re.compile(r"([A-Za-z_][\w.-]*)\s*(?:=|:)\s*[\"'(\[{<]*/?$")
_UNIT = re.compile(r"\s?([A-Za-z]+|%)")
_EXCEPTION = re.compile(r"(?:[\w$]+\.)*[A-Z]\w*(?:Exception|Error|Fault)")
_ADDRESS = re.compile(r"([^:]+):(\d{1,5})")
_NUMBERED = re.compile(r"(?:_port)?(?:_\d+)?$")
_NAME_SIGNS = re.compile(r"\W+")
_NO_NUMBERS: Final = {"host": "id", "ip": "id", "path": "id", "url": "id", "component": "id", "exception": "error_code"}
"""What a bare number is where another type was to be expected."""
_VERSION = re.compile(r"v?\d+\.\d+\.\d+(?:[-.]\w+)*|v\d+(?:\.\d+)+")
_BEFORE = 24
"""So many characters before a value may hold the word that names it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A value, what it is and what it is called."""

    name: str
    """Of its event, each once: `port`, `port_2`."""
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str
    """The word that names it; empty where there is none."""
    type: str
    """By that word or its unit; empty where neither tells."""


def entities_of(
    event: Event, template: str | None = None, answers: Mapping[int, Mapping[str, str]] | None = None
) -> list[Entity]:
    """Return what an event says: the fields of its header by their names, then the values of its content.

    By the template of its kind, where one is given; otherwise, and where its content is none of the template's, by its
    pattern. `answers` name the template's values that no rule knows: number of the value → `type` and, or, `name`.
    """
    of, values = event.pattern, event.values
    if template not in {None, of}:
        content = content_of(event)
        spans = spans_in(template or "", content)
        if spans is not None:
            of, values = template or "", tuple(content[start:end] for start, end in spans)
    found = [Entity(name, name, text) for name, text in event.header.items()]
    taken = set(event.header)
    answers = answers if answers is not None and of == template else {}
    for number, (slot, text) in enumerate(zip(_slots(of), values, strict=False)):
        for name, kind, part in _parts(_told(slot, answers.get(number)), text) if text else ():
            free = _free(name, taken)
            taken.add(free)
            found.append(Entity(free, kind, part))
    return found


def unsure_of(template: str, content: str) -> list[tuple[int, str]]:
    """Return the values of a content that no rule names, each with its number."""
    spans = spans_in(template, content) or []
    values = [content[start:end] for start, end in spans]
    return [
        (number, text)
        for number, (slot, text) in enumerate(zip(_slots(template), values, strict=False))
        if text and not slot.name and _type(slot, text) in _UNSURE
    ]


def _told(slot: "_Slot", answer: Mapping[str, str] | None) -> "_Slot":
    if answer is None or slot.name:
        return slot
    kind = answer.get("type", UNKNOWN)
    name = answer.get("name", kind)
    kind, name = ("" if one == UNKNOWN else _NAME_SIGNS.sub("_", one.strip().lower()) for one in (kind, name))
    return _Slot(name or kind, kind or slot.type)


def places_of(pattern: str, template: str, name: str, text: str) -> list[int] | None:
    """Return which values of a pattern's events (from 0) may be called `name` and say `text`; None: none of them.

    Empty where any of its events may, because a word of the pattern does, or because it is not to be told beforehand.
    """
    base = _NUMBERED.sub("", name)
    spans = spans_in(template, pattern)
    if spans is None:
        template = pattern
    called = [number for number, slot in enumerate(_slots(template)) if slot.name in {"", base, name}]
    if template == pattern:
        return called or None
    if VARIABLE in pattern:  # what its values hold may move where the template cuts
        return [] if called else None
    return [] if any(pattern[slice(*(spans or [])[number])] == text for number in called) else None


def _parts(slot: "_Slot", text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and text of a value; an address and its port are two."""
    kind = _type(slot, text)
    address = _ADDRESS.fullmatch(text) if kind in {"ip", "host"} else None
    yield slot.name or kind, kind, text if address is None else address[1]
    if address is not None:
        yield f"{slot.name}_port" if slot.name else "port", "port", address[2]


@functools.lru_cache(maxsize=50_000)
def _slots(pattern: str) -> tuple[_Slot, ...]:
    literals = pattern.split(VARIABLE)
    slots = [_slot(before, behind) for before, behind in itertools.pairwise(literals)]
    for number, (before, behind) in enumerate(itertools.pairwise(literals)):
        if _REQUEST.search(before):  # as access logs have it: what was asked, then status and size
            slots[number] = _Slot("request", "request")
            if behind.startswith('" ') and number + 1 < len(slots):
                slots[number + 1] = _Slot("status", "status")
                if literals[number + 2] == " " and number + 2 < len(slots):
                    slots[number + 2] = _Slot("size", "size")
    return tuple(slots)


def _slot(before: str, behind: str) -> _Slot:
    unit = _UNIT.match(behind)
    by_unit = _UNITS.get(unit[1].lower(), "share" if unit[1] == "%" else "") if unit is not None else ""
    near = before[-_BEFORE:]
    key, glued = _KEY.search(near), _GLUED.search(near)
    if key is not None:
        name = key[1]
    elif glued is not None:
        name = glued[0][:-1]
    else:
        words = _WORD.findall(near)
        name = words[-1] if words and words[-1].lower() in _CALLED else ""
    parts = [part.lower() for part in _CAMEL.split(_NAME_SIGNS.sub("_", name.rpartition(".")[2])) if part]
    by_name = next((_CALLED[word] for word in ("".join(parts), *reversed(parts)) if word in _CALLED), "")
    plain = "_".join(parts)
    if glued is not None and key is None:
        return _Slot(f"{plain}_id" if by_name in {"", "id"} and plain else plain, by_name or "id")
    return _Slot(plain, by_unit or by_name)


def _type(slot: _Slot, text: str) -> str:
    looks = _looks(text)
    if looks in _SURE:
        return looks
    if _EXCEPTION.fullmatch(text):
        return "exception"
    if _VERSION.fullmatch(text):
        return "version"
    if looks == "number" and slot.type in _NO_NUMBERS:
        return _NO_NUMBERS[slot.type]
    if looks == "number" and slot.type == "timestamp" and "." in text:
        return "duration"
    if looks == "text" and _AGENT.fullmatch(text):
        return "agent"
    return slot.type or looks


def _looks(text: str) -> str:
    found = next(iter(values_in(text)), None)
    return "text" if found is None or (found.start, found.end) != (0, len(text)) else found.kind


def _free(name: str, taken: Sequence[str] | set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"

"""Inputs that are nearly right: a good one with pieces taken out, doubled, swapped, or replaced by what is awkward."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

AWKWARD_BYTES = (
    *(b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"\x1b[2J", b'"', b"'", b"\\", b"\xc3", b"\x85"),
    *(b"=", b"[", b"]", b"[[", b"{", b"}", b"{{", b"}}", b"{%", b"#", b",", b":", b"null", b"nan", b"-inf", b"1e999"),
    *(b"9" * 40, b"-1", b"0", b"1" * 5000, b"[" * 2000, b'{"a":' * 2000, b"true", b'""', b"1_000", b"2026-02-31"),
)
AWKWARD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63 - 1, 2**63, -(2**70), 1e308, -0.0, float("nan"), float("inf"), 10**400),
    *("", " ", "\0", "\x1b[2J", "\ud800", "{{ 7*7 }}", "{text}", "{", "}", "{a.__class__}", "a" * 10_000, "(a+)+$"),
    *("../../etc/passwd.jinja", "/dev/zero.jinja", "os:system", "http://user:secret@h", "=1+1", "\u202e", "é" * 300),
    *([], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"a": {}}}, ["a"] * 300),
)


def bytes_near(good: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return bytes of which most are a good file's."""
    edits = st.lists(
        st.tuples(
            st.integers(0, 1 << 16),
            st.integers(0, 40),
            st.one_of(st.sampled_from(AWKWARD_BYTES), st.binary(max_size=12)),
        ),
        max_size=6,
    )
    return st.builds(_edited, st.sampled_from(list(good)), edits)


def _edited(good: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, new in edits:
        place = at % (len(good) + 1)
        good = good[:place] + new + good[place + length :]
    return good


def _json(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


values = st.one_of(st.sampled_from(AWKWARD_VALUES), _json(st.text(max_size=12) | st.integers() | st.floats()))
"""Whatever may stand in a table, and what may not."""


def data_near(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables and lists of which most are as in good ones."""
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from("srda"), values), min_size=1, max_size=4)
    return st.builds(_changed, st.just(good), edits)


def _changed(good: dict[str, Any], edits: list[tuple[int, str, Any]]) -> dict[str, Any]:
    root: dict[str, Any] = {"": good}
    for number, kind, value in edits:
        places = list(_places(root[""]))
        if not places:
            return good
        path = places[number % len(places)]
        root = {"": _with(root[""], path, kind, value)}
        if not isinstance(root[""], dict):
            return good
    changed: dict[str, Any] = root[""]
    return changed


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 — a document's values
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found: list[tuple[Any, ...]] = []
    for name, inner in pairs:
        found += [(*path, name), *_places(inner, (*path, name))]
    return found


def _with(data: Any, path: tuple[Any, ...], kind: str, value: Any) -> Any:  # noqa: ANN401 — a document's values
    """Return a copy that differs at a path: set, removed, doubled, or with a neighbour added."""
    name, rest = path[0], path[1:]
    copy = dict(data) if isinstance(data, dict) else list(data)
    if rest:
        copy[name] = _with(copy[name], rest, kind, value)
    elif kind == "r":
        del copy[name]
    elif kind == "d" and isinstance(copy, list):
        copy.insert(name, copy[name])
    elif kind == "a" and isinstance(copy, dict):
        copy[str(value)[:40]] = value
    else:
        copy[name] = value
    return copy

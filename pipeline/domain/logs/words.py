"""The key of a line: its words and what stands between them, with `<*>` for what varies by its looks.

Lines with the same key are certainly of one kind; which keys belong together is for `merging` to say.
"""

import functools
import re
from typing import Final, TypeAlias

from pipeline.domain.logs.masks import VARIABLE, masked

Key: TypeAlias = tuple[str, ...]
"""Words and what stands between them; joined they are the line again, but for what varies."""

_BETWEEN: Final = r"\s+|[=,;()\[\]{}\"'|]|\.{3,}"
_PARTS = re.compile(rf"({_BETWEEN})")
_COLONS = re.compile(r"((?<!:):(?!:)|::)")
_SPLIT = re.compile(rf"({_BETWEEN}|(?<!:):(?!:)|::)")
_SEPARATOR = re.compile(rf"(?:{_BETWEEN}|::?)")
_RUN = re.compile(r"<\*>(?:[.:,]?<\*>)+")
_SIGN = re.compile(r"_-(?=<\*>)")
_NAME = re.compile(r"[A-Za-z_][\w.$:]*")
_SHORT = re.compile(r"[A-Za-z]+\d{1,2}[A-Za-z]{0,2}\.?")
_NAMES = re.compile(r"(?<!\S)[A-Za-z]+\d{1,3}(?: [A-Za-z]+\d{1,3}){3,}(?!\S)")
_NUMBERED = re.compile(r"([A-Za-z<*>_@#.$-]*[A-Za-z<*>]{2}[_@#.-])-?(\d.*)")
_LONG = re.compile(r"[A-Za-z]{3}")
_PREFIXED = re.compile(r"([A-Za-z]{3,}[_-])[\w.-]*\d[\w.-]*")
_MOST_CHARS = 4096
"""So much of a content tells of what kind it is; what follows is one value."""
_LIST = 4
"""So many values in one word without a letter between them are a list: one value."""


def key_of(content: str) -> Key:
    """Return a line's key; its header is not part of the content."""
    return key_of_masked(looks_of(content))


def looks_of(content: str) -> str:
    """Return a content with `<*>` for what the masks know; of two with the same, the key is the same."""
    return masked(content[:_MOST_CHARS]) + VARIABLE * (len(content) > _MOST_CHARS)


def key_of_masked(text: str) -> Key:
    """Return the key of lines that look so."""
    parts = [part for part in _PARTS.split(text) if part]
    words: list[str] = []
    for number, part in enumerate(parts):
        called = number + 1 < len(parts) and parts[number + 1] == "("
        pieces = [piece for piece in _COLONS.split(part) if piece]
        words += [_general(piece, called=called and piece is pieces[-1]) for piece in pieces]
    return split(tidy(_NAMES.sub(_listed, "".join(words))))


def _listed(names: re.Match[str]) -> str:
    """Return a list of numbered names as so many values."""
    return re.sub(r"\w+", VARIABLE, names.group())


def split(text: str) -> Key:
    """Cut a text into words and what stands between them."""
    return tuple(part for part in _SPLIT.split(text) if part)


@functools.lru_cache(maxsize=100_000)
def is_word(part: str) -> bool:
    """Whether a part of a key is a word."""
    return _SEPARATOR.fullmatch(part) is None


def tidy(text: str) -> str:
    """Write values that touch, or that only a dot, colon or comma parts, as one."""
    return _RUN.sub(VARIABLE, _SIGN.sub("_", text))


def _general(word: str, *, called: bool) -> str:
    """Return a word with `<*>` for its numbers; names of functions (`called`) keep theirs, and short ones as in `tty2`.

    A name before the number stays (`blk_<*>`), unless there is none that reads like one.
    """
    rest = word.replace(VARIABLE, "")
    if word.count(VARIABLE) >= _LIST and not any(map(str.isalpha, rest)):
        return VARIABLE
    if not any(map(str.isdigit, rest)) or _SHORT.fullmatch(word) or (called and _NAME.fullmatch(word)):
        return word
    named = _NUMBERED.fullmatch(word)
    if named is None or _LONG.search(named.group(2)):  # words behind the number: no name and its number
        named = _PREFIXED.fullmatch(word)
    return VARIABLE if named is None else named.group(1) + VARIABLE

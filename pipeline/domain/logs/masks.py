"""Masks: values that are known by their looks, whatever line they stand in. One set for all systems, no tuning.

Order matters: at one place the first that fits wins, so the longer and surer stand before the shorter. A number that is
glued to letters is no business of a mask but of `words`. No mask tells one digit from another: see `shapes`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "<*>"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DOMAINS = (
    "com|org|net|edu|gov|mil|io|info|biz|asia|cn|hk|uk|de|jp|fr|ru|tw|kr|br|it|nl|au|ca|us|at|pl|ch|se|es|no|fi|dk|cz|be"
    "|in|local|localdomain|lan|internal|arpa"
)
_UNITS = "ms|us|ns|s|secs?|min|bytes|B|Mb|Gb|MHz|GHz|Hz|%"
_IP = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"

_MASKS: tuple[tuple[str, str, str], ...] = (
    # kind, how it begins, pattern
    ("request", "*", r'(?<="(?:GET|PUT) )[^"]+|(?<="(?:POST|HEAD) )[^"]+|(?<="PATCH )[^"]+|(?<="DELETE )[^"]+'),
    ("text", "*", r'(?<==")[^"]+(?=")'),
    ("agent", "a", r'(?<=")[A-Za-z][\w.-]*/\d[^"]*(?=")'),
    ("duration", "<", rf"<\d+ (?:{_UNITS})\b"),
    ("url", "a", r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\])},;]+"),
    ("id", "a0", r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
    (
        "ip",
        "a0",  # version 6: with a gap, or all its groups
        (
            r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}(?:%\w+)?(?![\w:])"
            r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?:%\w+)?(?![\w:])"
        ),
    ),
    ("mac", "a0", r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"),
    (
        "timestamp",
        "a",
        (
            rf"\b{_DAY},?\s+(?:{_MONTH}\s+\d{{1,2}}|\d{{1,2}}\s+{_MONTH})\s+(?:\d{{4}}\s+)?\d{{2}}:\d{{2}}:\d{{2}}"
            r"(?:\s+[A-Z]{3,4})?(?:\s+\d{4})?\b"
        ),
    ),
    ("timestamp", "0", r"\b\d{4}[-/.]\d{2}[-/.]\d{2}(?:[ T-]\d{2}[:.]\d{2}[:.]\d{2}(?:[.,]\d+)?Z?)?\b"),
    ("ip", "0", rf"(?<![\w.]){_IP}(?::\d+)?(?![\w.]*\d)"),
    ("host", "a0", rf"(?<![\w./@-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+(?:{_DOMAINS})(?::\d+)?(?![\w.-])"),
    ("host", "a", r"(?<![\w.-])[a-z]+(?:-[a-z]+)+-\d+(?![\w-])"),
    ("host", "a0", r"(?<![\w./@-])(?=[A-Za-z0-9.]*[0-9-])(?:[A-Za-z0-9-]+\.){2,}[a-z]{2}(?::\d+)?(?![\w.-])"),
    ("path", "/", rf"(?<![\w.:/>*-])/(?!{_IP})(?:[\w.+@~%*$#=:-]*/)+[\w.+@~%*$#=?&-]*"),
    ("path", "/", rf"(?<![\w.:/>*-])/(?!{_IP})(?=[\w.-]*\d)[\w.+@~%*$#-]+"),
    ("path", "a", r"(?<![\w\\])[A-Za-z]:\\[^\s\"'<>|,;)\]}]+"),
    ("name", "a", r"(?<==)(?<!class=)[a-z][a-z0-9]*(?:\.[A-Za-z][A-Za-z0-9_$]*)+(?:/[\w.$]+)?(?![\w(])"),
    ("time", "0", r"\b\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?\b(?!:)"),
    (
        "hex",
        "a0",
        r"\b\d[xX][0-9a-fA-F]+\b|(?<==)[0-9a-f]{8}\b|(?<![\w.])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}(?!\w)",
    ),
    ("size", "0", r"(?<![\w.])\d+(?:\.\d+)?(?:[KMGT]i?B|[kKMG])\b"),
    ("number", "0+", rf"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?!\w)|(?<![\w.])[-+]?\d+(?:\.\d+)?(?=(?:{_UNITS})\b)"),
)


def _beginning(sign: str) -> str:
    """Return one pattern for the masks that begin so; each is a group named by how it begins and its number."""
    names = {"*": "any", "a": "letter", "0": "digit", "+": "sign", "/": "slash", "<": "angle"}
    return "|".join(
        f"(?P<{names[sign]}_{number}>{pattern})" for number, (_, signs, pattern) in enumerate(_MASKS) if sign in signs
    )


# Most of a line is words that no mask can begin in: they are passed over at once, and elsewhere only those are tried
# that begin with what stands there (none that begins with a letter or digit begins inside a word).
_ELSEWHERE = (
    rf"(?<!\w)(?:(?=[A-Za-z])(?:{_beginning('a')})|(?=\d)(?:{_beginning('0')}))"
    rf"|(?=/)(?:{_beginning('/')})|(?=<)(?:{_beginning('<')})|(?=[-+])(?:{_beginning('+')})"
)
_WORD = rf"(?!{_DAY}\b)[A-Za-z]+"
_QUOTED = re.compile(rf"{_beginning('*')}|(?<!\S){_WORD}(?=\s|$)|{_ELSEWHERE}")
_UNQUOTED = re.compile(rf"(?<!\S)(?:{_WORD}(?:\s+|$))+|{_ELSEWHERE}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value known by its looks, and where it stands, in characters."""

    kind: str
    start: int
    end: int


def values_in(text: str) -> Iterator[Value]:
    """Yield the values of a text from left to right, none inside another."""
    for found in _looks(text).finditer(text):
        if found.lastgroup is not None:
            yield Value(_MASKS[int(found.lastgroup.partition("_")[2])][0], *found.span())


def masked(text: str) -> str:
    """Return a text with a `<*>` for every value known by its looks."""
    return _looks(text).sub(_variable, text)


def _looks(text: str) -> re.Pattern[str]:
    return _QUOTED if '"' in text else _UNQUOTED


def _variable(found: re.Match[str]) -> str:
    return found.group() if found.lastgroup is None else VARIABLE

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

_MASKS: tuple[tuple[str, str], ...] = (
    ("request", r'(?<="(?:GET|PUT) )[^"]+|(?<="(?:POST|HEAD) )[^"]+|(?<="PATCH )[^"]+|(?<="DELETE )[^"]+'),
    ("text", r'(?<==")[^"]+(?=")'),
    ("duration", rf"<\d+ (?:{_UNITS})\b"),
    ("url", r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\])},;]+"),
    ("id", r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
    (
        "ip",  # version 6: with a gap, or all its groups
        (
            r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}(?:%\w+)?(?![\w:])"
            r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?:%\w+)?(?![\w:])"
        ),
    ),
    ("mac", r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"),
    (
        "timestamp",
        (
            rf"\b{_DAY},?\s+(?:{_MONTH}\s+\d{{1,2}}|\d{{1,2}}\s+{_MONTH})\s+(?:\d{{4}}\s+)?\d{{2}}:\d{{2}}:\d{{2}}"
            r"(?:\s+[A-Z]{3,4})?(?:\s+\d{4})?\b"
        ),
    ),
    ("timestamp", r"\b\d{4}[-/.]\d{2}[-/.]\d{2}(?:[ T-]\d{2}[:.]\d{2}[:.]\d{2}(?:[.,]\d+)?Z?)?\b"),
    ("ip", rf"(?<![\w.]){_IP}(?::\d+)?(?![\w.]*\d)"),
    ("host", rf"(?<![\w./@-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+(?:{_DOMAINS})(?::\d+)?(?![\w.-])"),
    ("host", r"(?<![\w.-])[a-z]+(?:-[a-z]+)+-\d+(?![\w-])"),
    ("host", r"(?<![\w./@-])(?=[A-Za-z0-9.]*[0-9-])(?:[A-Za-z0-9-]+\.){2,}[a-z]{2}(?::\d+)?(?![\w.-])"),
    ("path", rf"(?<![\w.:/>*-])/(?!{_IP})(?:[\w.+@~%*$#=:-]*/)+[\w.+@~%*$#=?&-]*"),
    ("path", rf"(?<![\w.:/>*-])/(?!{_IP})(?=[\w.-]*\d)[\w.+@~%*$#-]+"),
    ("path", r"(?<![\w\\])[A-Za-z]:\\[^\s\"'<>|,;)\]}]+"),
    ("name", r"(?<==)(?<!class=)[a-z][a-z0-9]*(?:\.[A-Za-z][A-Za-z0-9_$]*)+(?:/[\w.$]+)?(?![\w(])"),
    ("time", r"\b\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?\b(?!:)"),
    (
        "hex",
        r"\b\d[xX][0-9a-fA-F]+\b|(?<==)[0-9a-f]{8}\b|(?<![\w.])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}(?!\w)",
    ),
    ("size", r"(?<![\w.])\d+(?:\.\d+)?(?:[KMGT]i?B|[kKMG])\b"),
    ("number", rf"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?!\w)|(?<![\w.])[-+]?\d+(?:\.\d+)?(?=(?:{_UNITS})\b)"),
)
_LOOKS = re.compile("|".join(f"(?P<m{number}>{pattern})" for number, (_, pattern) in enumerate(_MASKS)))


@dataclass(frozen=True, slots=True)
class Value:
    """A value known by its looks, and where it stands, in characters."""

    kind: str
    start: int
    end: int


def values_in(text: str) -> Iterator[Value]:
    """Yield the values of a text from left to right, none inside another."""
    for found in _LOOKS.finditer(text):
        if found.lastgroup is not None:
            yield Value(_MASKS[int(found.lastgroup[1:])][0], *found.span())


def masked(text: str) -> str:
    """Return a text with a `<*>` for every value known by its looks."""
    return _LOOKS.sub(VARIABLE, text)

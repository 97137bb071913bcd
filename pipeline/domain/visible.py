"""Text of strangers for people's terminals: shown, never obeyed.

A ticket may hold escape sequences, which move the cursor, set a window's title or paste a command, and marks that turn
the direction of writing, which make a line look like another one.
"""

import re
from typing import Final

_OBEYED: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Control characters but line feed and tab, and marks of direction."""
_SIGNS: Final = re.compile(f"[{_OBEYED}]")
_LINE_SIGNS: Final = re.compile(f"[\n\t{_OBEYED}]")


def visible(text: str) -> str:
    """Return a text with a replacement character for each sign that a terminal would obey."""
    return _SIGNS.sub("\N{REPLACEMENT CHARACTER}", text)


def on_one_line(text: str) -> str:
    r"""Return a text with such signs and line ends written out, as `\n` and `\u001b`: nobody can forge a line."""
    return _LINE_SIGNS.sub(_written, text)


def in_json(document: str) -> str:
    """Return JSON with such signs written as JSON writes them; it means the same."""
    return _SIGNS.sub(_written, document)


def _written(found: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t"}.get(found[0]) or f"\\u{ord(found[0]):04x}"

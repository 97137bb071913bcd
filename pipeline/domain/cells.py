"""Cells of tables that people open in a spreadsheet: what would be a formula there is written as text.

A key or a value comes from a ticket, and `=HYPERLINK(…)` in one must not be run by whoever looks at the results.
"""

import re
from typing import Final

_OBEYED: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet's formula, or a cell that is cut in two, begins with (OWASP, CSV injection)."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_QUOTE = "'"


def harmless(cell: object) -> object:
    """Return a cell with a quotation mark before what would be obeyed; numbers and all else stay as they are."""
    if isinstance(cell, str) and cell.lstrip(_QUOTE).startswith(_OBEYED) and not _NUMBER.fullmatch(cell):
        return _QUOTE + cell
    return cell


def original(cell: str) -> str:
    """Return what `harmless` was given."""
    rest = cell.removeprefix(_QUOTE)
    return rest if rest != cell and rest.lstrip(_QUOTE).startswith(_OBEYED) else cell

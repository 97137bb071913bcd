"""Events of logs as lines of COPY, less what only the store knows: made where events are read, in any process.

In the text format, for binary COPY asks for each array to be built value by value. Columns are those of COLUMNS;
`completed` adds the pattern's and the file's number.
"""

import datetime as dt
import re
from collections.abc import Sequence

from pipeline.domain.logs.detection import layout_named
from pipeline.domain.logs.events import Event

COLUMNS = ("day", "line", "at", "header", "said", "following", "pattern_id", "file_id")
UNDATED = dt.date(1970, 1, 1)
"""The day of events without a moment."""
_SPECIAL = re.compile(r"[\\\t\n\r]")
_IN_TEXT = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_IN_ARRAY = str.maketrans({"\\": "\\\\", '"': '\\"'})
_NOTHING = "\\N"


def rows_of(events: Sequence[Event], layout: str) -> bytes:
    """Return a line for each event, up to its `following` and the tabulator behind it."""
    known = layout_named(layout)
    names = () if known is None else known.names
    rows = []
    for event in events:
        said = event.header
        header: list[str] | list[str | None]
        header = list(said.values()) if tuple(said) == names else [said.get(name) for name in names]
        following = event.following.translate(_IN_TEXT) if event.following else ""
        rows.append(f"{_moment(event)}\t{_array(header)}\t{_array(event.values)}\t{following}\t\n")
    return "".join(rows).encode()


def completed(rows: bytes, pattern_id: int, file_id: int) -> bytes:
    """Return whole lines of COPY: no other line feed is left in them."""
    return rows.replace(b"\n", b"%d\t%d\n" % (pattern_id, file_id))


def day_of(day: dt.date | None) -> dt.date:
    """Return the day under which events are kept."""
    return UNDATED if day is None else day


def _moment(event: Event) -> str:
    """Return a day, the line, and the moment."""
    if event.at is None:
        return f"{UNDATED}\t{event.line}\t{_NOTHING}"
    moment = event.at.astimezone(dt.UTC).isoformat(" ")
    return f"{moment[:10]}\t{event.line}\t{moment}"


def _array(values: Sequence[str | None]) -> str:
    """Return an array of texts as COPY reads it: its elements quoted, and what quoting means once more for COPY."""
    if not values:
        return "{}"
    if None in values:
        return "{" + ",".join(map(_element, values)) + "}"
    joined = '","'.join(values)  # type: ignore[arg-type]
    if _SPECIAL.search(joined) is not None or joined.count('"') != 2 * (len(values) - 1):
        return "{" + ",".join(map(_element, values)) + "}"
    return f'{{"{joined}"}}'


def _element(value: str | None) -> str:
    return "NULL" if value is None else '"' + value.translate(_IN_ARRAY).translate(_IN_TEXT) + '"'

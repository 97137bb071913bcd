"""Values of a row → Item | RejectedRow: the job's template and key, compiled once for a file."""

import string
from collections.abc import Sequence

from pipeline.adapters.sources.feed import Flaw
from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import template_columns
from pipeline.ports.source import Columns

MAX_KEY_CHARS = 500
"""A key stands in an index of the store, which takes no long ones."""


class Renderer:
    """Renders the rows of one source file."""

    def __init__(self, job: Columns, *, source: str, line_key_prefix: str, max_text_chars: int | None) -> None:
        """`line_key_prefix` goes before the line number where the job names no key."""
        self.columns: tuple[str, ...] = template_columns(job.text)
        """The columns of the template, each once."""
        self.key_column = job.key
        self.needed = self.columns if job.key is None else (*self.columns, job.key)
        """All columns that a row must have: the template's, then the key's."""
        self.source = source
        self._prefix = line_key_prefix
        self._max_chars = max_text_chars
        parts: list[str] = []
        places: list[int] = []
        for literal, name, _, _ in string.Formatter().parse(job.text):
            parts.append(literal.replace("%", "%%"))
            if name is not None:
                parts.append("%s")
                places.append(self.columns.index(name))
        self._form = "".join(parts)
        self._places = None if places == list(range(len(self.columns))) else tuple(places)

    def row(self, line: int, values: Sequence[str]) -> Item | RejectedRow:
        """Return the item of a row; `values` belong to `needed`."""
        if self.key_column is None:
            key = f"{self._prefix}{line}"
            shown = tuple(values)
        else:
            key = values[-1]
            shown = tuple(values[:-1])
            if not key or key.isspace():
                return self.rejected(line, Flaw(RejectReason.EMPTY_KEY, f"the key {self.key_column} is empty"))
            if len(key) > MAX_KEY_CHARS:
                detail = f"the key {self.key_column} has {len(key)} characters; at most {MAX_KEY_CHARS} are allowed"
                return self.rejected(line, Flaw(RejectReason.UNREADABLE, detail))
        written = "".join(shown)
        if not written or written.isspace():
            return self.rejected(line, Flaw(RejectReason.EMPTY_TEXT, f"nothing in {', '.join(self.columns)}"))
        text = self._form % (shown if self._places is None else tuple([shown[place] for place in self._places]))
        if self._max_chars is not None and len(text) > self._max_chars:
            detail = f"a text of {len(text)} characters; at most {self._max_chars} are allowed"
            return self.rejected(line, Flaw(RejectReason.TEXT_TOO_LONG, detail))
        return Item(key=key, source=self.source, line=line, text=text)

    def rejected(self, line: int, flaw: Flaw) -> RejectedRow:
        """Return the row that says why there is no item."""
        return RejectedRow(source=self.source, line=line, reason=flaw.reason, detail=flaw.detail)

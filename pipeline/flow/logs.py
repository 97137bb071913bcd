"""A survey of log files: the layout of each, the kinds of lines in them, and what varies in a line.

Two passes: the first counts patterns (memory grows with the kinds of line, not with the lines), the second reads each
line by the template that its pattern has come to.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.logs.detection import detect
from pipeline.domain.logs.events import kinds
from pipeline.domain.logs.layouts import Layout, Line
from pipeline.domain.logs.masks import Value
from pipeline.domain.logs.shapes import Shapes
from pipeline.domain.logs.slots import slots_in
from pipeline.ports.source import Row

_LOOKED_AT = 200
"""Lines of a file by which its layout is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateCount:
    """A kind of line."""

    template: str
    lines: int
    source: str
    """Where it stands first."""
    line: int

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {"template": self.template, "lines": self.lines, "source": self.source, "first_line": self.line}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLine:
    """A line, read by its layout and its template."""

    item: Item
    header: Line
    template: str
    values: tuple[Value, ...]
    """Of the content, from left to right; places are in the header's text."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        text = self.header.text
        return {
            "source": self.item.source,
            "line": self.item.line,
            "header": {name: text[one.start : one.end] for name, one in self.header.fields.items()},
            "template": self.template,
            "values": [
                {"kind": one.kind, "text": text[one.start : one.end], "start": one.start, "end": one.end}
                for one in self.values
            ],
        }


@dataclass(slots=True, kw_only=True)
class Survey:
    """What was found in log files."""

    layouts: dict[str, Layout] = field(default_factory=dict)
    """Name of a source → how its headers are laid out."""
    lines: int = 0
    rejected: int = 0
    """Lines that could not be read as text."""
    _counts: Counter[str] = field(default_factory=Counter)
    """By pattern."""
    _first: dict[str, tuple[str, int]] = field(default_factory=dict)
    _templates: dict[str, str] | None = None
    _shapes: Shapes = field(default_factory=Shapes)

    def look(self, rows: Iterable[Row], *, layout: Layout | None = None) -> None:
        """Read lines; without a layout each source has the one that most of its first lines have."""
        for source, lines in itertools.groupby(self._items(rows), key=lambda item: item.source):
            ahead = list(itertools.islice(lines, _LOOKED_AT))
            if source not in self.layouts:
                self.layouts[source] = layout or detect(item.text for item in ahead)
            for item in itertools.chain(ahead, lines):
                pattern, _ = self._shapes.read(self._content(item)[1])
                self._counts[pattern] += 1
                self._first.setdefault(pattern, (item.source, item.line))
                self.lines += 1
        self._templates = None

    def _items(self, rows: Iterable[Row]) -> Iterator[Item]:
        for row in rows:
            if isinstance(row, RejectedRow):
                self.rejected += 1
            else:
                yield row

    def _content(self, item: Item) -> tuple[Line, str]:
        header = self.layouts[item.source].read(item.text)
        return header, header.text[header.content_at :].rstrip()

    @property
    def _of(self) -> dict[str, str]:
        if self._templates is None:
            self._templates = kinds(self._counts)
        return self._templates

    def templates(self) -> list[TemplateCount]:
        """Return the kinds of lines, the commonest first."""
        counts: Counter[str] = Counter()
        first: dict[str, tuple[str, int]] = {}
        for pattern, count in self._counts.items():
            template = self._of[pattern]
            counts[template] += count
            first.setdefault(template, self._first[pattern])
        return [
            TemplateCount(template=template, lines=count, source=first[template][0], line=first[template][1])
            for template, count in counts.most_common()
        ]

    def read(self, rows: Iterable[Row]) -> Iterator[ReadLine]:
        """Read the lines that were looked at once more, by their templates."""
        for item in rows:
            if isinstance(item, RejectedRow):
                continue
            header, content = self._content(item)
            template = self._of[self._shapes.read(content)[0]]
            found = slots_in(template, content) or ()
            at = header.content_at
            values = tuple(Value(one.kind, one.start + at, one.end + at) for one in found)
            yield ReadLine(item=item, header=header, template=template, values=values)

    def as_json(self) -> Mapping[str, Any]:
        """Return the script contract of a survey."""
        return {
            "lines": self.lines,
            "rejected": self.rejected,
            "layouts": {source: layout.name for source, layout in self.layouts.items()},
            "templates": [one.as_json() for one in self.templates()],
        }

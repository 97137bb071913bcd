"""CSV and TSV: quoted fields may hold line ends; blank lines are passed over; the first row names the columns.

Reading is strict: a quote that is not closed, or closed and followed by text, would glue tickets together in silence.
Such a row is rejected, and reading begins again at the line after the one where it began.
"""

import csv
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import TypeAlias

from pipeline.adapters.sources.feed import Block, Flaw, too_large
from pipeline.adapters.sources.render import Renderer
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import RejectReason
from pipeline.ports.source import Row

CellRow: TypeAlias = tuple[int, list[str] | Flaw]
"""First line of a row, and its cells or what is wrong with them."""

_PATIENCE_LINES = 1_000_000
"""Lines that may be read again because of quotes that never closed; after that, a row must close in its line."""
_BAD_QUOTES = Flaw(
    RejectReason.UNREADABLE,
    "a quoted field is not closed, or text follows its closing quote, or a carriage return stands outside of quotes; "
    "write a quote inside a quoted field twice",
)


class _TooLarge(Exception):
    """The row being read has outgrown `max_row_bytes`."""


class _Window:
    """The lines that may still be needed: the block being read, and those before it while one row goes through them."""

    def __init__(self, blocks: Iterator[Block], max_row_bytes: int) -> None:
        self._blocks = blocks
        self._max_row_bytes = max_row_bytes
        self._kept: deque[Block] = deque()
        self.row_start = 1
        """The line at which the current row begins; lines before it are forgotten."""
        self.flaws: deque[tuple[int, Flaw]] = deque()
        """Line and flaw, in the order of lines."""

    def lines_from(self, line: int) -> Iterator[str]:
        """Yield the lines from a kept one on; raises _TooLarge when a row goes on for too long."""
        return chain.from_iterable(self._line_lists(line))

    def _line_lists(self, line: int) -> Iterator[Sequence[str]]:
        for block in tuple(self._kept):
            yield block.lines[max(0, line - block.first_line) :]
        while True:
            while self._kept and self._kept[0].first_line + len(self._kept[0].lines) <= self.row_start:
                self._kept.popleft()
            if self._open_bytes() > self._max_row_bytes:
                raise _TooLarge
            block_read = next(self._blocks, None)
            if block_read is None:
                return
            self._kept.append(block_read)
            self.flaws.extend(block_read.flaws.items())
            yield block_read.lines

    def _open_bytes(self) -> int:
        if not self._kept:
            return 0
        first = self._kept[0]
        before = first.lines[: self.row_start - first.first_line]
        return sum(block.size_bytes for block in self._kept) - _utf8_bytes(before)

    def refuse_large(self, start: int, end: int) -> None:
        """Raise _TooLarge when the lines are too much for one row."""
        if self.is_large(start, end):
            raise _TooLarge

    def is_large(self, start: int, end: int) -> bool:
        """Tell whether the kept lines `start` to `end` are too much for one row."""
        size = 0
        for block in self._kept:
            at = start - block.first_line
            size += _utf8_bytes(block.lines[max(0, at) : max(0, end + 1 - block.first_line)])
        return size > self._max_row_bytes

    def flaw(self, start: int, end: int) -> Flaw | None:
        """Return the flaw of a row, forgetting those of lines before it."""
        while self.flaws and self.flaws[0][0] < start:
            self.flaws.popleft()
        return self.flaws[0][1] if self.flaws and self.flaws[0][0] <= end else None


def _utf8_bytes(lines: Sequence[str]) -> int:
    return sum(len(line.encode("utf-8", "surrogateescape")) for line in lines)


class _CellReader:
    """Reads rows of cells, beginning again behind every line whose row fails."""

    def __init__(self, blocks: Iterator[Block], *, delimiter: str, max_row_bytes: int) -> None:
        # The module's limit is one for the whole process and stands at 128 KiB; ours is on rows.
        csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes))
        self._window = _Window(blocks, max_row_bytes)
        self._delimiter = delimiter
        self._max_row_bytes = max_row_bytes
        self._read_again = 0

    def rows(self) -> Iterator[CellRow]:
        line: int | None = 1
        while line is not None:
            line = yield from self._stretch(line)

    def _stretch(self, line: int) -> Generator[CellRow, None, int | None]:
        """Yield rows from a line on until one fails; return the line to begin again at, None at the end."""
        window = self._window
        flaws = window.flaws
        lines = window.lines_from(line)
        narrow = self._read_again > _PATIENCE_LINES + 4 * line
        reader = csv.reader(islice(lines, 1) if narrow else lines, delimiter=self._delimiter, strict=True)
        before = line - 1
        end = before
        try:
            for cells in reader:
                start = end + 1
                last = before + reader.line_num
                if last != start:
                    window.refuse_large(start, last)
                end = last
                if flaws and (flaw := window.flaw(start, end)) is not None:
                    yield start, flaw
                elif cells:
                    yield start, cells
                window.row_start = end + 1
        except (csv.Error, _TooLarge) as error:
            start, last = end + 1, before + reader.line_num
            flaw = window.flaw(start, last)
            # Whichever is noticed first depends on how the file was cut into blocks; what is said must not.
            if isinstance(error, _TooLarge) or window.is_large(start, last):
                flaw = too_large(self._max_row_bytes)
            yield start, flaw or _BAD_QUOTES
            if flaw is not None and flaw.reason is RejectReason.UNREADABLE:
                return None  # the stored file broke inside this row
            self._read_again += last - end
            window.row_start = start + 1
            return start + 1
        return end + 1 if narrow and reader.line_num else None


def cell_rows(blocks: Iterator[Block], *, delimiter: str, max_row_bytes: int) -> Iterator[CellRow]:
    """Yield every row that is not blank, the header being the first."""
    return _CellReader(blocks, delimiter=delimiter, max_row_bytes=max_row_bytes).rows()


def column_names(rows: Iterator[CellRow], source: str) -> tuple[str, ...] | None:
    """Take the header off the rows; None for an empty file, ConfigError for a header that can't be used.

    No cell is ever quoted: in a file without a header the first line is a customer's.
    """
    first = next(rows, None)
    if first is None:
        return None
    line, cells = first
    if isinstance(cells, Flaw):
        msg = f"{source}, line {line}: the header can't be read ({cells.reason}): {cells.detail}"
        raise ConfigError(msg)
    names = tuple(cell.strip() for cell in cells)
    doubled = next((name for name, count in Counter(names).items() if count > 1 and name), None)
    if doubled is not None:
        places = " and ".join(str(number) for number, name in enumerate(names, 1) if name == doubled)
        msg = (
            f"{source}, line {line}: the first line must be a header, and its columns {places} have the same name; "
            "give each its own, or add a header"
        )
        raise ConfigError(msg)
    return names


def check_columns(names: Sequence[str], renderer: Renderer, delimiter: str) -> None:
    """Raise ConfigError when the header lacks a column that the job needs."""
    missing = [name for name in dict.fromkeys(renderer.needed) if name not in names]
    if not missing:
        return
    count = f"{len(names)} column{'s' if len(names) > 1 else ''}"
    msg = (
        f"{renderer.source} lacks the columns: {', '.join(missing)}; its first line has {count} and must be a header "
        "that names them: add one or mend the job's `text` and `key`, or give --format lines for plain texts"
        f"{_hint(names, missing, delimiter)}"
    )
    raise ConfigError(msg)


def _hint(names: Sequence[str], missing: Sequence[str], delimiter: str) -> str:
    """Guess at the mistake, in words of the job's own."""
    other = next((sign for sign in ";\t|," if sign != delimiter and any(sign in name for name in names)), None)
    if other is not None:
        way = {"\t": "give --format tsv", ",": "give --format csv"}.get(other, "write it with commas or tabs")
        return f" (its columns seem to be separated by {other!r}, but it is read with {delimiter!r}: {way})"
    folded = {name.casefold() for name in names}
    alike = [name for name in missing if name.casefold() in folded]
    return f" (upper and lower case differ in: {', '.join(alike)})" if alike else ""


def delimited_rows(rows: Iterator[CellRow], names: Sequence[str], renderer: Renderer) -> Iterator[Row]:
    """Yield one row for each row behind the header."""
    width = len(names)
    pick = _picker([names.index(name) for name in renderer.needed])
    render = renderer.row
    for line, cells in rows:
        if isinstance(cells, Flaw):
            yield renderer.rejected(line, cells)
        elif len(cells) != width:
            reason = RejectReason.SHORT_ROW if len(cells) < width else RejectReason.LONG_ROW
            yield renderer.rejected(line, Flaw(reason, f"{len(cells)} cells where the header has {width}"))
        else:
            yield render(line, pick(cells))


def _picker(places: Sequence[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    place = places[0]
    return lambda cells: (cells[place],)

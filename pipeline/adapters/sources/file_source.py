"""The Source over files: one stream of rows through all of them, that can begin again behind any row."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pipeline.adapters.sources.delimited import cell_rows, check_columns, column_names, delimited_rows
from pipeline.adapters.sources.feed import blocks
from pipeline.adapters.sources.files import DELIMITERS, InputFile, Spooling, content_digest, open_files
from pipeline.adapters.sources.jsonl import jsonl_rows
from pipeline.adapters.sources.lines import check_columns as check_line_columns
from pipeline.adapters.sources.lines import line_rows
from pipeline.adapters.sources.render import Renderer
from pipeline.adapters.sources.streams import (
    NoByteOrder,
    StreamBroken,
    as_utf8,
    canonical_encoding,
    gunzip,
    stored_chunks,
    with_line_feeds,
)
from pipeline.domain.errors import ConfigError
from pipeline.ports.source import Columns, Row, SourceOptions


class FileSource:
    """Files, opened and checked. Close it, or use it in a `with`, so that spooled input is deleted."""

    def __init__(
        self,
        files: Sequence[InputFile],
        renderers: Sequence[Renderer],
        *,
        options: SourceOptions,
        spooled: Sequence[Path],
    ) -> None:
        """Check encoding and columns of every file and take the digest of all; raises ConfigError."""
        self._files = tuple(files)
        self._renderers = tuple(renderers)
        self._options = options
        self._spooled = tuple(spooled)
        self._bytes_read = 0
        for file, renderer in zip(self._files, self._renderers, strict=True):
            self._check_byte_order(file)
            self._check_columns(file, renderer)
        self._digest = content_digest(files, encoding=options.encoding, max_row_bytes=options.max_row_bytes)

    @property
    def digest(self) -> str:
        """SHA-256 over content, format, encoding and delimiter of each file, in order, but not over their names."""
        return self._digest

    @property
    def size_bytes(self) -> int:
        """Bytes to read, as stored."""
        return sum(file.size_bytes for file in self._files)

    def bytes_read(self) -> int:
        """Return the stored bytes that the latest iteration has consumed."""
        return self._bytes_read

    def rows(self, *, skip: int = 0) -> Iterator[Row]:
        """Yield items and rejected rows of all files in order, but the first `skip`; one iteration at a time.

        Raises ConfigError when a file is not what it was when the source was opened.
        """
        return islice(self._all_rows(), skip, None)

    def close(self) -> None:
        """Delete what was spooled."""
        for path in self._spooled:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _count(self, read: int) -> None:
        self._bytes_read += read

    def _all_rows(self) -> Iterator[Row]:
        self._bytes_read = 0
        for file, renderer in zip(self._files, self._renderers, strict=True):
            with file.opened() as stored:
                yield from self._file_rows(file, renderer, stored)

    def _file_rows(self, file: InputFile, renderer: Renderer, stored: BinaryIO) -> Iterator[Row]:
        chunks = self._chunks(file, stored, self._count)
        limit = self._options.max_row_bytes
        if file.format == "jsonl":
            yield from jsonl_rows(blocks(chunks, max_row_bytes=limit), renderer)
        elif file.format == "lines":
            yield from line_rows(blocks(chunks, max_row_bytes=limit), renderer)
        else:
            cells = cell_rows(
                blocks(with_line_feeds(chunks), max_row_bytes=limit),
                delimiter=DELIMITERS[file.format],
                max_row_bytes=limit,
            )
            names = column_names(cells, file.name)
            if names is not None:
                yield from delimited_rows(cells, names, renderer)

    def _chunks(self, file: InputFile, stored: BinaryIO, count: Callable[[int], None]) -> Iterator[bytes]:
        chunks = stored_chunks(stored, count)
        return as_utf8(gunzip(chunks) if file.gzipped else chunks, self._options.encoding)

    def _check_byte_order(self, file: InputFile) -> None:
        with file.opened() as stored, suppress(StreamBroken):  # a broken file's rows say so themselves
            try:
                next(self._chunks(file, stored, lambda _: None), None)
            except NoByteOrder:
                name = self._options.encoding
                msg = f"{file.name} does not begin with a byte order mark; give --encoding {name}-le or {name}-be"
                raise ConfigError(msg) from None

    def _check_columns(self, file: InputFile, renderer: Renderer) -> None:
        if file.format == "lines":
            check_line_columns(renderer)
        elif file.format in DELIMITERS:
            with file.opened() as stored:
                limit = self._options.max_row_bytes
                head = blocks(with_line_feeds(self._chunks(file, stored, lambda _: None)), max_row_bytes=limit)
                delimiter = DELIMITERS[file.format]
                names = column_names(cell_rows(head, delimiter=delimiter, max_row_bytes=limit), file.name)
                if names is not None:
                    check_columns(names, renderer, delimiter)


def open_source(
    inputs: Sequence[str],
    job: Columns,
    options: SourceOptions,
    *,
    spool: Path,
    max_text_chars: int | None = None,
    stdin: BinaryIO | None = None,
) -> FileSource:
    """Open files, glob patterns and `-` (standard input, once) as one source.

    Standard input and pipes are copied into `spool` first, so that their digest is known and a second pass is possible.
    A job without a key gets line numbers, and `FILE:LINE` numbers (files from 1) where there are several files.
    A text of more than `max_text_chars` characters is rejected. `stdin` stands in for the process's own.
    Raises ConfigError for everything that the user can mend: no such file, an unknown format, a missing column ….
    """
    if options.max_row_bytes < 1:
        msg = f"max_row_bytes is {options.max_row_bytes}; give a number of bytes above 0"
        raise ConfigError(msg)
    options = SourceOptions(
        format=options.format, encoding=canonical_encoding(options.encoding), max_row_bytes=options.max_row_bytes
    )
    spooled: list[Path] = []
    if stdin is None:
        stdin = io.BytesIO() if sys.stdin is None else sys.stdin.buffer  # None: it was closed before we started
    spooling = Spooling(folder=spool, stdin=stdin)
    try:
        files = open_files(inputs, form=options.format, encoding=options.encoding, spooling=spooling, spooled=spooled)
        renderers = [
            Renderer(
                job,
                source=file.name,
                line_key_prefix=f"{number}:" if len(files) > 1 else "",
                max_text_chars=max_text_chars,
            )
            for number, file in enumerate(files, 1)
        ]
        return FileSource(files, renderers, options=options, spooled=spooled)
    except BaseException:
        for path in spooled:
            path.unlink(missing_ok=True)
        raise

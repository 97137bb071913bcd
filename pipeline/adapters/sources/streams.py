"""Bytes of one stored file as UTF-8 chunks: gzip undone, other encodings transcoded, the byte order mark dropped.

Bytes that the given encoding does not allow come out as invalid UTF-8, so that the row that holds them, and only that
row, is rejected further on. Memory is bounded by the chunk's size whatever the file holds.
"""

import codecs
import itertools
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

from pipeline.domain.errors import ConfigError

CHUNK_BYTES = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's number for "a gzip header and nothing else"
_MARK = "\udcff"  # a lone surrogate: valid in no encoding, so it can't come from good input
_MARK_ERRORS = "headrace_mark"


class StreamBroken(Exception):
    """The stored file ends or breaks in the middle of its compression; what came before is good."""


class NoByteOrder(Exception):
    """UTF-16 or UTF-32 without the mark at its beginning that tells in which order the bytes stand."""


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error(_MARK_ERRORS, _mark_bad_bytes)


def canonical_encoding(name: str) -> str:
    """Return Python's own name of a text encoding; raises ConfigError when there is none."""
    try:
        found = codecs.lookup(name).name
        written = "a".encode(found)
        # `idna` and `punycode` call themselves text encodings, but cannot mark a bad byte and go on behind it.
        usable = codecs.getincrementaldecoder(found)(_MARK_ERRORS).decode(written, final=True) == "a"
    except (LookupError, UnicodeError):
        usable = False
    if not usable:
        msg = (
            f"encoding {name!r} is not known, or is not one of files; use utf-8, utf-16, latin-1, cp1252 or another of "
            "Python's text encodings"
        )
        raise ConfigError(msg)
    return "utf-8" if found == "utf-8-sig" else found


def stored_chunks(file: BinaryIO, count: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the file's bytes as stored, telling `count` of every chunk's length."""
    while chunk := file.read(CHUNK_BYTES):
        count(len(chunk))
        yield chunk


def gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what gzip members hold, a chunk at a time at most; raises StreamBroken where they break or end early."""
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    fresh = True  # between two members: zero padding is allowed, and so is the end
    for stored in chunks:
        chunk = stored
        while chunk := chunk.lstrip(b"\0") if fresh else chunk:
            fresh = False
            yield from _inflated(inflater, chunk)
            chunk = inflater.unconsumed_tail
            if inflater.eof:
                chunk = inflater.unused_data
                inflater, fresh = zlib.decompressobj(_GZIP_WINDOW), True
    while not fresh and not inflater.eof:
        rest = b"".join(_inflated(inflater, b""))
        if not rest and not inflater.eof:
            msg = "its gzip data ends too early"
            raise StreamBroken(msg)
        yield rest


def _inflated(inflater: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
    """Yield what a chunk holds in one piece; where it is damaged, all that comes before, and then StreamBroken."""
    before = inflater.copy()
    try:
        yield inflater.decompress(chunk, CHUNK_BYTES)
    except zlib.error:
        # The call lost all that it had inflated so far: repeat it byte by byte up to the damage.
        with suppress(zlib.error):
            for byte in chunk:
                yield before.decompress(bytes((byte,)))
        msg = "its gzip data is damaged"
        raise StreamBroken(msg) from None


def as_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the same text as UTF-8 without a byte order mark; `encoding` is a canonical name.

    Raises NoByteOrder, if at all, before the first chunk.
    """
    return _without_mark(chunks if encoding == "utf-8" else _transcoded(chunks, encoding))


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_MARK_ERRORS)
    for chunk in itertools.chain(chunks, (None,)):
        try:
            # At the end, too: a decoder waits for four bytes before it looks for the mark.
            text = decoder.decode(b"", final=True) if chunk is None else decoder.decode(chunk)
        except UnicodeError:
            # Bad bytes are marked; a missing byte order mark is all that a decoder still complains of.
            raise NoByteOrder from None
        yield text.encode("utf-8", "surrogatepass")


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(codecs.BOM_UTF8):
            break
    yield head.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def with_line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Yield the chunks with `\r` for line ends turned into `\n`, if the first one shows no other line end."""
    first = next(chunks, b"")
    while not first:
        first = next(chunks, None) or b""
        if not first:
            return
    if b"\r" not in first or b"\n" in first:
        yield first
        yield from chunks
        return
    yield first.replace(b"\r", b"\n")
    for chunk in chunks:
        yield chunk.replace(b"\r", b"\n")

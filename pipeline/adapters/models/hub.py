"""Models from a Hugging Face repository, through `huggingface_hub`.

Two things are done around the library, as of its release 2.4. It asks an unreachable hub seven times over half a
minute, so the hub is first asked once, with a short limit. And it deletes what came of a download that broke, so
its `http_get` is given a file of ours to continue.
"""

import io
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.adapters.models.catalogue import CatalogueEntry, HubFile
from pipeline.adapters.models.sources import Progress, SourceUnavailable

SHA256_DIGITS: Final = 64


class HubSource:
    """The official file of a catalogue entry."""

    label = "Hugging Face"

    def __init__(self, *, endpoint: str | None = None, probe_timeout_s: float = 4.0) -> None:
        """`endpoint` is another hub's address; None leaves the choice to the library and its own settings."""
        self._endpoint = endpoint
        self._probe_timeout_s = probe_timeout_s

    def offers(self, entry: CatalogueEntry) -> bool:
        """Whether the entry names an official file."""
        return entry.official is not None

    def reach(self, entry: CatalogueEntry) -> None:
        """Ask the hub once for the file's size and hash.

        Raises:
            SourceUnavailable: no answer within twice the probe's limit, a refusal, or another file than ours.
        """
        official = _official(entry)
        answers: queue.SimpleQueue[tuple[int | None, str | None] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._size_and_tag(official))
            except Exception as error:  # noqa: BLE001 - the library's HTTP errors change class between its releases
                answers.put(error)

        # A thread, because looking up a name has no limit of its own and may hang far longer than the probe's.
        threading.Thread(target=ask, name="hub-probe", daemon=True).start()
        try:
            answer = answers.get(timeout=2 * self._probe_timeout_s)
        except queue.Empty:
            msg = f"no answer within {2 * self._probe_timeout_s:g} s"
            raise SourceUnavailable(msg) from None
        if isinstance(answer, Exception):
            raise SourceUnavailable(_reason(answer)) from answer
        size, tag = answer
        if size not in {None, entry.size_bytes}:
            msg = f"its file has {size} bytes instead of {entry.size_bytes}"
            raise SourceUnavailable(msg)
        if tag is not None and len(tag) == SHA256_DIGITS and tag != entry.sha256:
            msg = "its file has another SHA-256 than the catalogue's"
            raise SourceUnavailable(msg)

    def bytes_to_write(self, entry: CatalogueEntry, staging: Path) -> int:
        """Count what is missing of the file."""
        partial = self._partial(staging)
        return max(0, entry.size_bytes - (partial.stat().st_size if partial.exists() else 0))

    def fetch(self, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
        """Download the file, or the rest of it."""
        partial = self._partial(staging)
        partial.touch()

        def report(done_bytes: int) -> None:
            progress(min(done_bytes, entry.size_bytes), entry.size_bytes, self.label)

        with _Metered(partial, report) as stream:
            done = stream.seek(0, io.SEEK_END)
            if done > entry.size_bytes:
                done = stream.truncate(stream.seek(0))
            report(done)
            if done < entry.size_bytes:
                self._download(_official(entry), stream, done, entry.size_bytes)
        return partial

    def discard(self, entry: CatalogueEntry, staging: Path) -> None:
        """Remove the partial file."""
        del entry
        self._partial(staging).unlink(missing_ok=True)

    def _size_and_tag(self, official: HubFile) -> tuple[int | None, str | None]:
        # Imported here: half a second that only a pull has to spend.
        from huggingface_hub import get_hf_file_metadata  # noqa: PLC0415 - see above

        found = get_hf_file_metadata(self._url(official), timeout=self._probe_timeout_s, endpoint=self._endpoint)
        return found.size, found.etag

    def _download(self, official: HubFile, stream: "_Metered", done: int, total: int) -> None:
        from huggingface_hub.file_download import http_get  # noqa: PLC0415 - as above
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there, but not re-exported  # noqa: PLC0415 - as above
            build_hf_headers,
            disable_progress_bars,
        )

        disable_progress_bars()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings quote signed addresses
        headers = build_hf_headers(library_name="headrace")
        try:
            http_get(self._url(official), stream, resume_size=done, headers=headers, expected_size=total)
        except OSError as error:
            if error.errno is not None:  # the disk's error, not the network's
                raise
            raise SourceUnavailable(_reason(error)) from error
        except Exception as error:
            raise SourceUnavailable(_reason(error)) from error

    def _url(self, official: HubFile) -> str:
        from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as above

        return hf_hub_url(official.repository, official.file, revision=official.revision, endpoint=self._endpoint)

    @staticmethod
    def _partial(staging: Path) -> Path:
        return staging / "hub.partial"


class _Metered(io.BufferedRandom):
    """A file open for reading and writing that tells how long it has become after each write."""

    def __init__(self, path: Path, report: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "r+"))
        self._report = report

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]  # bytes are all we write
        written = super().write(data)
        self._report(self.tell())
        return written


def _official(entry: CatalogueEntry) -> HubFile:
    if entry.official is None:
        msg = f"the catalogue names no official file for {entry.name}"
        raise SourceUnavailable(msg)
    return entry.official


def _reason(error: Exception) -> str:
    """Say it in a few words of ours: the error's own text quotes addresses that may be signed."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return f"it answered {status}" if status is not None else f"not reachable ({type(error).__name__})"

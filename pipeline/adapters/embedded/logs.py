"""The children's log files: a fresh one per start, three older ones kept, all 0600."""

import os
from pathlib import Path
from typing import BinaryIO

_KEPT = 3
_TAIL_BYTES = 8192


def rotate(path: Path) -> None:
    """Move NAME.log to NAME.log.1, that to NAME.log.2 and so on; an empty log stays."""
    if not path.exists() or path.stat().st_size == 0:
        return
    for number in range(_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def open_log(path: Path) -> BinaryIO:
    """Open a log for a child to append to."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def tail(path: Path, *, lines: int = 12, mask: tuple[str, ...] = ()) -> str:
    """Return the last lines of a log, with the given secrets masked; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    for secret in mask:
        text = text.replace(secret, "***")
    return "\n".join(text.splitlines()[-lines:])

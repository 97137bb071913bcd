"""What runs, written down: one JSON file per child in HOME/run, so that another terminal, or the next start, finds it.

A process number alone proves nothing (numbers are used again): a guard is known by the token on its command line, a
child by its number together with its start time.
"""

import contextlib
import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any, TypedDict, cast

import psutil

_SAME_START_S = 2.0  # the kernel's start times are derived from the wall clock, which is adjusted
_AFTER_GRACE_S = 5.0


class Record(TypedDict):
    """One running child."""

    name: str
    token: str
    guard_pid: int
    pid: int | None  # None: the guard ended before it could say
    created: float | None  # start time of `pid`, seconds since the epoch
    grace_s: float
    facts: dict[str, int | str]  # what others want to know, such as the port


def new_token() -> str:
    """Return a mark that no other process has on its command line."""
    return f"headrace-{secrets.token_hex(8)}"


def start_time(pid: int | None) -> float | None:
    """Return when the process started, in seconds since the epoch; None if it is gone."""
    if pid is None:
        return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def write_record(folder: Path, record: Record) -> None:
    """Write HOME/run/NAME.json in one piece, mode 0600."""
    path = folder / f"{record['name']}.json"
    draft = folder / f".{record['name']}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file)
    draft.replace(path)


def remove_record(folder: Path, name: str) -> None:
    """Forget a child that ended."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def read_record(path: Path) -> Record | None:
    """Return one record, or None if there is none that can be read."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not Record.__required_keys__ <= found.keys():
        return None
    return cast("Record", found)  # written by write_record, in a folder that is ours alone


def guard_of(record: Record) -> psutil.Process | None:
    """Return the record's guard if it still runs and is really ours."""
    try:
        guard = psutil.Process(record["guard_pid"])
        alive = guard.status() != psutil.STATUS_ZOMBIE and record["token"] in guard.cmdline()
    except psutil.Error:
        return None
    return guard if alive else None


def child_of(record: Record) -> psutil.Process | None:
    """Return the record's child if it still runs and is really ours."""
    created = start_time(record["pid"])
    if record["pid"] is None or created is None or record["created"] is None:
        return None
    if abs(created - record["created"]) > _SAME_START_S:
        return None
    with contextlib.suppress(psutil.Error):
        child = psutil.Process(record["pid"])
        return None if child.status() == psutil.STATUS_ZOMBIE else child
    return None


def stop_leftovers(folder: Path) -> list[str]:
    """End what a killed run left behind, and return the names; call it with the home's lock held.

    Guards end their children by themselves when their supervisor dies: this waits for them, and sees to the rest.
    """
    ended = []
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if record is not None and end(record):
            ended.append(record["name"])
        path.unlink(missing_ok=True)
    return ended


def end(record: Record) -> bool:
    """Stop a record's guard and child; True if any of them was still there."""
    child, guard = child_of(record), guard_of(record)
    if guard is not None:
        _stop(guard, record["grace_s"] + _AFTER_GRACE_S)
    if child is not None:
        _stop(child, record["grace_s"])
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    return guard is not None or child is not None


def _stop(process: psutil.Process, patience_s: float) -> None:
    """SIGTERM, and SIGKILL when patience is over."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(patience_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_AFTER_GRACE_S)

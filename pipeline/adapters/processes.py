"""Which process a worker is, so that another one on the same machine can tell that it is gone."""

import hashlib
import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19  # of those behind the name; in clock ticks since the machine started: no clock can move it
_ZOMBIES = frozenset({"Z", "X"})


def worker_name(tier: str, proc: Path = _PROC) -> str:
    """Return a name for this process as a worker: tier@host/machine:pid:start."""
    pid = os.getpid()
    started = _stat(proc, pid)
    return f"{tier}@{socket.gethostname()}/{_machine(proc)}:{pid}:{'' if started is None else started[1]}"


def is_gone(worker: str, proc: Path = _PROC) -> bool:
    """Whether a worker's process surely is no more: it ran here, and another or none has its number now.

    False wherever that cannot be told: of other machines and containers, without /proc, and where it hides processes.
    """
    place, _, process = worker.rpartition("/")
    parts = process.split(":")
    machine = _machine(proc)
    if not place or len(parts) != 3 or not machine or parts[0] != machine or not parts[1].isdigit() or not parts[2]:  # noqa: PLR2004 — machine, pid, start
        return False
    if _stat(proc, 1) is None:
        return False
    found = _stat(proc, int(parts[1]))
    return found is None or found[0] in _ZOMBIES or found[1] != parts[2]


def _machine(proc: Path) -> str:
    """Return a mark of this start of this machine and this space of process numbers; empty where it has none."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text()
        space = (proc / "self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot}{space}".encode()).hexdigest()[:12]


def _stat(proc: Path, pid: int) -> tuple[str, str] | None:
    """Return a process's state and when it started; None if there is none, or it is hidden."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[_START_FIELD]
    except (OSError, IndexError):
        return None

"""What the processes of a scene take of memory, what they share divided among them."""

import contextlib
from collections.abc import Mapping

import psutil


def memory_mib(roots: Mapping[str, int]) -> dict[str, float]:
    """Return MiB by kind of process, of these processes and all under them; Postgres's sessions count as one."""
    found: dict[str, float] = {}
    for name, pid in roots.items():
        for process in _tree(pid):
            with contextlib.suppress(psutil.Error):
                kind = _kind(process, name)
                if kind is not None:
                    found[kind] = found.get(kind, 0.0) + process.memory_full_info().pss / 2**20
    return {kind: round(mib, 1) for kind, mib in sorted(found.items())}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _kind(process: psutil.Process, name: str) -> str | None:
    words = process.cmdline()
    if not words or any(word.endswith("guard.py") for word in words) or "resource_tracker" in " ".join(words):
        return None
    for server in ("valkey", "postgres"):
        if server in words[0]:
            return server
    if "flower" in words:
        return "flower"
    parent = process.parent()
    holder = words if "--tier" in words else [] if parent is None else parent.cmdline()
    if "--tier" not in holder:
        return f"up ({name})"
    tier = holder[holder.index("--tier") + 1]
    return f"worker {tier}" if holder is words else f"worker {tier}, child"

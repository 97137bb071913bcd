"""How much memory is a process's own, for measurements in processes that are begun for them."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def own_bytes() -> int:
    """Return what no file backs: pages of a mapped model are left out, the system takes them back when it wants."""
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

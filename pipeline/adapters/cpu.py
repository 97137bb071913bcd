"""How many threads a worker may use: the cgroup's quota and the CPU affinity, not the machine's core count."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def granted_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the CPUs that this process may really use, at least 1.

    More threads than the quota make a model 5 to 20 times slower. Reads cgroup v2's `cpu.max`, then v1's quota.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")
    return max(1, min(affinity, int(quota) if quota else affinity))


def _quota_v2(path: Path) -> float | None:
    try:
        limit, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def _quota_v1(folder: Path) -> float | None:
    try:
        limit = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit / period if limit > 0 else None

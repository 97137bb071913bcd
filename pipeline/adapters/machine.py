"""What this machine has left: memory, within what the cgroup grants."""

import platform
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_FORMAT_FEATURES = frozenset(
    {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16"}
)


def available_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Return the bytes that new processes can take now without swapping. Reads cgroup v2's files, then v1's."""
    free = psutil.virtual_memory().available
    for folder, limit_file, used_file, idle in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(folder / limit_file), _number(folder / used_file)
        if limit is not None and used is not None:
            # Pages of files that nobody uses count as used, and are given back whenever memory is wanted.
            return max(0, min(free, limit - used + _counter(folder / "memory.stat", idle)))
    return free


def busy_cpus(interval_s: float = 0.5) -> float:
    """Watch for a moment how many CPUs are at work, whoever's work it is; blocks that long."""
    return psutil.cpu_percent(interval=interval_s) / 100 * (psutil.cpu_count() or 1)


def _counter(stat: Path, name: str) -> int:
    """Return one line's number of a cgroup's `memory.stat`; 0 where it does not stand there."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return 0
    found = next((line.split()[1] for line in lines if line.startswith(f"{name} ")), "0")
    return int(found) if found.isdecimal() else 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no number: no limit
        return None


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return what the processor can do, in Linux' words (`avx2`, `fma` …); nothing where the system does not say so."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model and what it can do, as far as number formats care: tuning is for one of these."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    features = sorted(processor_features(cpuinfo) & _FORMAT_FEATURES)
    return " ".join([named or f"{platform.system()} {platform.machine()}", *features])

"""The check-up of a machine: everything that any run needs. Each check looks at one thing.

Servers that already run are asked and left alone. Only where none runs are the embedded ones started, in the home that
a run would use and under its lock, and stopped again; that makes the home if need be and migrates its tables.
"""

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from pipeline.adapters.celery_queue import client_url
from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.embedded import Home, open_home
from pipeline.adapters.embedded.binaries import postgres_binaries, valkey_server
from pipeline.adapters.llama.probe import REBUILD, LibraryFacts, library_facts
from pipeline.adapters.machine import available_memory_bytes, processor_features
from pipeline.adapters.postgres.probe import DatabaseFacts, database_facts
from pipeline.adapters.redis_probe import RedisFacts, redis_facts
from pipeline.domain.errors import ConfigError, HeadraceError
from pipeline.domain.findings import Finding, failure, ok, warning
from pipeline.settings import PREFIX, Settings
from pipeline.wiring.exposure import REQUIRE, exposures
from pipeline.wiring.fit import Room
from pipeline.wiring.job_checkup import job_findings
from pipeline.wiring.servers import Role, servers

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 14
_GB = 1e9
_LEAST_FREE_GB = 0.5
_GOOD_FREE_GB = 3.0
_GOOD_MEMORY_GB = 1.0
_FAST = {"avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX512"}
"""Linux' word for what makes llama.cpp several times faster → llama.cpp's own."""
_YOURS = "yours"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def checkup(settings: Settings, job_file: Path | None = None) -> Iterator[Finding]:
    """Check one thing after the other; the findings come as they are made, since some take seconds."""
    yield python_finding(sys.version_info[:3])
    yield settings_finding(settings)
    try:
        home = open_home(settings.home)
    except ConfigError as error:
        yield failure("home", str(error))
        home = None
    if home is not None:
        yield _home(home)
        yield from _servers(settings, home)
    yield from _machine()
    finding, facts = _library()
    yield finding
    if job_file is not None:
        room = Room(
            host_bytes=available_memory_bytes(),
            gpu_bytes=None if facts is None else facts.free_gpu_bytes,
            has_gpu=facts is not None and facts.has_gpu,
        )
        yield from job_findings(job_file, settings, room, up=home is not None and _is_up(home))


def python_finding(version: tuple[int, int, int]) -> Finding:
    """Judge Python's version."""
    seen = ".".join(map(str, version))
    if version[:2] < OLDEST_PYTHON:
        return failure("python", seen, "install Python 3.11 or newer and set up again")
    return ok("python", seen)


def settings_finding(settings: Settings) -> Finding:
    """Show what the environment sets, secrets masked. What is not valid has ended the command before."""
    shown = []
    for name in sorted(settings.model_fields_set - {"assignment", "nights"}):
        value = getattr(settings, name)
        written = masked_address(value.get_secret_value()) if isinstance(value, SecretStr) else value
        shown.append(f"{PREFIX}{name.upper()}={written}")
    return ok("settings", ", ".join(shown) or "all defaults")


def masked_address(url: str) -> str:
    """Return a server's address without user, password or parameters."""
    scheme, found, rest = url.partition("://")
    if not found:
        return "***"
    # By the last @, not by the URL's grammar: a password that should have been escaped is one all the same.
    secret, _, place = rest.rpartition("@")
    return f"{scheme}://{'***@' if secret else ''}{place.partition('?')[0]}"


def _home(home: Home) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=home.path):
            pass
        mode, free_gb = stat.S_IMODE(home.path.stat().st_mode), shutil.disk_usage(home.path).free / _GB
    except OSError as error:
        return failure("home", f"cannot write in {home.path}: {error.strerror}", "set HEADRACE_HOME to another folder")
    return home_finding(home.path, mode, free_gb)


def home_finding(path: Path, mode: int, free_gb: float) -> Finding:
    """Judge the home's mode and the space around it."""
    seen = f"{path}, mode {mode:04o}, {free_gb:,.1f} GB free"
    space = "free some space, or set HEADRACE_HOME to a folder on another disk"
    if free_gb < _LEAST_FREE_GB:
        return failure("home", seen, space)
    if mode & _OTHERS:
        return warning("home", f"{seen}; others on this machine may look into it", f"chmod 700 {path}")
    if free_gb < _GOOD_FREE_GB:
        return warning("home", f"{seen}; models and a large run may need more", space)
    return ok("home", seen)


def _servers(settings: Settings, home: Home) -> Iterator[Finding]:
    if settings.redis_url is not None and settings.database_url is not None:
        yield _redis(settings.redis_url.get_secret_value(), _YOURS)
        yield _database(settings.database_url.get_secret_value(), _YOURS)
        yield from exposure_findings(settings)
        return
    try:
        running = home.running()
    except ConfigError as error:
        yield failure("servers", str(error))
        return
    if running is not None:
        yield _redis(running.redis_url, "embedded, running")
        yield _database(running.database_url, "embedded, running")
        return
    yield from _trial_start(settings, home)


def _trial_start(settings: Settings, home: Home) -> Iterator[Finding]:
    try:
        seen = f"{valkey_server().name} and {postgres_binaries().postgres.name} are there"
    except HeadraceError as error:
        yield failure("binaries", str(error))
        return
    yield ok("binaries", seen)
    try:
        with home.lock():
            pass
    except ConfigError as error:
        yield warning("servers", str(error), "wait until it is up or has stopped, and ask again")
        return
    try:
        with servers(settings, Role.REPORT) as found:
            yield _redis(found.redis_url, "embedded, started for this check")
            yield _database(found.database_url, "embedded, started for this check")
    except HeadraceError as error:
        yield failure("servers", str(error))


def exposure_findings(settings: Settings) -> Iterator[Finding]:
    """Judge how servers of the user's own are reached."""
    try:
        found = exposures(settings)
    except ConfigError:  # told of the server itself already
        return
    for one in found:
        if settings.require_tls:
            yield failure("network", f"{one.seen}, and {REQUIRE} is set", one.mend)
        else:
            yield warning("network", one.seen, one.mend)


def _redis(url: str, whose: str) -> Finding:
    try:
        return redis_finding(redis_facts(client_url(url)), whose)
    except HeadraceError as error:
        return failure("redis", str(error), _way_back(whose, "REDIS_URL"))


def redis_finding(facts: RedisFacts, whose: str) -> Finding:
    """Judge Redis: a queue that may forget is worse than one that refuses."""
    seen = f"{facts.version} ({whose}), maxmemory-policy {facts.eviction or 'not told'}"
    mend = "set maxmemory-policy noeviction: otherwise Redis forgets queued chunks when its memory is full"
    return ok("redis", seen) if facts.eviction == "noeviction" else warning("redis", seen, mend)


def _database(url: str, whose: str) -> Finding:
    try:
        return database_finding(database_facts(url), whose)
    except HeadraceError as error:
        return failure("postgres", str(error), _way_back(whose, "DATABASE_URL"))


def _way_back(whose: str, variable: str) -> str:
    """Say what to do about a server that does not answer."""
    if whose == _YOURS:
        return f"start it, or mend {PREFIX}{variable}"
    return f"stop every headrace command and start again; the server's log is in the folder logs of {PREFIX}HOME"


def database_finding(facts: DatabaseFacts, whose: str) -> Finding:
    """Judge Postgres: its version, and whether the tables are this release's."""
    seen = f"{facts.version} ({whose}), tables {facts.revision or 'not made yet'}"
    if facts.major < OLDEST_POSTGRES:
        return failure("postgres", seen, f"Postgres {OLDEST_POSTGRES} or newer is needed")
    if not facts.knows_revision:
        return failure("postgres", f"{seen}, made by a newer release", "use that release of headrace, or a newer one")
    if facts.revision != facts.newest:
        return warning(
            "postgres", f"{seen}, this release brings {facts.newest}", "headrace migrate (`run` and `up` do)"
        )
    return ok("postgres", seen)


def _machine() -> Iterator[Finding]:
    threads = granted_cpus()
    yield ok("processor", f"{threads} thread{'s' if threads > 1 else ''} granted")
    memory_gb = available_memory_bytes() / _GB
    seen = f"{memory_gb:,.1f} GB available"
    if memory_gb < _GOOD_MEMORY_GB:
        yield warning("memory", seen, "stop something else, or take smaller models")
    else:
        yield ok("memory", seen)


def _is_up(home: Home) -> bool:
    try:
        return home.running() is not None
    except ConfigError:
        return False


def _library() -> tuple[Finding, LibraryFacts | None]:
    try:
        facts = library_facts()
    except HeadraceError as error:
        return failure("llama.cpp", str(error)), None
    return library_finding(facts, processor_features()), facts


def library_finding(facts: LibraryFacts, processor: frozenset[str]) -> Finding:
    """Judge llama.cpp's build against what the processor can do."""
    unused = sorted(theirs for ours, theirs in _FAST.items() if ours in processor and theirs not in facts.features)
    seen = f"llama-cpp-python {facts.version}"
    if unused:
        lacks = f"{seen}, built without {', '.join(unused)}, which this processor has"
        return warning("llama.cpp", lacks, f"{REBUILD}=={facts.version}")
    return ok("llama.cpp", f"{seen}, built for this processor")

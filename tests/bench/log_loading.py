"""From log files to committed rows: lines a second with known kinds, and the memory that it takes.

    python tests/bench/log_loading.py [--lines 2000000] [--processes 1 --processes 2] [--rounds 3] [--drain3] [--json]

Writes files of generated lines (40 kinds of line, users, addresses, paths, ids, numbers; one in 500 with a stack trace)
under a folder for temporary files, starts a Postgres of its own, and loads: first a small file, which makes the kinds
known, then for each round and number of processes a file of its own. Parsing alone is one process without Postgres.
Memory is the largest sum over the loading processes, Postgres not counted; it is seen by the tenth of the file.
`--drain3` parses the contents of as many lines with that package.
"""

import datetime as dt
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.log_files import LogFileReader
from pipeline.adapters.machine import processor_name
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.flow.log_parsing import parse
from pipeline.ports.logs import LogStore
from pipeline.settings import Settings
from pipeline.wiring import store_and_queue
from pipeline.wiring.log_loading import load_files
from pipeline.wiring.parts import system_clock
from pipeline.wiring.servers import Role, servers

_START = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)

Part = Callable[[random.Random], str]


def _user(chance: random.Random) -> str:
    return f" for user=u{chance.randrange(5000)}"


def _address(chance: random.Random) -> str:
    return f" from 10.0.{chance.randrange(256)}.{chance.randrange(256)}:{chance.randrange(1024, 65536)}"


def _path(chance: random.Random) -> str:
    return f" at /srv/data/{chance.randrange(1 << 20):x}/part-{chance.randrange(1000):05}"


def _id(chance: random.Random) -> str:
    return f" id {chance.getrandbits(64):016x}"


def _time(chance: random.Random) -> str:
    return f" in {chance.randrange(10_000)} ms"


def _size(chance: random.Random) -> str:
    return f", {chance.randrange(1 << 30)} bytes of blk_{chance.getrandbits(62)}"


_PARTS: dict[str, tuple[Part, ...]] = {
    "session": (_user, _address),
    "block": (_size, _address),
    "container": (_id, _time),
    "request": (_id, _user, _address, _time),
    "job": (_time,),
    "lease": (_user, _id),
    "shard": (_size, _time),
    "index": (_path, _size, _time),
    "volume": (_path,),
    "channel": (),
}
_VERBS = ("opened", "closed", "moved", "refused")
_TRACE = "java.io.IOException: gone\n    at org.x.Y.z(Y.java:{0})\n    at org.x.Main.run(Main.java:12)\n"


def written(path: Path, lines: int, seed: int) -> Path:
    """Write a file of lines, some of them traces."""
    chance = random.Random(seed)
    kinds = [(noun, verb) for noun in _PARTS for verb in _VERBS]
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while number < lines:
            at = _START + dt.timedelta(milliseconds=number * 40)
            noun, verb = kinds[min(int(chance.expovariate(0.15)), len(kinds) - 1)]
            stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}"
            level = chance.choice(("INFO", "INFO", "INFO", "WARN", "ERROR"))
            said = "".join(part(chance) for part in _PARTS[noun])
            file.write(f"{stamp} {level} org.x.{noun.title()}Manager: {noun} {verb}{said}\n")
            number += 1
            if number % 500 == 0:
                file.write(_TRACE.format(number % 900))
                number += 3
    return path


@contextmanager
def watched() -> Iterator[list[int]]:
    """Yield bytes held by this process and its children, looked at 5 times a second; Postgres is none of them."""
    seen: list[int] = []
    done = threading.Event()
    me = psutil.Process()

    def look() -> None:
        while not done.wait(0.2):
            seen.append(sum(_held(one) for one in (me, *me.children(recursive=True))))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _held(process: psutil.Process) -> int:
    try:
        return 0 if "postgres" in process.name() else int(process.memory_info().rss)
    except psutil.Error:
        return 0


def parsed(path: Path, layout: str) -> float:
    """Return lines a second of reading and parsing alone."""
    reader, started, lines = LogFileReader(path), time.perf_counter(), 0
    for block in reader.blocks(None, LAYOUTS[layout].fits):
        parse(block, layout, _START, lambda events, _: events)
        lines = block.lines_until
    return lines / (time.perf_counter() - started)


def drained(path: Path) -> float:
    from drain3 import TemplateMiner  # type: ignore[import-not-found]  # noqa: PLC0415 — no dependency

    miner, started, lines = TemplateMiner(), time.perf_counter(), 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            miner.add_log_message(line.rstrip("\n").partition(": ")[2])
            lines += 1
    return lines / (time.perf_counter() - started)


@click.command(help=__doc__)
@click.option("--lines", default=2_000_000)
@click.option("--processes", multiple=True, default=(1, 2), type=int)
@click.option("--rounds", default=3)
@click.option("--drain3", "peer", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
def main(lines: int, processes: tuple[int, ...], rounds: int, *, peer: bool, as_json: bool) -> None:
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        small = written(Path(folder) / "small.log", 50_000, seed=0)
        settings = Settings(home=Path(folder) / "home")
        with (
            servers(settings, Role.UP, migrated=True) as up,
            store_and_queue(up.redis_url, up.database_url) as (store, _),
        ):
            _load(store, small, 1)
            for number in range(rounds):
                for count in processes:
                    path = written(Path(folder) / "big.log", lines, seed=1 + number * 100 + count)
                    found.append({"round": number, **_load(store, path, count)})
                    print(found[-1], file=sys.stderr)
            rate = statistics.median(parsed(small, "log4j") for _ in range(rounds))
            told = {"machine": processor_name(), "parsing_lines_per_s": rate, "loads": found}
            if peer:
                told["drain3_lines_per_s"] = statistics.median(drained(small) for _ in range(rounds))
    if as_json:
        print(json.dumps(told))
        return
    for count in processes:
        rates = [one["lines_per_s"] for one in found if one["processes"] == count]
        print(f"{count} processes: {statistics.median(rates):,.0f} lines/s to committed rows (of {len(rates)} loads)")
    print(
        f"parsing alone, one process: {rate:,.0f} lines/s",
        f"; drain3 {told['drain3_lines_per_s']:,.0f}" if peer else "",
    )


def _load(store: LogStore, path: Path, processes: int) -> dict[str, Any]:
    started = time.perf_counter()
    with watched() as seen:
        (done,) = load_files(
            store, "bench", [str(path)], layout=None, processes=processes, clock=system_clock(), show=lambda *_: None
        )
    seconds = time.perf_counter() - started
    if done.problem is not None:
        raise SystemExit(done.problem)
    tenths = [max(seen[at : at + max(1, len(seen) // 10)]) >> 20 for at in range(0, len(seen), max(1, len(seen) // 10))]
    lines = done.until_line - done.from_line + 1
    return {
        "processes": processes,
        "lines": lines,
        "events": done.events,
        "lines_per_s": lines / seconds,
        "peak_mib_by_tenth": tenths[:10],
    }


if __name__ == "__main__":
    main()

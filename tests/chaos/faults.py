"""The faults, by name: each is done to a scene and undone again; what it does is in its name."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Mapping

import psutil
import psycopg

from pipeline.adapters.embedded import open_home
from pipeline.wiring import store_and_queue
from tests.chaos.endpoint import MODES
from tests.chaos.scene import Scene

Fault = Callable[[Scene, random.Random], None]


def _tier(dice: random.Random) -> str:
    return dice.choice(("small", "large"))


def _child(scene: Scene, dice: random.Random) -> psutil.Process:
    """Return a worker's child, once there is one: it may have been killed a moment ago."""
    tier, found = _tier(dice), list[psutil.Process]()

    def there() -> bool:
        with contextlib.suppress(AssertionError, psutil.Error):
            found.append(scene.app.worker_child(tier))
        scene.look_after()
        return bool(found)

    scene.app.wait_until(there, "a worker has a child")
    return found[0]


def kill_worker_child(scene: Scene, dice: random.Random) -> None:
    """Kill it as the kernel does when memory runs out."""
    _child(scene, dice).kill()


def kill_worker(scene: Scene, dice: random.Random) -> None:
    worker = _child(scene, dice).parent()
    if worker is not None:
        for process in (worker, *worker.children(recursive=True)):
            process.kill()


def kill_workers_supervisor(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — there is one
    assert scene.up is not None
    scene.up.kill()
    scene.up.wait(30)
    scene.up = None
    scene.app.wait_until(lambda: not scene.app.processes(), "what the supervisor kept is gone")
    scene.start()


def kill_servers_supervisor(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — there is one
    assert scene.servers is not None
    scene.servers.kill()
    scene.servers.wait(30)
    scene.servers = None
    scene.start_servers()


def freeze_worker(scene: Scene, dice: random.Random) -> None:
    """Stop a worker for longer than its lease: it comes back and is thought dead."""
    child = _child(scene, dice)
    child.suspend()
    time.sleep(2 * scene.lease_s)
    child.resume()


def starve_worker(scene: Scene, dice: random.Random) -> None:
    """Let a worker have no more memory than it has: what it asks for is refused."""
    child = _child(scene, dice)
    child.rlimit(psutil.RLIMIT_AS, (child.memory_info().vms, resource.RLIM_INFINITY))
    time.sleep(dice.uniform(2.0, 4.0))
    with contextlib.suppress(psutil.Error):
        child.rlimit(psutil.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def upgrade(scene: Scene, dice: random.Random) -> None:
    """Give the tables what a later release adds, under workers of this one, and then start the workers anew."""
    assert scene.up is not None
    mark = f"later_{dice.randrange(10**9)}"
    for table in ("runs", "items", "chunks", "attempts", "verdicts", "ledger", "escalations", "pauses"):
        scene.rows(f"ALTER TABLE {table} ADD COLUMN {mark} text DEFAULT 'new'")
    scene.rows(f"CREATE TABLE {mark} (id bigint PRIMARY KEY)")
    scene.rows(f"CREATE INDEX ON attempts (run_id, {mark})")
    time.sleep(dice.uniform(1.0, 2.0))
    scene.up.send_signal(signal.SIGTERM)
    scene.up.wait(60)
    scene.start()


def kill_server(name: str, number: signal.Signals) -> Fault:
    def fault(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — there is one
        process = scene.server(name)
        process.send_signal(number)
        psutil.wait_procs([process], timeout=30)

    return fault


def freeze_server(name: str) -> Fault:
    def fault(scene: Scene, dice: random.Random) -> None:
        process = scene.server(name)
        frozen = [process, *process.children(recursive=True)]
        for one in frozen:
            one.suspend()
        time.sleep(dice.uniform(3.0, 6.0))
        for one in frozen:
            if one.is_running():
                one.resume()

    return fault


def lose_redis_data(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — there is one
    process = scene.server("valkey")
    process.suspend()
    for path in (scene.shell.home / "valkey").iterdir():
        if path.name.startswith(("appendonly", "dump")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    process.kill()
    psutil.wait_procs([process], timeout=30)


def fill_redis(scene: Scene, dice: random.Random) -> None:
    with scene.redis() as client:
        client.config_set("maxmemory", "1")
        time.sleep(dice.uniform(3.0, 5.0))
        client.config_set("maxmemory", "0")


def outlast_visibility(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — all of them
    """Hand out again what is being worked on, as kombu does for whoever takes longer than the visibility timeout."""
    with scene.redis() as client:
        held: list[bytes] = client.hvals("unacked")  # type: ignore[assignment]
        for one in held:
            message, _, place = json.loads(one)
            client.lpush(place, json.dumps(message))


def fill_disk(scene: Scene, dice: random.Random) -> None:
    path = scene.disk / "full"
    try:
        with path.open("wb") as file:
            for part in (2**24, 2**20, 2**16, 2**12):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), part)
        time.sleep(dice.uniform(3.0, 5.0))
    finally:
        path.unlink()


def slow_disk(scene: Scene, dice: random.Random) -> None:
    """Stop Postgres for most of the time, as one that waits for its disk."""
    until_s = time.monotonic() + dice.uniform(4.0, 6.0)
    while time.monotonic() < until_s:
        process = scene.server("postgres")
        stopped = [process, *process.children(recursive=True)]
        for number, pause_s in ((signal.SIGSTOP, 0.09), (signal.SIGCONT, 0.01)):
            for one in stopped:
                with contextlib.suppress(psutil.Error):
                    one.send_signal(number)
            time.sleep(pause_s)


def exhaust_pool(scene: Scene, dice: random.Random) -> None:
    """Take all connections that Postgres gives, also those that were in use."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.Error):
            scene.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with contextlib.suppress(psycopg.Error):
            while True:
                stack.enter_context(scene.connected())
        time.sleep(dice.uniform(3.0, 5.0))


_MOVED = (
    (
        "UPDATE chunks SET lease_until = lease_until + BY, published_at = published_at + BY,"
        " not_before = not_before + BY,"
        " created_at = created_at + BY WHERE state IN ('pending', 'claimed')"
    ),
    "UPDATE pauses SET since = since + BY, until = until + BY",
    "UPDATE escalations SET since = since + BY",
)


def move_clock(hours: int) -> Fault:
    """Move the clock of Postgres: all moments that it kept are so much the other way then."""

    def fault(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — always the same
        for statement in _MOVED:
            scene.rows(statement.replace("BY", f"interval '{-hours} hours'"))

    return fault


def move_workers_clocks(scene: Scene, dice: random.Random) -> None:
    """Move the clocks of all workers by hours, both ways."""
    for hours in (dice.choice((-5, 7)), dice.choice((-3, 9)), 0):
        scene.clock_file.write_text(f"{3600 * hours:+d}")
        time.sleep(dice.uniform(1.0, 2.0))


def cut_network(name: str) -> Fault:
    def fault(scene: Scene, dice: random.Random) -> None:
        proxy = scene.to_redis if name == "redis" else scene.to_postgres
        proxy.refusing = True
        time.sleep(dice.uniform(3.0, 5.0))
        proxy.refusing = False

    return fault


def stall_network(name: str) -> Fault:
    """Let nothing through and tell nobody, for longer than a lease."""

    def fault(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — as long as it must be
        proxy = scene.to_redis if name == "redis" else scene.to_postgres
        proxy.stalled = True
        time.sleep(1.5 * min(scene.lease_s, 6.0))
        proxy.stalled = False

    return fault


def slow_network(name: str) -> Fault:
    def fault(scene: Scene, dice: random.Random) -> None:
        proxy = scene.to_redis if name == "redis" else scene.to_postgres
        proxy.delay_s = 0.15
        time.sleep(dice.uniform(4.0, 6.0))
        proxy.delay_s = 0.0

    return fault


def cut_phases(scene: Scene, dice: random.Random) -> None:
    """Cut every connection to Postgres before its second message, before its third, and so on: in every phase."""
    for messages in range(2, 26):
        scene.to_postgres.cut_after = messages
        time.sleep(dice.uniform(0.15, 0.35))
    scene.to_postgres.cut_after = None


def cut_connections(scene: Scene, dice: random.Random) -> None:
    """End all sessions of Postgres several times, wherever their transactions are."""
    for _ in range(5):
        try:
            scene.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        except psycopg.Error:
            continue
        time.sleep(dice.uniform(0.01, 0.3))


def deliver_twice(scene: Scene, dice: random.Random) -> None:
    """Announce chunks that were announced already, three times over."""
    running = open_home(scene.shell.home).running()
    assert running is not None
    with store_and_queue(running.redis_url, running.database_url) as (store, queue):
        for pool in store.pools():
            notices = list(store.published_pending(pool=pool, older_than_s=0))
            chosen = dice.sample(notices, min(10, len(notices)))
            for _ in range(3):
                queue.publish(chosen)


def fail_endpoint(mode: str) -> Fault:
    def fault(scene: Scene, dice: random.Random) -> None:
        scene.endpoint.mode = mode
        time.sleep(dice.uniform(2.0, 4.0))
        scene.endpoint.mode = "well"

    return fault


FAULTS: Mapping[str, Fault] = {
    "worker child, kill -9": kill_worker_child,
    "whole worker, kill -9": kill_worker,
    "workers' supervisor, kill -9": kill_workers_supervisor,
    "servers' supervisor, kill -9": kill_servers_supervisor,
    "worker frozen for two leases": freeze_worker,
    "worker gets no more memory": starve_worker,
    "tables of a later release, then new workers": upgrade,
    "messages delivered four times": deliver_twice,
    "messages in work delivered again": outlast_visibility,
    "Redis restarted": kill_server("valkey", signal.SIGTERM),
    "Redis, kill -9": kill_server("valkey", signal.SIGKILL),
    "Redis loses its data": lose_redis_data,
    "Redis frozen": freeze_server("valkey"),
    "Redis full": fill_redis,
    "network to Redis cut": cut_network("redis"),
    "network to Redis stalled": stall_network("redis"),
    "network to Redis slow": slow_network("redis"),
    "Postgres restarted": kill_server("postgres", signal.SIGINT),
    "Postgres, kill -9": kill_server("postgres", signal.SIGKILL),
    "Postgres frozen": freeze_server("postgres"),
    "Postgres starved of its disk": slow_disk,
    "disk of Postgres full": fill_disk,
    "connections of Postgres all taken": exhaust_pool,
    "connections to Postgres cut": cut_connections,
    "connections to Postgres cut in every phase": cut_phases,
    "network to Postgres cut": cut_network("postgres"),
    "network to Postgres stalled": stall_network("postgres"),
    "network to Postgres slow": slow_network("postgres"),
    "clock of Postgres 2 hours ahead": move_clock(2),
    "clock of Postgres 2 hours back": move_clock(-2),
    "clocks of workers moved": move_workers_clocks,
    **{f"endpoint: {mode}": fail_endpoint(mode) for mode in MODES},
}


def possible(*, has_disk: bool, has_clock: bool) -> list[str]:
    """Return the faults that can be done here: a full disk needs the right to mount one, clocks a library."""
    needs = {"disk of Postgres full": has_disk, "clocks of workers moved": has_clock}
    return [name for name in FAULTS if needs.get(name, True)]

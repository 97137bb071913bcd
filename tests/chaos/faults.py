"""The faults, by name: each is done to a scene and undone again; what it does is in its name."""

import random
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


def kill_worker_child(scene: Scene, dice: random.Random) -> None:
    scene.shell.worker_child(_tier(dice)).kill()


def kill_worker(scene: Scene, dice: random.Random) -> None:
    worker = scene.shell.worker(_tier(dice))
    children = worker.children(recursive=True)
    for process in (worker, *children):
        process.kill()


def kill_supervisor(scene: Scene, dice: random.Random) -> None:  # noqa: ARG001 — there is one
    assert scene.up is not None
    scene.up.kill()
    scene.up.wait(30)
    scene.up = None
    scene.shell.wait_until(lambda: not scene.shell.processes(), "what the supervisor kept is gone")
    scene.start()


def freeze_worker(scene: Scene, dice: random.Random) -> None:
    """Stop a worker for longer than its lease: it comes back and is thought dead."""
    child = scene.shell.worker_child(_tier(dice))
    child.suspend()
    time.sleep(2 * scene.lease_s)
    child.resume()


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
    "supervisor, kill -9": kill_supervisor,
    "worker frozen for two leases": freeze_worker,
    "messages delivered four times": deliver_twice,
    "Redis restarted": kill_server("valkey", signal.SIGTERM),
    "Redis, kill -9": kill_server("valkey", signal.SIGKILL),
    "Redis loses its data": lose_redis_data,
    "Redis frozen": freeze_server("valkey"),
    "Postgres restarted": kill_server("postgres", signal.SIGINT),
    "Postgres, kill -9": kill_server("postgres", signal.SIGKILL),
    "Postgres frozen": freeze_server("postgres"),
    "connections to Postgres cut": cut_connections,
    **{f"endpoint: {mode}": fail_endpoint(mode) for mode in MODES},
}

"""Runs that share workers take turns, and Redis holds a few chunks of each, however many there are."""

import redis

from pipeline.adapters.embedded import open_home
from tests.acceptance.conftest import Shell, lines_of

LARGE_ITEMS, FEW = 4000, 24


def test_a_small_run_does_not_wait_behind_a_large_one_and_the_queue_stays_short(shell: Shell) -> None:
    job = shell.job(small="score=0.99 wait_s=0.1", chunk=8)
    shell.start("up", job)
    shell.wait_until(lambda: open_home(shell.home).running() is not None, "servers")
    large = shell.json("submit", job, shell.file("large.log", lines_of(LARGE_ITEMS)))["run"]
    small = shell.json("submit", job, shell.file("small.log", lines_of(FEW, start=LARGE_ITEMS)))["run"]
    running = open_home(shell.home).running()
    assert running is not None
    depths = []
    with redis.Redis.from_url(running.redis_url) as client:

        def small_is_done() -> bool:
            depths.append(sum(client.llen(key) for key in client.scan_iter("tier.*", _type="LIST")))
            return bool(shell.json("status", small)["state"] == "done")

        shell.wait_until(small_is_done, "the small run is done")
    behind = shell.json("status", large)
    assert behind["state"] == "running"
    answered = sum(sum(step["verdicts"].values()) for step in behind["steps"].values()) / len(behind["steps"])
    assert answered < LARGE_ITEMS / 2
    assert 0 < max(depths) < LARGE_ITEMS / 8 / 4

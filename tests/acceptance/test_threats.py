"""What a neighbour with Redis' password, or somebody who looks at Flower, can make real workers do: nothing more."""

import base64
import json
import pickle
import re
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from pipeline.adapters.celery_queue import celery_settings
from pipeline.adapters.embedded import open_home
from tests.acceptance.conftest import Shell

ROWS = "".join(f"text number {number}\n" for number in range(6))


class _Marks:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def _envelope(body: bytes, kind: str, task: str, **headers: object) -> str:
    """Return a message as kombu puts it on a queue."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary" if kind != "application/json" else "utf-8",
            "content-type": kind,
            "headers": {"lang": "py", "task": task, "id": str(uuid.uuid4()), "root_id": None, **headers},
            "properties": {
                "correlation_id": str(uuid.uuid4()),
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": ""},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def _json(task: str, *args: object, **kwargs: object) -> str:
    return _envelope(json.dumps([args, kwargs, {}]).encode(), "application/json", task)


def test_hostile_messages_execute_nothing_and_stop_no_worker(shell: Shell, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job, source = shell.job(chunk=2), shell.file("in.txt", ROWS)
    shell.start("up", job)
    shell.wait_until(
        lambda: all("engine_ready" in shell.log(f"worker-{t}") for t in ("small", "large")), "workers are up"
    )
    running = open_home(shell.home).running()
    assert running is not None
    broker = redis.Redis.from_url(running.redis_url)
    shell.run("submit", job, source)
    shell.wait_until(lambda: shell.json("status", "last")["state"] == "done", "the run is done")
    (pool,) = [key.decode().removeprefix("_kombu.binding.") for key in broker.scan_iter("_kombu.binding.tier.small*")]
    pickled = pickle.dumps(([], {"chunk_id": _Marks(mark)}, {}))
    yaml = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]"
    hostile = [
        _envelope(pickled, "application/x-python-serialize", "headrace.judge"),
        _envelope(pickled, "application/x-pickle", "headrace.judge"),
        _envelope(yaml.encode(), "application/x-yaml", "headrace.judge"),
        _json("headrace.judge", chunk_id=1, version=2),
        _json("headrace.judge", chunk_id=1, version=1, text="more"),
        _json("headrace.judge", chunk_id="1; DROP TABLE runs"),
        _json("headrace.judge", chunk_id=10**30),
        _json("headrace.judge", 1),
        _json("celery.backend_cleanup"),
        _json("celery.map", {"task": "headrace.judge"}, [[1]]),
        _json("celery.group", [], [], "", []),
        _json("os.system", f"touch {mark}"),
    ]
    for message in hostile:
        broker.lpush(pool, message)
    shell.wait_until(lambda: broker.llen(pool) == 0, "the worker has taken all of them")
    shell.run("submit", job, shell.file("more.txt", "one more text\nand another\n"))
    shell.wait_until(lambda: shell.json("status", "last")["state"] == "done", "the worker works on")
    log = shell.log("worker-small")
    assert log.count("engine_ready") == 1, "the worker was not even started anew"
    assert "Refusing to deserialize" in log
    for garbage in ("no envelope at all", "{}", "[1, 2]", json.dumps({"body": "x", "headers": None})):
        broker.lpush(pool, garbage)
    shell.run("submit", job, shell.file("still.txt", "some text\n"))
    shell.wait_until(lambda: shell.json("status", "last")["state"] == "done", "whom garbage ended is started anew")
    broker.close()
    assert not mark.exists(), "nothing was unpickled"


def test_remote_commands_tell_and_change_nothing(shell: Shell) -> None:
    job = shell.job()
    up = shell.start("up", job)
    shell.wait_until(
        lambda: all("engine_ready" in shell.log(f"worker-{t}") for t in ("small", "large")), "workers are up"
    )
    home = open_home(shell.home)
    running = home.running()
    assert running is not None
    app = Celery("neighbour", set_as_current=False)
    app.conf.update(celery_settings(running.redis_url))
    before = {tier: shell.worker(tier).pid for tier in ("small", "large")}
    for command, arguments in (
        ("shutdown", {}),
        ("pool_grow", {"n": 3}),
        ("pool_restart", {"modules": ["antigravity"], "reload": True}),
        ("add_consumer", {"queue": "elsewhere"}),
        ("cancel_consumer", {"queue": app.control.inspect(timeout=5).active_queues().popitem()[1][0]["name"]}),
        ("rate_limit", {"task_name": "headrace.judge", "rate_limit": "1/h"}),
        ("revoke", {"task_id": "x", "terminate": True}),
        ("time_limit", {"task_name": "headrace.judge", "hard": 1}),
    ):
        app.control.broadcast(command, arguments=arguments)
    told = json.dumps(
        [getattr(app.control.inspect(timeout=5), name)() for name in ("conf", "report", "stats", "registered")],
        default=repr,
    )
    assert "headrace.judge" in told, "Flower's questions are answered"
    assert "celery.chord" not in json.dumps(app.control.inspect(timeout=5)._request("registered", builtins=True))
    assert home.secret("redis-password") not in told
    assert home.secret("postgres-password") not in told
    queues = [one["name"] for found in app.control.inspect(timeout=5).active_queues().values() for one in found]
    assert len(queues) == 2, "each worker has its own queue"
    assert "elsewhere" not in queues
    shell.run("submit", job, shell.file("in.txt", ROWS))
    shell.wait_until(lambda: shell.json("status", "last")["state"] == "done", "the run is done")
    assert {tier: shell.worker(tier).pid for tier in before} == before
    assert "enable_events" not in shell.log("worker-small"), "what Flower asks every few seconds is no error"
    app.close()
    _flower_is_read_only(shell, shell.output(up), home.secret("flower-password"))


def _flower_is_read_only(shell: Shell, shown: str, password: str) -> None:
    found = re.search(r"http://127\.0\.0\.1:\d+", shown)
    assert found is not None
    address = str(found[0])
    workers = ("/api/workers", "/workers", "/tasks", "/api/tasks", "/broker", "/")
    assert {path: _status(address, path) for path in workers} == dict.fromkeys(workers, 401), "nothing without password"
    assert _status(address, "/workers", password=password[::-1]) == 401
    assert _status(address, "/api/workers", password=password) == 200
    names = [f"{tier}@{name}" for tier in ("small",) for name in [_hostname(address, password)]]
    orders = ("shutdown", "pool/grow", "pool/restart", "queue/add-consumer", "queue/cancel-consumer")
    for order in orders:
        status = _status(address, f"/api/worker/{order}/{names[0]}", password=password, post=b"n=1&queue=x")
        assert status in {401, 403, 405}, f"{order} is refused: {status}"
    for order in ("async-apply/headrace.judge", "send-task/headrace.judge", "apply/headrace.judge"):
        status = _status(address, f"/api/task/{order}", password=password, post=b'{"kwargs": {"chunk_id": 1}}')
        assert status in {401, 403, 405}, f"{order} is refused: {status}"
    metrics = _page(address, "/metrics", None)
    assert "acceptance-" not in metrics, "no run's name"
    assert "text number" not in metrics
    assert "score=" not in metrics
    shell.worker("small")


def _hostname(address: str, password: str) -> str:
    names = json.loads(_page(address, "/api/workers?refresh=1", password))
    return next(str(name).partition("@")[2] for name in names if name.startswith("small@"))


def _request(address: str, path: str, password: str | None, post: bytes | None) -> urllib.request.Request:
    headers = {}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"headrace:{password}".encode()).decode()
    return urllib.request.Request(f"{address}{path}", headers=headers, data=post)  # noqa: S310 — loopback


def _status(address: str, path: str, *, password: str | None = None, post: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(_request(address, path, password, post), timeout=30) as answer:  # noqa: S310 — loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _page(address: str, path: str, password: str | None) -> str:
    with urllib.request.urlopen(_request(address, path, password, None), timeout=30) as answer:  # noqa: S310 — loopback
        return str(answer.read().decode())

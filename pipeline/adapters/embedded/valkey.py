"""Valkey, the Redis-protocol server: its configuration, its process, and the question whether it answers."""

import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline.adapters.embedded.binaries import valkey_server
from pipeline.adapters.embedded.home import REDIS_SECRET, VALKEY, Home
from pipeline.adapters.embedded.ports import LOOPBACK
from pipeline.adapters.embedded.supervisor import Child

_ANSWER_S = 5.0
_GRACE_S = 20.0

# The password stands in a 0600 file, not on a command line. Append-only and fsync once a second: at most a second of
# queued ids is lost in a power cut, and `sweep` finds those. `noeviction`: a queue that forgets silently is worse than
# one that refuses. `save ""`: no second copy of what the append-only file holds.
_CONFIGURATION = """\
bind {address}
port {port}
protected-mode yes
requirepass "{password}"
dir {folder}
daemonize no
pidfile ""
logfile ""
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def valkey_child(home: Home, port: int) -> Child:
    """Write the configuration and return the server to run."""
    folder = home.folder(VALKEY)
    path = folder / "valkey.conf"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        _CONFIGURATION.format(address=LOOPBACK, port=port, password=home.secret(REDIS_SECRET), folder=_quoted(folder)),
        encoding="utf-8",
    )
    return Child(
        name=VALKEY,
        argv=(str(valkey_server()), str(path)),
        env={"LC_ALL": "C"},
        cwd=folder,
        stop_signal=signal.SIGTERM,
        grace_s=_GRACE_S,
        restart="always",
        facts={"port": port},
    )


def answers(url: str) -> bool:
    """Whether the server at this address is up, has loaded its data and knows the password."""
    no_retry = Retry(NoBackoff(), 0)  # whoever waits for the server asks again anyway
    client = redis.Redis.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, retry=no_retry)
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
        return False
    finally:
        client.close()


def _quoted(path: Path) -> str:
    """Return a path as the configuration file wants it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

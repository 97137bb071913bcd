"""What a worker does for whoever has Redis' password: its own tasks, and it tells of itself. Nothing else.

Celery brings more: tasks that start other tasks, and commands that stop a worker, give it other queues or drop its
messages. Headrace needs none of them; Flower shows workers by what they tell.
"""

from typing import Final

from celery import Celery
from celery.worker.control import Panel

TELLING: Final = frozenset(
    {
        *(
            "active",
            "active_queues",
            "clock",
            "conf",
            "enable_events",
            "hello",
            "ping",
            "query_task",
            "registered",
            "report",
            "reserved",
        ),
        *("revoked", "scheduled", "stats"),
    }
)
"""Remote commands that change nothing: events are on in any case, and Flower asks for them every few seconds."""
_BUILT_IN = "celery."


def closed(app: Celery) -> Celery:
    """Return the app, with Celery's own tasks and all commands that change a worker taken away."""
    for name in set(Panel.data) - TELLING:
        Panel.data.pop(name)
        Panel.meta.pop(name, None)
    app.on_after_finalize.connect(_without_built_in, weak=False)
    return app


def _without_built_in(sender: Celery, **_: object) -> None:
    for name in [name for name in sender.tasks if name.startswith(_BUILT_IN)]:
        sender.tasks.pop(name)

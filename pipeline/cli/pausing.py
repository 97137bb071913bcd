"""pause and resume: a run held by its owner, and let go on."""

import click

from pipeline.cli.main import commands
from pipeline.cli.terminal import examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.runs import RunState
from pipeline.flow.announcing import announce
from pipeline.settings import load_settings
from pipeline.wiring import store_and_queue
from pipeline.wiring.servers import Role, servers


@commands.command()
@click.argument("run")
@json_option
@examples("headrace pause last", "headrace pause support-tickets-3fa9 --json")
def pause(run: str, *, as_json: bool) -> None:
    """Hold a RUN: no chunk of it is begun any more, other runs go on.

    What is being answered just now is finished and kept. `resume` lets it go on, after a minute or a month.
    RUN is a name, its beginning (then the latest such run) or `last`.
    """
    _order(run, going_on=False, as_json=as_json)


@commands.command()
@click.argument("run")
@json_option
@examples("headrace resume last")
def resume(run: str, *, as_json: bool) -> None:
    """Let a RUN go on that was paused. This starts no worker: run the job once more, or have workers up."""
    _order(run, going_on=True, as_json=as_json)


def _order(run: str, *, going_on: bool, as_json: bool) -> None:
    with (
        servers(load_settings(), Role.REPORT) as found,
        store_and_queue(found.redis_url, found.database_url) as (store, queue),
    ):
        record = store.find_run(run)
        done = store.resume(record.id) if going_on else store.pause(record.id)
        if going_on and done:  # its last answers may have come while it was held
            store.settle(record.id)
            announce(queue, store, record.id)
        now = store.run(record.id)
        shown = store.progress(record.id)
    if going_on and not done and shown.state is RunState.PAUSED:
        raise ConfigError(f"{now.name} waits for an endpoint and goes on by itself once that answers: {shown.reason}")
    if not done:
        how = f": {now.reason}" if now.reason else ""
        raise ConfigError(
            f"{now.name} is {now.state.value}{how}; only a {_from(going_on=going_on)} run can be so ordered"
        )
    if as_json:
        print_json({"run": now.name, "state": now.state.value})
    else:
        out.print(f"{now.name} is {now.state.value}", markup=False, soft_wrap=True)


def _from(*, going_on: bool) -> str:
    return "paused" if going_on else "running"

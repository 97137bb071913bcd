"""budget: what a run may spend."""

from decimal import Decimal, InvalidOperation
from typing import get_args

import click
from pydantic import ValidationError

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.cli.views import budget_line
from pipeline.domain.budget import Budget, OnExhausted
from pipeline.domain.errors import ConfigError
from pipeline.domain.runs import FINAL_STATES


@commands.command()
@click.argument("run")
@click.option("--usd", help="What the run may spend, all calls so far included.")
@click.option("--per-item-usd", help="What each of its items may cost, all calls so far included.")
@click.option("--on-exhausted", type=click.Choice(get_args(OnExhausted)), help="What to do when it is spent.")
@json_option
@examples(
    "headrace budget last",
    "headrace budget support-tickets-3fa9 --usd 80",
    "headrace budget support-tickets-3fa9 --per-item-usd 0.02 && headrace dead requeue support-tickets-3fa9",
)
def budget(
    run: str, usd: str | None, per_item_usd: str | None, on_exhausted: OnExhausted | None, *, as_json: bool
) -> None:
    """Show what a RUN may spend and has spent, or give it more; a run that waited for money goes on.

    A call that is priced by token is made only if the most that it may cost is still there; what is reserved for calls
    in flight is given back when they are settled. Of a lost worker it stays reserved: it may have been charged.
    An item whose next call could bring it above --per-item-usd is not asked again: with `accept` it has the best answer
    so far, else `headrace dead list` shows it, and once there is more, `headrace dead requeue` asks it again.
    RUN is a name, its beginning (then the latest such run) or `last`. This starts no worker.
    """
    with opened_store() as store:
        record = store.find_run(run)
        now = store.spending(record.id)
        changed = (usd, per_item_usd, on_exhausted) != (None, None, None)
        if changed:
            wanted = _budget(usd, per_item_usd, on_exhausted, None if now is None else now.budget)
            if record.job.target is not None and wanted.on_exhausted == "accept":
                raise ConfigError("with a [target] no answer stands uncertified: --on-exhausted hold, or stop")
            store.set_budget(record.id, wanted)
            now = store.spending(record.id)
    if as_json:
        print_json({"run": record.name, "budget": None if now is None else now.as_json()})
    elif now is None:
        out.print(f"{record.name} has no budget: --usd or --per-item-usd gives it one", markup=False)
    else:
        out.print(f"{record.name}: {budget_line(now)}", markup=False, soft_wrap=True)
        if changed and record.state in FINAL_STATES:
            again = f"headrace retry {record.name}"
            err.print(f"it is {record.state.value}, and asked for nothing more until: {again}", markup=False)


def _budget(
    usd: str | None, per_item_usd: str | None, on_exhausted: OnExhausted | None, before: Budget | None
) -> Budget:
    if usd is None and per_item_usd is None and before is None:
        raise ConfigError("this run has no budget yet: say how much with --usd or --per-item-usd")
    said = {} if before is None else before.model_dump()
    given = {"usd": usd, "per_item_usd": per_item_usd}
    for name, amount in given.items():
        if amount is not None:
            said[name] = _amount(f"--{name.replace('_', '-')}", amount)
    return Budget.model_validate(said | ({} if on_exhausted is None else {"on_exhausted": on_exhausted}))


def _amount(option: str, amount: str) -> Decimal:
    try:
        found = Budget(usd=Decimal(amount)).usd
    except (InvalidOperation, ValidationError):
        found = None
    if found is None:
        raise ConfigError(f"{option} {amount}: an amount of dollars above 0, as in 50 or 0.25")
    return found

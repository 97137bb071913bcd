"""budget: what a run may spend."""

from decimal import Decimal, InvalidOperation
from typing import get_args

import click
from pydantic import ValidationError

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import examples, json_option, out, print_json
from pipeline.cli.views import budget_line
from pipeline.domain.budget import Budget, OnExhausted
from pipeline.domain.errors import ConfigError
from pipeline.domain.runs import FINAL_STATES


@commands.command()
@click.argument("run")
@click.option("--usd", help="What the run may spend, all calls so far included.")
@click.option("--on-exhausted", type=click.Choice(get_args(OnExhausted)), help="What to do when it is spent.")
@json_option
@examples("headrace budget last", "headrace budget support-tickets-3fa9 --usd 80")
def budget(run: str, usd: str | None, on_exhausted: OnExhausted | None, *, as_json: bool) -> None:
    """Show what a RUN may spend and has spent, or give it more; a run that waited for money goes on.

    A call that is priced by token is made only if the most that it may cost is still there; what is reserved for calls
    in flight is given back when they are settled. Of a lost worker it stays reserved: it may have been charged.
    RUN is a name, its beginning (then the latest such run) or `last`. This starts no worker.
    """
    with opened_store() as store:
        record = store.find_run(run)
        now = store.spending(record.id)
        if usd is not None or on_exhausted is not None:
            if record.state in FINAL_STATES:
                raise ConfigError(f"{record.name} is {record.state.value}: `headrace retry` takes it up again")
            store.set_budget(record.id, _budget(usd, on_exhausted, None if now is None else now.budget))
            now = store.spending(record.id)
    if as_json:
        print_json({"run": record.name, "budget": None if now is None else now.as_json()})
    elif now is None:
        out.print(f"{record.name} has no budget: --usd gives it one", markup=False)
    else:
        out.print(f"{record.name}: {budget_line(now)}", markup=False, soft_wrap=True)


def _budget(usd: str | None, on_exhausted: OnExhausted | None, before: Budget | None) -> Budget:
    if usd is None and before is None:
        raise ConfigError("this run has no budget yet: say how much with --usd")
    try:
        amount = Decimal(usd) if usd is not None else (before or Budget(usd=Decimal(1))).usd
        kept = "hold" if before is None else before.on_exhausted
        return Budget(usd=amount, on_exhausted=on_exhausted or kept)
    except (InvalidOperation, ValidationError):
        raise ConfigError(f"--usd {usd}: an amount of dollars above 0, as in 50 or 0.25") from None

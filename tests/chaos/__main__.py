"""Runs under fire: random schedules of faults, and whether the tables at the end are those of a quiet run.

    python -m tests.chaos [--seeds 3] [--items 3000] [--faults 10] [--only NAME] [--json]
    python -m tests.chaos --each          # every fault by itself, for the table of the README
    python -m tests.chaos --beat          # Celery beat, which keeps the schedules of logs, killed after each night
    python -m tests.chaos --soak-s 3600   # a fault a minute, and what every process takes of memory

Recovery is counted from when a fault is over until something is answered again. Each answer of the endpoint is a
function of its text, so that the end is known beforehand; the endpoint counts what it was asked.
"""

import json
import random
import signal
import sys
import tempfile
from pathlib import Path

import click

from tests.acceptance.conftest import Shell
from tests.chaos.beat import through_nights
from tests.chaos.endpoint import serving
from tests.chaos.faults import FAULTS, possible
from tests.chaos.scene import LEASE_S, SWEEP_S, can_mount
from tests.chaos.under_fire import Survived, Weather, through

_EVERY_S = 60.0


@click.command(help=__doc__)
@click.option("--seeds", default=3, show_default=True)
@click.option("--first-seed", default=1, show_default=True)
@click.option("--items", default=3000, show_default=True)
@click.option("--faults", default=10, show_default=True)
@click.option("--wait-s", default=0.4, show_default=True, help="How long the small tier takes for 16 items.")
@click.option("--lease-s", default=LEASE_S, show_default=True, help="As shipped it is 20.")
@click.option("--sweep-s", default=SWEEP_S, show_default=True, help="As shipped it is 5.")
@click.option("--only", multiple=True, type=click.Choice(list(FAULTS)), help="These faults, in this order.")
@click.option("--each", is_flag=True, help="One run for each fault, with that fault three times.")
@click.option("--beat", is_flag=True, help="Kill beat three times, in nights of a minute.")
@click.option("--soak-s", type=float, help="One run with a fault a minute for so long; give it --items for as long.")
@click.option(
    "--clock",
    type=click.Path(exists=True, path_type=Path),
    help="libfaketime.so.1, as in the wheel `libfaketime`: without it the clocks of workers are left alone.",
)
@click.option("--json", "as_json", is_flag=True)
def main(
    seeds: int,
    first_seed: int,
    items: int,
    faults: int,
    wait_s: float,
    lease_s: float,
    sweep_s: float,
    only: tuple[str, ...],
    soak_s: float | None,
    clock: Path | None,
    *,
    each: bool,
    beat: bool,
    as_json: bool,
) -> None:
    """Run the schedules and print what came of them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job, and all it starts, ignores
    if beat:
        _beat()
        return
    names = list(only) or possible(has_disk=can_mount(), has_clock=clock is not None)
    left_out = [] if only else [name for name in FAULTS if name not in names]
    if left_out:
        print(f"not possible here: {', '.join(left_out)}", file=sys.stderr)
    plans = [[name] * 3 for name in names] if each else []
    if soak_s is not None:
        plans = [random.Random(first_seed).choices(names, k=int(soak_s / _EVERY_S))]
    for seed in range(first_seed, first_seed + (0 if plans else seeds)):
        plans.append(list(only) or random.Random(seed).choices(names, k=faults))
    weather = Weather(
        items=items,
        wait_s=wait_s,
        lease_s=lease_s,
        sweep_s=sweep_s,
        clock=clock,
        every_s=_EVERY_S if soak_s is not None else None,
    )
    found = []
    for seed, plan in enumerate(plans, first_seed):
        one = _one(plan, weather, seed).as_json()
        found.append(one)
        if not as_json:
            print(" | ".join(f"{name} {value}" for name, value in one.items()), flush=True)
    if as_json:
        print(json.dumps(found))
    sys.exit(not all(one["holds"] for one in found))


def _beat() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        shell = Shell(Path(folder))
        try:
            found = through_nights(shell, kills=3)
        finally:
            shell.end()
    print(json.dumps(found.as_json()))
    sys.exit(not found.holds)


def _one(plan: list[str], weather: Weather, seed: int) -> Survived:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, serving() as endpoint:
        Path(folder).chmod(0o755)  # as root, Postgres runs under another account
        shell = Shell(Path(folder))
        try:
            return through(shell, endpoint, plan, weather, seed=seed)
        finally:
            shell.end()


if __name__ == "__main__":
    main()

"""Runs under fire: random schedules of faults, and whether the tables at the end are those of a quiet run.

    python -m tests.chaos [--seeds 3] [--items 3000] [--faults 10] [--only NAME] [--json]
    python -m tests.chaos --each          # every fault by itself, for the table of the README

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
from tests.chaos.endpoint import serving
from tests.chaos.faults import FAULTS
from tests.chaos.scene import LEASE_S
from tests.chaos.under_fire import through


@click.command(help=__doc__)
@click.option("--seeds", default=3, show_default=True)
@click.option("--first-seed", default=1, show_default=True)
@click.option("--items", default=3000, show_default=True)
@click.option("--faults", default=10, show_default=True)
@click.option("--wait-s", default=0.4, show_default=True, help="How long the small tier takes for 16 items.")
@click.option("--lease-s", default=LEASE_S, show_default=True, help="As shipped it is 20.")
@click.option("--only", multiple=True, type=click.Choice(list(FAULTS)), help="These faults, in this order.")
@click.option("--each", is_flag=True, help="One run for each fault, with that fault three times.")
@click.option("--json", "as_json", is_flag=True)
def main(
    seeds: int,
    first_seed: int,
    items: int,
    faults: int,
    wait_s: float,
    lease_s: float,
    only: tuple[str, ...],
    *,
    each: bool,
    as_json: bool,
) -> None:
    """Run the schedules and print what came of them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job, and all it starts, ignores
    plans = [[name] * 3 for name in FAULTS] if each else []
    for seed in range(first_seed, first_seed + (0 if each else seeds)):
        dice = random.Random(seed)
        plans.append(list(only) or [dice.choice(list(FAULTS)) for _ in range(faults)])
    found = []
    for seed, plan in enumerate(plans, first_seed):
        with tempfile.TemporaryDirectory() as folder, serving() as endpoint:
            Path(folder).chmod(0o755)  # as root, Postgres runs under another account
            shell = Shell(Path(folder))
            try:
                one = through(shell, endpoint, plan, seed=seed, items=items, wait_s=wait_s, lease_s=lease_s).as_json()
            finally:
                shell.end()
        found.append(one)
        if not as_json:
            print(" | ".join(f"{name} {value}" for name, value in one.items()), flush=True)
    if as_json:
        print(json.dumps(found))
    sys.exit(not all(one["holds"] for one in found))


if __name__ == "__main__":
    main()

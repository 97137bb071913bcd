"""Forget a key: in one run, or in all whose job says what the key is."""

from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.domain.forgetting import Forgotten
from pipeline.ports.forgetting import ForgetStore
from pipeline.ports.store import RunRecord


class KeyStore(ForgetStore, Protocol):
    """What forgetting needs of a store."""

    def run(self, run_id: int) -> RunRecord:
        """See WorkStore."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenKey:
    """What was erased of a key."""

    runs: tuple[Forgotten, ...]
    """Those that had it."""
    left_out: tuple[str, ...]
    """Runs that have it as the number of a line: their job names no key, so it need not be the same customer's."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {"runs": [one.as_json() for one in self.runs], "left_out": list(self.left_out)}


def forget_key(store: KeyStore, key: str, *, run_id: int | None = None, dry_run: bool = False) -> ForgottenKey:
    """Erase a key in one run, or in all, each in a transaction of its own; a second time finds nothing."""
    runs = [store.run(one) for one in store.runs_with_key(key) if run_id in {None, one}]
    left_out = [run for run in runs if run_id is None and run.job.key is None]
    done = [store.forget(run.id, key, dry_run=dry_run) for run in runs if run not in left_out]
    if done and not dry_run:
        store.vacuum()
    return ForgottenKey(runs=tuple(done), left_out=tuple(run.name for run in left_out))

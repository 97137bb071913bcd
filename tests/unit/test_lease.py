"""A lease is renewed as long as its engine gets on, and no longer."""

import itertools
import threading
import time
from typing import Any, cast

from pipeline.domain.errors import StoreUnavailable
from pipeline.flow.lease import LeaseKeeper, Patience
from pipeline.ports.store import ClaimedChunk, WorkStore

CLAIMED = ClaimedChunk(
    chunk_id=1, run_id=1, tier_no=0, generation=0, fence=1, claims=1, item_nos=(0,), step_masks=(1,), texts=("a",)
)


class Renewing:
    """Counts renewals; the first few fail."""

    def __init__(self, *, failing: int = 0, lost: bool = False) -> None:
        self.renewals, self.failing, self.lost = 0, failing, lost

    def renew(self, claimed: ClaimedChunk, *, lease_s: float) -> bool:  # noqa: ARG002 — as the port has it
        self.renewals += 1
        if self.renewals <= self.failing:
            raise StoreUnavailable("down")
        return not self.lost


def patience(beats: Any, gave_up: threading.Event, *, stalled_after_s: float) -> Patience:  # noqa: ANN401 — an iterator
    return Patience(beats=lambda: next(beats), stalled_after_s=stalled_after_s, give_up=lambda _claimed: gave_up.set())


def hold(store: Renewing, held_s: float, *, waiting: Patience | None = None) -> None:
    with (
        LeaseKeeper(cast("WorkStore", store), lease_s=0.03, patience=waiting) as keeper,
        keeper.holding(CLAIMED),
    ):
        time.sleep(held_s)


def test_a_lease_is_renewed_though_a_renewal_fails() -> None:
    store = Renewing(failing=2)
    hold(store, 0.5)
    assert store.renewals > 2


def test_a_lease_that_was_lost_is_not_renewed_again() -> None:
    store = Renewing(lost=True)
    hold(store, 0.3)
    assert store.renewals == 1


def test_an_engine_that_gets_on_keeps_its_lease_however_long_it_takes() -> None:
    store, gave_up = Renewing(), threading.Event()
    hold(store, 0.5, waiting=patience(itertools.count(), gave_up, stalled_after_s=0.1))
    assert not gave_up.is_set()
    assert store.renewals > 5


def test_an_engine_that_does_nothing_is_given_up_and_its_lease_is_left_to_run_out() -> None:
    store, gave_up = Renewing(), threading.Event()
    hold(store, 0.6, waiting=patience(itertools.repeat(7), gave_up, stalled_after_s=0.1))
    assert gave_up.is_set()
    renewals = store.renewals
    time.sleep(0.1)
    assert store.renewals == renewals


def test_between_two_chunks_nothing_is_renewed() -> None:
    store = Renewing()
    with LeaseKeeper(cast("WorkStore", store), lease_s=0.03) as keeper:
        with keeper.holding(CLAIMED):
            time.sleep(0.2)
        renewals = store.renewals
        time.sleep(0.2)
        assert store.renewals == renewals > 1


def test_no_chunk_begins_a_thread_of_its_own() -> None:
    with LeaseKeeper(cast("WorkStore", Renewing()), lease_s=0.03) as keeper:
        threads = threading.active_count()
        with keeper.holding(CLAIMED):
            assert threading.active_count() == threads

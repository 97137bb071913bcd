"""Turns at endpoints are taken one after another, by whoever asks."""

import threading
import time

import pytest

from pipeline.domain.pacing import Limits
from tests.contract.store_cases import Rig

SLOW = Limits(requests_per_minute=1, tokens_per_minute=1000)


def test_a_turn_waits_for_those_that_were_taken_before(rig: Rig) -> None:
    waits = [rig.store.take_turn("a", SLOW, 10) for _ in range(3)]
    assert waits == pytest.approx([0, 60, 120], abs=5)


def test_tokens_count_as_well(rig: Rig) -> None:
    waits = [rig.store.take_turn("a", SLOW, 10_000) for _ in range(2)]
    assert waits == pytest.approx([0, 600], abs=5)


def test_accounts_do_not_wait_for_each_other(rig: Rig) -> None:
    assert [rig.store.take_turn(account, SLOW, 10) for account in "abc"] == [0, 0, 0]


def test_turns_that_are_taken_at_once_are_different_turns(rig: Rig) -> None:
    limits = Limits(requests_per_minute=600)
    waits: list[float] = []
    threads = [
        threading.Thread(target=lambda: waits.extend(rig.store.take_turn("a", limits, 1) for _ in range(10)))
        for _ in range(4)
    ]
    started_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken_s = time.monotonic() - started_s
    assert max(waits) == pytest.approx(39 * 0.1, abs=taken_s + 0.2)

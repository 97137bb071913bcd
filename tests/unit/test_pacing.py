"""Turns keep the limits of an endpoint, whoever asks and however fast."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.pacing import Limits, Turns

LIMITS = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 10_000),
    tokens_per_minute=st.none() | st.integers(1, 1_000_000),
)


def test_turns_are_a_minutes_share_apart() -> None:
    turns, limits = Turns(), Limits(requests_per_minute=120)
    assert [turns.take(limits, 10, now_s=5.0) for _ in range(4)] == pytest.approx([0, 0.5, 1, 1.5])


def test_tokens_make_the_next_request_wait_and_not_their_own() -> None:
    turns, limits = Turns(), Limits(tokens_per_minute=600)
    assert [turns.take(limits, 100, now_s=0.0) for _ in range(3)] == pytest.approx([0, 10, 20])


def test_what_was_not_used_in_a_quiet_hour_is_not_saved_up() -> None:
    turns, limits = Turns(), Limits(requests_per_minute=60)
    assert turns.take(limits, 1, now_s=0.0) == 0
    assert [turns.take(limits, 1, now_s=3600.0) for _ in range(3)] == pytest.approx([0, 1, 2])


def test_without_limits_nobody_waits() -> None:
    turns = Turns()
    assert [turns.take(Limits(), 10**9, now_s=0.0) for _ in range(3)] == [0, 0, 0]
    assert not Limits()


@given(limits=LIMITS, asked=st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 100)), max_size=40))
def test_no_minute_begins_more_than_its_limits(limits: Limits, asked: list[tuple[int, float]]) -> None:
    turns, now_s, begun = Turns(), 1000.0, []
    for tokens, pause_s in asked:
        now_s += pause_s
        begun.append((now_s + turns.take(limits, tokens, now_s=now_s), tokens))
    assert [at for at, _ in begun] == sorted(at for at, _ in begun)
    for first, (start, _) in enumerate(begun):
        window = list(itertools.takewhile(lambda one, start=start: one[0] < start + 60 - 1e-6, begun[first:]))  # type: ignore[misc]
        if limits.requests_per_minute is not None:
            assert len(window) <= limits.requests_per_minute
        if limits.tokens_per_minute is not None:  # the last one begins when there is room for some of it
            assert sum(tokens for _, tokens in window[:-1]) <= limits.tokens_per_minute + 1

"""Fields that claim one place of a text: the surest keeps it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.claims import Claim, lost_claims


def test_the_surest_field_keeps_a_place_and_the_other_is_null_by_the_odds() -> None:
    lost = lost_claims({"name": Claim((0, 3), 0.6), "account": Claim((0, 3), 0.2)})
    assert lost == {"account": pytest.approx(0.75)}


def test_places_that_only_touch_are_two_places() -> None:
    assert lost_claims({"a": Claim((0, 3), 0.6), "b": Claim((3, 5), 0.2)}) == {}


def test_a_field_that_gave_way_keeps_nobody_from_anything() -> None:
    claims = {"a": Claim((0, 3), 0.9), "b": Claim((2, 6), 0.5), "c": Claim((5, 9), 0.1)}
    assert set(lost_claims(claims)) == {"b"}


def test_equals_go_to_the_field_that_comes_first() -> None:
    assert lost_claims({"a": Claim((0, 3), 0.5), "b": Claim((0, 3), 0.5)}) == {"b": 0.5}
    assert lost_claims({"a": Claim((0, 3), 0.0), "b": Claim((0, 3), 0.0)}) == {"b": 0.5}


_CLAIM = st.builds(
    lambda start, length, score: Claim((start, start + length), score),
    st.integers(0, 20),
    st.integers(1, 6),
    st.floats(0, 1),
)


@given(st.dictionaries(st.text(min_size=1, max_size=3), _CLAIM, max_size=8))
def test_what_is_kept_never_overlaps_and_what_is_lost_had_a_surer_rival(claims: dict[str, Claim]) -> None:
    lost = lost_claims(claims)
    kept = {name: claim for name, claim in claims.items() if name not in lost}
    for name, claim in claims.items():
        rivals = [
            other
            for key, other in kept.items()
            if key != name and claim.place[0] < other.place[1] and other.place[0] < claim.place[1]
        ]
        if name in lost:
            assert any(other.score >= claim.score for other in rivals)
            assert 0.5 <= lost[name] <= 1.0
        else:
            assert not rivals

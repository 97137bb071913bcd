"""Clusters of texts that begin alike: nothing lost, nothing shared that is not common, nothing shared in vain."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.llama.sharing import LEAST_SHARED, MOST_CELLS, MOST_SEQUENCES, Cluster, Size, clusters

LETTER = tuple(range(100, 130))
BEGINNINGS = st.sampled_from([(), LETTER, LETTER[:20], (*LETTER, *range(40)), tuple(range(25))])
TEXTS = st.lists(
    st.builds(lambda begun, rest: (*begun, *rest), BEGINNINGS, st.lists(st.integers(0, 3), max_size=6)), max_size=60
)


def small(texts: Sequence[tuple[int, ...]]) -> list[Size]:
    return [Size(cells=len(text) + 20, sequences=1) for text in texts]


@given(TEXTS, st.integers(1, 20), st.integers(0, 900))
def test_every_text_is_in_one_cluster_that_fits_and_begins_with_what_its_cluster_shares(
    texts: list[tuple[int, ...]], sequences: int, behind: int
) -> None:
    sizes = [Size(cells=len(text) + behind, sequences=sequences) for text in texts]
    found = clusters(texts, sizes)
    assert sorted(place for cluster in found for place in cluster.places) == list(range(len(texts)))
    for cluster in found:
        first = texts[cluster.places[0]][: cluster.shared]
        assert all(texts[place][: cluster.shared] == first for place in cluster.places)
        if len(cluster.places) > 1:
            rest = sum(sizes[place].cells - cluster.shared for place in cluster.places)
            assert rest + cluster.shared <= MOST_CELLS
            assert sequences * len(cluster.places) <= MOST_SEQUENCES
        assert cluster.shared == 0 if len(cluster.places) == 1 else cluster.shared >= LEAST_SHARED


def test_form_letters_are_read_on_one_beginning_and_others_by_themselves() -> None:
    texts = [(*LETTER, 1), (7, 8, 9), (*LETTER, 2, 3), (*LETTER, 1, 4), (7, 8, 5)]
    found = clusters(texts, small(texts))
    assert {(cluster.shared, frozenset(cluster.places)) for cluster in found} == {
        (len(LETTER), frozenset({0, 2, 3})),
        (0, frozenset({1})),
        (0, frozenset({4})),
    }


def test_a_text_that_shares_little_does_not_cost_the_others_their_long_beginning() -> None:
    long = tuple(range(200))
    texts = [(*long, 1), (*long, 2), (*long[:20], 900)]
    assert Cluster(200, (0, 1)) in clusters(texts, small(texts))


def test_a_text_that_is_the_beginning_of_another_is_shared_whole() -> None:
    texts = [LETTER, (*LETTER, 1)]
    assert clusters(texts, small(texts)) == [Cluster(len(LETTER), (0, 1))]


def test_no_texts_make_no_clusters() -> None:
    assert clusters([], []) == []

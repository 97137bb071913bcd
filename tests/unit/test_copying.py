"""Whatever a model likes: copied strings and lists stand in the text, and writing them never comes to a dead end."""

import json
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.llama.copying import Copyable, CopyConstraint, Frame
from pipeline.adapters.llama.pieces import Pieces
from pipeline.adapters.llama.sources import Source, literals, spans_of_text
from pipeline.domain.fields import MAX_LIST_ITEMS, FieldSpec
from pipeline.domain.spans import candidates, place_of

END = "}"
TEXTS = st.text(alphabet=st.sampled_from('ab the"\\\n\té漢🙂<|null},[]\0'), max_size=20)
ANY_TEXT = st.text(max_size=30)
SPECS = {
    "number": FieldSpec(type="list", of="number"),
    "integer": FieldSpec(type="list", of="integer"),
    "date": FieldSpec(type="list", of="date"),
    "code": FieldSpec(type="list", pattern="[A-Z]{1,2}-[0-9]+"),
}


@dataclass
class Letters:
    """A vocabulary of single bytes and longer pieces, some of which cross the ends of values."""

    missing: bytes = b""
    """Bytes that it cannot write."""
    pieces_: list[bytes] = field(
        default_factory=lambda: [
            *(bytes([number]) for number in range(256)),
            *(b' "', b" null", b'"}', b"null", b"the", b" a", b'a"', b"\\n", b'\\"', b"ab", b'", "', b'","', b'a", "b'),
            *(b" [", b' ["', b' ["a', b" []", b" []}", b"]}", b'"]', b'"]}', b'a"]}', b", ", b"1, 2", b"12", b"0]}"),
            *("漢".encode(), "🙂".encode()[:2], b'", "a", "'),
        ]
    )

    def __post_init__(self) -> None:
        self.pieces_ = [piece for piece in self.pieces_ if not set(piece) & set(self.missing)]
        self.pieces = Pieces({piece: (token,) for token, piece in enumerate(self.pieces_)})

    def piece(self, token: int) -> bytes:
        return self.pieces_[token]


LETTERS = Letters()


def spans(text: str, *, listed: bool, vocab: Letters = LETTERS) -> Copyable:
    frame = Frame.of(listed=listed, quoted=True, end=END)
    return Copyable(spans_of_text(text, vocab.pieces.single_bytes), frame, vocab.pieces)


def listed(values: list[str], *, quoted: bool) -> Copyable:
    source = literals(values, LETTERS.pieces.single_bytes)
    return Copyable(source, Frame.of(listed=True, quoted=quoted, end=END), LETTERS.pieces)


def written(copyable: Copyable, seed: int, vocab: Letters = LETTERS, *, eager: float = 0.0) -> bytes:
    """Write with a model that likes some tokens at random; `eager` to go on with a list."""
    draw = np.random.default_rng(seed)
    liked = draw.random(len(vocab.pieces_)) * 10
    for token, piece in enumerate(vocab.pieces_):
        liked[token] += eager * (b'", "' in piece or b", " in piece or b"[" in piece)
    constraint = CopyConstraint(copyable, cast("Any", vocab))
    for _ in range(2_000):
        picked = constraint.pick(liked + draw.random(len(vocab.pieces_)) * 5)
        if picked is None:
            break
        token, share = picked
        assert 0 < share <= 1
        constraint.accept(token)
    assert constraint.written.endswith(END.encode())
    return constraint.written[:-1]


def is_span(value: object, text: str) -> bool:
    return isinstance(value, str) and value == value.strip() and place_of(value, text) is not None


@given(TEXTS | ANY_TEXT, st.integers(0, 2**32))
def test_a_copied_string_is_a_span_or_null(text: str, seed: int) -> None:
    value = json.loads(written(spans(text, listed=False), seed))
    assert value is None or is_span(value, text)


@given(TEXTS | ANY_TEXT, st.integers(0, 2**32), st.sampled_from([0.0, 8.0]))
@settings(deadline=None)
def test_a_copied_list_is_null_or_different_spans(text: str, seed: int, eager: float) -> None:
    value = json.loads(written(spans(text, listed=True), seed, eager=eager))
    assert value is None or all(is_span(one, text) for one in value)
    assert value is None or len(set(value)) == len(value) <= MAX_LIST_ITEMS
    assert value is None or FieldSpec(type="list").parse(value) == tuple(value)


@given(
    st.text(alphabet=st.sampled_from("AB-0123456789., €/"), max_size=40) | ANY_TEXT,
    st.sampled_from(sorted(SPECS)),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_a_list_of_what_can_be_listed_holds_each_candidate_at_most_once(text: str, kind: str, seed: int) -> None:
    offered = {one.literal: one.value for one in candidates(SPECS[kind], text)}
    quoted = kind in {"date", "code"}
    copyable = listed([literal[1:-1] if quoted else literal for literal in offered], quoted=quoted)
    value = json.loads(written(copyable, seed, eager=8.0))
    assert value is None or all(one in offered.values() for one in value)
    assert value is None or len(value) <= min(len(offered), MAX_LIST_ITEMS)


@given(TEXTS, st.integers(0, 2**32), st.booleans())
def test_what_a_vocabulary_cannot_write_is_no_value_and_no_dead_end(text: str, seed: int, several: bool) -> None:  # noqa: FBT001 — hypothesis gives it
    poor = Letters(missing="é".encode() + "🙂".encode() + b"t")
    value = json.loads(written(spans(text, listed=several, vocab=poor), seed, poor, eager=4.0))
    for one in value if isinstance(value, list) else [value]:
        assert one is None or is_span(one, text)
        assert one is None or not set(one) & set("é🙂t\t\0")


def whole_values(source: Source, frame: Frame) -> list[bytes]:
    """Write out all that may be written, where that is little."""
    cut = {
        source.data[start:end] for start, limit in source.limits.items() for end in source.ends if start < end <= limit
    }
    most = 1 if frame.between is None else len(cut)
    return [
        *frame.empty,
        *(
            frame.open + (frame.between or b"").join(order) + frame.close
            for count in range(1, most + 1)
            for order in permutations(sorted(cut), count)
        ),
    ]


@given(
    st.lists(st.sampled_from(["a", "ab", "b", '"', "漢", "the"]), max_size=2).map(" ".join),
    st.booleans(),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_exactly_those_tokens_are_allowed_that_lead_to_something_whole(text: str, several: bool, seed: int) -> None:  # noqa: FBT001 — hypothesis gives it
    copyable = spans(text, listed=several)
    wholes = whole_values(copyable.source, copyable.frame)
    draw = np.random.default_rng(seed)
    place, so_far = copyable.begin, b""
    while True:
        fitting = [
            token
            for token, piece in enumerate(LETTERS.pieces_)
            if any(whole.startswith(so_far + piece) for whole in wholes)
        ]
        allowed = copyable.allowed(place).tolist()
        assert allowed == fitting
        if not allowed:
            break
        piece = LETTERS.piece(int(draw.choice(allowed)))
        place, so_far = copyable.after(place, piece), so_far + piece
    assert so_far in wholes


def test_a_token_may_end_one_value_and_begin_the_next() -> None:
    copyable = spans("a b", listed=True)
    place = copyable.after(copyable.begin, b' ["')
    crossing = LETTERS.pieces_.index(b'a", "b')
    assert crossing in copyable.allowed(place)
    assert crossing not in copyable.allowed(copyable.after(place, b'b", "'))  # b has been said


def test_a_list_goes_on_only_while_something_is_left_to_say() -> None:
    few = listed(["1", "12"], quoted=False)
    values = [json.loads(written(few, seed, eager=50.0)) for seed in range(10)]
    assert all(value in ([1, 12], [12, 1]) for value in values if value)
    assert any(values)


def test_a_list_ends_where_it_holds_as_many_values_as_it_may() -> None:
    many = listed([str(number) for number in range(100, 130)], quoted=False)
    lengths = [len(json.loads(written(many, seed, eager=50.0)) or []) for seed in range(10)]
    assert max(lengths) == MAX_LIST_ITEMS


def test_any_other_token_is_refused() -> None:
    copyable = spans("a b", listed=True)
    with pytest.raises(KeyError):
        copyable.after(copyable.begin, b"x")


def test_pieces_that_begin_alike_are_found_by_their_bytes() -> None:
    pieces = Pieces({b"a": (1,), b"ab": (2, 3), b"\xff": (4,), b"\xff\xff": (5,)})
    low, high = pieces.beginning(b"a", pieces.everything)
    assert (low, high) == (0, 2)
    assert pieces.beginning(b"\xff\xff", pieces.beginning(b"\xff", pieces.everything)) == (3, 4)
    assert pieces.tokens(b"ab") == (2, 3)
    assert pieces.tokens(b"b") == ()
    assert pieces.single_bytes == {0x61, 0xFF}

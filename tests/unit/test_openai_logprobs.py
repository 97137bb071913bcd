"""RawScores from listed token probabilities: the rule of `logprobs`, its worked example, and what it must never do."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.openai_compatible.completion import completion_of, reading_of
from pipeline.adapters.openai_compatible.logprobs import Token, aligned, score, token_of
from pipeline.adapters.openai_compatible.scoring import scores_of
from pipeline.adapters.openai_compatible.spaces import choice_space, field_space
from pipeline.domain.fields import FieldSpec
from pipeline.domain.steps import Choice, Record

LABELS = ("bill", "billing", "other")


def tok(text: str, probability: float = 1.0, **others: float) -> Token:
    """Keyword names can't hold quotes: `Q` stands for one, `_` for nothing."""
    listed = tuple((name.replace("Q", '"').encode(), chance) for name, chance in others.items())
    return Token(text.encode(), probability, ((text.encode(), probability), *listed))


def label_score(tokens: list[Token], content: str, labels: tuple[str, ...], label: str) -> float | None:
    found = aligned(tokens, content)
    assert found is not None
    start = content.index(json.dumps(label, ensure_ascii=False), content.index(":"))
    written = json.dumps(label, ensure_ascii=False)
    return score(found, (start, start + len(written)), choice_space(labels, label, written, bare=False))


def field_score(tokens: list[Token], spec: FieldSpec, written: str) -> float | None:
    content = "".join(token.text.decode() for token in tokens)
    found = aligned(tokens, content)
    assert found is not None
    start = content.index(written, content.index(":"))
    return score(found, (start, start + len(written)), field_space(spec, written))


def test_the_worked_example_of_the_docstring_comes_out_as_written() -> None:
    tokens = [
        *map(tok, ('{"', "answer", '":')),
        tok(' "', 0.9, Q=0.05),
        tok("bill", 0.30, other=0.10, bi=0.05, Bill=0.40),
        tok('"}', 0.5, ing=0.25, Q=0.125, s=0.05),
    ]
    found = label_score(tokens, '{"answer": "bill"}', LABELS, "bill")
    assert found == pytest.approx((0.35 / 0.45) * (0.625 / 0.875))


def test_labels_that_share_a_first_token_are_scored_at_each_branching() -> None:
    tokens = [
        tok('{"answer": "'),
        tok("bank", 0.6, card=0.2),
        tok(" account", 0.5, **{" loan": 0.5}),
        tok('"}', 0.1, x=0.9),
    ]
    labels = ("bank account", "bank loan", "card")
    assert label_score(tokens, '{"answer": "bank account"}', labels, "bank account") == pytest.approx(0.75 * 0.5)


def test_what_follows_a_settled_label_does_not_count() -> None:
    tokens = [tok('{"answer": "'), tok("inv", 0.5, ref=0.5), tok("oices", 0.001, entory=0.9), tok('"}', 0.001)]
    assert label_score(tokens, '{"answer": "invoices"}', ("invoices", "refunds"), "invoices") == pytest.approx(0.5)


def test_a_forced_label_that_the_model_did_not_want_is_unknown() -> None:
    tokens = [tok('{"answer": "'), Token(b"bill", 1e-6, ((b"Sure", 0.6), (b"I", 0.3), (b"The", 0.05))), tok('"}')]
    assert label_score(tokens, '{"answer": "bill"}', ("bill", "other"), "bill") is None


def test_a_label_outside_the_list_counts_at_most_as_much_as_the_least_listed() -> None:
    tokens = [tok('{"answer": "'), tok("bill", 0.95, Bill=0.01), tok('"}')]
    assert label_score(tokens, '{"answer": "bill"}', ("bill", "other"), "bill") == pytest.approx(0.95 / 0.96)


def test_without_alternatives_only_a_sure_token_is_known() -> None:
    sure = [tok('{"answer": "'), Token(b"bill", 0.97), tok('"}')]
    unsure = [tok('{"answer": "'), Token(b"bill", 0.6), tok('"}')]
    assert label_score(sure, '{"answer": "bill"}', ("bill", "other"), "bill") == pytest.approx(0.97)
    assert label_score(unsure, '{"answer": "bill"}', ("bill", "other"), "bill") is None


def test_masked_alternatives_have_no_weight() -> None:
    entry = {
        "token": "bill",
        "logprob": -0.1,
        "bytes": None,
        "top_logprobs": [{"token": "Bill", "logprob": -9999.0, "bytes": None}],
    }
    token = token_of(entry)
    assert token is not None
    assert token.others == ((b"Bill", 0.0),)


def test_bare_labels_that_are_no_prefixes_are_scored_and_prefixes_are_unknown() -> None:
    labels = ("bill", "billing", "other")
    found = aligned([tok("other", 0.8, bill=0.2)], "other")
    assert found is not None
    assert score(found, (0, 5), choice_space(labels, "other", "other", bare=True)) == pytest.approx(0.8)
    found = aligned([tok("bill", 0.8, other=0.2)], "bill")
    assert found is not None
    assert score(found, (0, 4), choice_space(labels, "bill", "bill", bare=True)) is None


@pytest.mark.parametrize(
    ("pieces", "content", "shift"),
    [
        (["{", "}"], "{}", 0),
        (["```", "json\n", "{", "}", "\n```"], "{}", 8),
        ([" ", "other", "<|im_end|>"], "other", 1),
    ],
)
def test_fences_blanks_and_end_tokens_around_the_content_are_tolerated(
    pieces: list[str], content: str, shift: int
) -> None:
    found = aligned([tok(piece) for piece in pieces], content)
    assert found is not None
    assert found.shift == shift


@pytest.mark.parametrize(
    ("pieces", "content"),
    [([], "a"), (["a"], ""), (["b"], "a"), (["x", "a", "a"], "a"), (["\ufffd"], "é"), (["a"], "\ud800")],
)
def test_tokens_that_do_not_hold_the_content_once_are_not_aligned(pieces: list[str], content: str) -> None:
    assert aligned([tok(piece) for piece in pieces], content) is None


def test_characters_split_over_tokens_are_joined_by_their_bytes() -> None:
    entries = [
        {"token": '"', "bytes": [34], "logprob": 0.0},
        {"token": "\ufffd", "bytes": [0xC3], "logprob": 0.0},
        {"token": "\ufffd", "bytes": [0xA9], "logprob": 0.0},
        {"token": '"', "bytes": [34], "logprob": 0.0},
    ]
    tokens = [token for entry in entries if (token := token_of(entry)) is not None]
    assert aligned(tokens, '"é"') is not None


@pytest.mark.parametrize(
    "entry",
    [
        *(None, {}, {"token": 1}, {"token": "a"}, {"token": "a", "logprob": math.nan}),
        *({"token": "a", "logprob": 10**400}, {"token": "a", "logprob": -(10**400)}),
    ],
)
def test_an_entry_that_is_not_what_the_api_promises_is_none(entry: object) -> None:
    assert token_of(entry) is None


def test_a_string_field_is_the_product_over_its_tokens_and_its_end() -> None:
    tokens = [tok('{"id":'), tok(' "', 0.8, **{" null": 0.2}), tok("AB", 0.9, CD=0.1), tok('"}', 0.5, **{"1": 0.5})]
    assert field_score(tokens, FieldSpec(type="string"), '"AB"') == pytest.approx(0.8 * 0.9 * 0.5)


def test_formatting_behind_a_value_is_no_doubt_about_it() -> None:
    tokens = [tok('{"id": "'), tok("AB"), tok('"}', 0.4, Q=0.35, **{'",': 0.25})]
    assert field_score(tokens, FieldSpec(type="string"), '"AB"') == pytest.approx(1.0)


def test_a_number_needs_the_token_that_ends_it() -> None:
    tokens = [tok('{"n":'), tok(" "), tok("12", 0.9, **{"13": 0.1}), tok("}", 0.7, **{"3": 0.3})]
    assert field_score(tokens, FieldSpec(type="integer"), "12") == pytest.approx(0.9 * 0.7)


def test_a_terminator_merged_with_the_next_key_ends_a_number() -> None:
    tokens = [tok('{"n": '), tok("12", 0.9, **{"13": 0.1}), tok(',"', 0.6, **{"3": 0.4}), tok('m":1}')]
    assert field_score(tokens, FieldSpec(type="number"), "12") == pytest.approx(0.9 * 0.6)


def test_a_null_is_weighed_against_the_beginning_of_a_value() -> None:
    tokens = [tok('{"id":'), tok(" null", 0.75, **{' "': 0.25}), tok("}")]
    assert field_score(tokens, FieldSpec(type="string"), "null") == pytest.approx(0.75)


def test_one_of_and_booleans_are_weighed_among_their_values_and_null() -> None:
    colour = FieldSpec(type="one_of", options=("red", "green"))
    tokens = [tok('{"c": "'), tok("red", 0.3, green=0.1, blue=0.6), tok('"}')]
    assert field_score(tokens, colour, '"red"') == pytest.approx(0.75)
    tokens = [tok('{"b":'), tok(" true", 0.6, **{" false": 0.2, " null": 0.2}), tok("}")]
    assert field_score(tokens, FieldSpec(type="boolean"), "true") == pytest.approx(0.6)


def test_a_list_is_scored_as_a_whole() -> None:
    tokens = [
        tok('{"l": '),
        tok('["', 0.5, **{"[": 0.25, "null": 0.25}),
        tok("a"),
        tok('"]', 0.5, **{'",': 0.5}),
        tok("}"),
    ]
    assert field_score(tokens, FieldSpec(type="list"), '["a"]') == pytest.approx(0.25)


def recorded(content: str, steps: list[tuple[str, float, dict[str, float]]]) -> dict[str, object]:
    """Return a response in the shape of llama-cpp-python's server: bytes null, the chosen token put into the list."""
    listed = [
        {
            "token": text,
            "logprob": logprob,
            "bytes": None,
            "top_logprobs": [
                {"token": other, "logprob": chance, "bytes": None}
                for other, chance in {**others, text: logprob}.items()
            ],
        }
        for text, logprob, others in steps
    ]
    return {
        "model": "m",
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": content},
                "logprobs": {"content": listed, "refusal": None},
            }
        ],
    }


SENTIMENTS = Choice(("negative", "neutral", "positive"))


def test_a_response_recorded_from_the_loopback_server_is_scored_among_the_labels() -> None:
    body = recorded(
        '{ "answer": "negative"}',
        [
            ("{", -7.3005, {"The": -1.83, "Positive": -1.98}),
            (' "', -5.1241, {"positive": -1.70, "\n ": -2.65}),
            ("answer", -0.8816, {"text": -2.77}),
            ('":', -0.1435, {'"': -2.22, '":"': -4.25}),
            (' "', -0.2105, {' "<': -2.09, ' "{': -4.6, " ": -6.07}),
            ("negative", -2.6214, {"This": -1.94, "You": -2.68, "Negative": -2.98, "neutral": -6.2, "positive": -4.61}),
            ('"}', -0.3, {'"': -1.5}),
        ],
    )
    completion = completion_of(body)
    whole, fields = scores_of(completion, reading_of(completion, SENTIMENTS), SENTIMENTS)
    among = math.exp(-2.6214) / (math.exp(-2.6214) + math.exp(-6.2) + math.exp(-4.61))
    assert whole is not None
    assert whole.value == pytest.approx(among)
    assert fields == {}


def test_a_recorded_response_whose_label_was_forced_is_unknown() -> None:
    body = recorded(
        '{"answer":"positive"}',
        [('{"answer":"', -5.0, {}), ("positive", -4.9, {"I": -0.82, "love": -2.75, "It": -3.1}), ('"}', -0.1, {})],
    )
    completion = completion_of(body)
    assert scores_of(completion, reading_of(completion, SENTIMENTS), SENTIMENTS) == (None, {})


def test_a_record_is_as_sure_as_its_least_sure_field_and_unknown_with_one_unknown() -> None:
    form = Record((("a", FieldSpec(type="boolean")), ("b", FieldSpec(type="string"))))
    sure: tuple[str, float, dict[str, float]] = ('"b": "', 0.0, {})
    for opening, expected in ((-0.01, math.exp(-0.5)), (-9.0, None)):
        body = recorded(
            '{"a": true, "b": "x"}',
            [
                ('{"a":', 0.0, {}),
                (" true", opening, {" I": -0.02}),
                (", ", 0.0, {}),
                sure,
                ("x", -0.5, {}),
                ('"}', 0.0, {}),
            ],
        )
        completion = completion_of(body)
        whole, fields = scores_of(completion, reading_of(completion, form), form)
        assert fields["b"].value == pytest.approx(math.exp(-0.5))
        if expected is None:
            assert whole is None
            assert "a" not in fields
        else:
            assert whole == min(fields.values())


ALPHABET = "ab"
labels_of = st.lists(st.text(ALPHABET, min_size=1, max_size=4), min_size=2, max_size=6, unique=True)


def spelled(label: str, weights: dict[str, list[float]], top: int | None = None) -> list[Token]:
    """Return the tokens of an answer by a model that speaks in single characters with these next-character weights."""
    tokens, written = [tok('{"answer": "')], ""
    for char in (*label, '"'):
        drawn = dict(zip((*ALPHABET, '"', "Z"), weights[written], strict=True))
        total = sum(drawn.values())
        chances = sorted(((name, weight / total) for name, weight in drawn.items()), key=lambda one: -one[1])
        listed = tuple((name.encode(), chance) for name, chance in chances[:top])
        tokens.append(Token(char.encode(), drawn[char] / total, listed))
        written += char
    return [*tokens, tok("}")]


@st.composite
def speakers(draw: st.DrawFn) -> tuple[list[str], dict[str, list[float]]]:
    labels = draw(labels_of)
    prefixes = {label[:end] for label in labels for end in range(len(label) + 1)}
    weight = st.floats(0.01, 1.0)
    return labels, {prefix: draw(st.lists(weight, min_size=4, max_size=4)) for prefix in sorted(prefixes)}


@given(speakers())
def test_with_everything_listed_the_scores_of_all_labels_sum_to_one(
    speaker: tuple[list[str], dict[str, list[float]]],
) -> None:
    labels, weights = speaker
    scores = [
        label_score(spelled(label, weights), f'{{"answer": "{label}"}}', tuple(labels), label) for label in labels
    ]
    assert all(found is not None and 0.0 <= found <= 1.0 for found in scores)
    assert sum(found or 0.0 for found in scores) == pytest.approx(1.0)


@given(speakers(), st.integers(0, 3))
def test_a_shorter_list_never_makes_an_answer_surer(
    speaker: tuple[list[str], dict[str, list[float]]], top: int
) -> None:
    labels, weights = speaker
    content = f'{{"answer": "{labels[0]}"}}'
    whole = label_score(spelled(labels[0], weights), content, tuple(labels), labels[0])
    part = label_score(spelled(labels[0], weights, top), content, tuple(labels), labels[0])
    assert whole is not None
    assert part is None or part <= whole + 1e-9


@given(
    st.lists(st.tuples(st.text(max_size=4), st.floats(0, 1), st.dictionaries(st.text(max_size=3), st.floats(0, 1)))),
    st.sampled_from(['{"a": "x"}', '{"a": 12}', '{"a": null}', '{"a": ["x", "y"]}', "x"]),
)
def test_whatever_tokens_come_a_score_is_unknown_or_a_probability(
    drawn: list[tuple[str, float, dict[str, float]]], content: str
) -> None:
    noise = [Token(text.encode(), p, tuple((o.encode(), q) for o, q in others.items())) for text, p, others in drawn]
    pieces = [
        Token(char.encode(), 0.5, noise[n % len(noise)].others if noise else ()) for n, char in enumerate(content)
    ]
    for tokens in (noise, pieces, [*noise, *pieces]):
        found = aligned(tokens, content)
        if found is None:
            continue
        for spec in (FieldSpec(type="string"), FieldSpec(type="number"), FieldSpec(type="list")):
            known = score(found, (content.find(" ") + 1, len(content) - 1), field_space(spec, content[6:-1]))
            assert known is None or 0.0 <= known <= 1.0

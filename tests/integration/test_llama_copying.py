"""With a real vocabulary, any tokens that are allowed one after the other make a value that the text holds."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.llama.copying import Copyable, Frame
from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.sources import spans_of_text
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.fields import FieldSpec
from pipeline.domain.spans import place_of

pytestmark = pytest.mark.model
WORDS = st.sampled_from(["lamp", " ", "\n", '"', "\\", "🙂", "é", "漢字", "\U000f0000", "12.5", ", ", "]}", "\0", "a"])


@pytest.fixture(scope="module")
def vocab(model_path: Callable[[str], Path]) -> Iterator[Vocab]:
    lib = llama()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(model_path("smollm2-135m-instruct")).encode(), params)
    yield Vocab(model)
    lib.llama_model_free(model)


@given(st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=40), st.integers(0, 2**32), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_at_random_come_to_null_or_to_spans_of_the_text(
    vocab: Vocab,
    text: str,
    seed: int,
    listed: bool,  # noqa: FBT001 — hypothesis gives it
) -> None:
    source = spans_of_text(text, vocab.pieces.single_bytes)
    copyable = Copyable(source, Frame.of(listed=listed, quoted=True, end="}"), vocab.pieces)
    draw = np.random.default_rng(seed)
    place, written = copyable.begin, b""
    while len(allowed := copyable.allowed(place)):
        piece = vocab.piece(int(draw.choice(allowed)))
        place, written = copyable.after(place, piece), written + piece
    assert written.endswith(b"}")
    value = json.loads(written[:-1])
    FieldSpec(type="list" if listed else "string").parse(value)
    for one in value if isinstance(value, list) else [value]:
        assert one is None or place_of(one, text) is not None

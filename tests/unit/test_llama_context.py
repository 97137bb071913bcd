"""Hidden states halfway up are added up over each row, however its tokens are laid out in batches."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.adapters.llama import context as module
from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.hidden import HiddenStates

NO_SLOT = 1


class Library:
    """As much of llama.cpp as a context calls: a token's state is its number twice, and some batches find no room."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.hidden: Any = None

    def llama_context_default_params(self) -> Any:  # noqa: ANN401 — of any names
        return SimpleNamespace()

    def llama_init_from_model(self, _model: object, _params: object) -> int:
        return 1

    def llama_n_ctx(self, _context: int) -> int:
        return 4096

    def llama_get_memory(self, _context: int) -> int:
        return 1

    def llama_batch(self, **fields: Any) -> Any:  # noqa: ANN401 — a structure
        return SimpleNamespace(**fields)

    def llama_decode(self, _context: int, batch: Any) -> int:  # noqa: ANN401 — a structure
        if batch.n_tokens > self.most:
            return NO_SLOT
        tokens = [batch.token[number] for number in range(batch.n_tokens)]
        self.hidden._halfway_rows = np.array([[token, token] for token in tokens], dtype=np.float32)
        return 0

    def llama_get_logits_ith(self, _context: int, _place: int) -> Any:  # noqa: ANN401 — a pointer
        return np.ctypeslib.as_ctypes(np.zeros(4, dtype=np.float32))


@given(
    st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=40), min_size=1, max_size=8),
    st.sampled_from([4, 16, 512]),
    st.sampled_from([3, 16, 600]),
)
def test_every_row_gets_the_sum_of_its_own_tokens_however_they_are_split(
    texts: list[list[int]], batch_tokens: int, most: int
) -> None:
    library = Library(most=most)
    hidden = library.hidden = HiddenStates(2, layers=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "llama", lambda: cast("Any", library))
        context = Context(
            None, cells=4096, sequences=8, threads=1, vocab_size=4, batch_tokens=batch_tokens, hidden=hidden
        )
        seen: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]] | None] = {}
        rows = [Row(sequence=number, start=0, tokens=tokens) for number, tokens in enumerate(texts)]
        stuck = context.read(rows, lambda number, _: seen.__setitem__(number, context.halfway(number)))
    assert set(seen) == set(range(len(texts))) - set(stuck)
    for number, heard in seen.items():
        assert heard is not None
        summed, top = heard
        assert summed.tolist() == [sum(texts[number])] * 2
        assert top.tolist() == [texts[number][-1]] * 2, "the state of the last token stands by itself"
    if most >= batch_tokens:
        assert not stuck

"""How much memory a model takes before it is loaded. Pure arithmetic over what its file says.

Worked series, SmolLM2-135M in Q4_1 with 8,192 cells, 512 tokens a batch and 128 outputs: 30.2 MB of weights used in
the file and 100.0 MB laid out anew, 8,192 · 11,520 · 2 = 188.7 MB of keys and values, 32.1 MB for one layer's
activations and masks (more than the last layer's with 128 · 49,152 · 4 = 25.2 MB of logits), those logits once more
where they are copied out to, and 27.3 MB for the vocabulary: 403 MB. `tests/integration/test_llama_memory.py` measures.
"""

from dataclasses import dataclass
from typing import Final

from pipeline.adapters.models.architecture import Architecture

_CELL_STEP: Final = 256  # llama.cpp rounds cells up to this
_HALF: Final = 2
_FLOAT: Final = 4
_MASKS: Final = 2  # one for all layers, one for those with a sliding window
_VOCABULARY_BYTES: Final = 15_000_000
"""llama.cpp's and our own tables about tokens, and 250 bytes for each token: measured with 49,000 to 262,000."""
_TOKEN_BYTES: Final = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNeed:
    """What one process needs for one model, in bytes; the process itself not included."""

    mapped_bytes: int
    """Weights used where they lie in the file: processes that load the same file share them."""
    copied_bytes: int
    """Weights laid out anew for the processor, at most: each process has its own."""
    kv_bytes: int
    """Keys and values of all cells, two bytes each."""
    compute_bytes: int
    """Activations, logits and the vocabulary."""

    @property
    def weights_bytes(self) -> int:
        """All weights."""
        return self.mapped_bytes + self.copied_bytes

    @property
    def total_bytes(self) -> int:
        """All together."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes

    def __str__(self) -> str:
        """Say it in words for people: what and how much."""
        parts = (("weights", self.weights_bytes), ("context", self.kv_bytes), ("computing", self.compute_bytes))
        listed = ", ".join(f"{name} {size / 1e9:,.2f} GB" for name, size in parts)
        return f"{self.total_bytes / 1e9:,.2f} GB ({listed})"


def memory_need(measures: Architecture, *, cells: int, batch_tokens: int, outputs: int) -> MemoryNeed | None:
    """Estimate what a model takes with a context of `cells` tokens; None where its file does not say enough.

    `batch_tokens` are read at once, `outputs` of them give logits.
    """
    values, width, wide = measures.cell_values, measures.embedding, measures.feed_forward
    if values is None or width is None or wide is None or measures.vocabulary is None:
        return None
    cells = -(-cells // _CELL_STEP) * _CELL_STEP
    logits = outputs * measures.vocabulary * _FLOAT
    last = logits + 3 * batch_tokens * width * _FLOAT
    layer = _MASKS * batch_tokens * cells * _HALF + batch_tokens * (3 * wide + 5 * width) * _FLOAT
    # Buffers are used again from layer to layer; the logits are copied out to a buffer of their own.
    compute = max(last, layer) + logits + _VOCABULARY_BYTES + _TOKEN_BYTES * measures.vocabulary
    return MemoryNeed(
        mapped_bytes=measures.mapped_bytes,
        copied_bytes=measures.copied_bytes,
        kv_bytes=cells * values * _HALF,
        compute_bytes=compute,
    )


def encoder_need(measures: Architecture, *, batch_tokens: int) -> MemoryNeed | None:
    """Estimate what an encoder takes that reads `batch_tokens` at once; None where its file does not say enough.

    It keeps nothing of what it read; but llama.cpp gives each of its layers buffers of its own.
    """
    width, wide, layers = measures.embedding, measures.feed_forward, measures.layers
    if width is None or wide is None or layers is None or measures.vocabulary is None:
        return None
    activations = layers * batch_tokens * (2 * wide + 5 * width) * _FLOAT
    return MemoryNeed(
        mapped_bytes=measures.mapped_bytes,
        copied_bytes=measures.copied_bytes,
        kv_bytes=0,
        compute_bytes=activations + _VOCABULARY_BYTES + _TOKEN_BYTES * measures.vocabulary,
    )

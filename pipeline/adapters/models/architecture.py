"""What a model is built of, as its file says, and whether that can be true.

llama.cpp ends the whole process over some of these numbers (a count of layers beyond its tables, an unknown way of
scaling positions); others make it take memory without end. So they are looked at before it sees the file.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.adapters.models.ggml_types import COPIED, copied_bytes
from pipeline.adapters.models.gguf_layout import Array, Tensor, Value
from pipeline.adapters.models.vocabulary import vocabulary_size
from pipeline.domain.errors import ModelError

MAX_LAYERS: Final = 512  # llama.cpp's tables end here
MAX_EXPERTS: Final = 1024  # the same
MAX_WIDTH: Final = 1 << 20
MAX_CONTEXT: Final = 1 << 27
ENDINGS: Final = (
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.layer_norm_epsilon",
    ".attention.layer_norm_rms_epsilon",
    ".attention.value_length",
    ".block_count",
    ".context_length",
    ".embedding_length",
    ".expert_count",
    ".expert_used_count",
    ".feed_forward_length",
    ".nextn_predict_layers",
    ".rope.freq_base",
    ".rope.freq_base_swa",
    ".rope.scale_linear",
    ".rope.scaling.factor",
    ".rope.scaling.type",
)
"""Endings of the keys that are read here; before each stands the architecture's name."""
_PLAIN: Final = frozenset({
    "baichuan", "chatglm", "codeshell", "cohere2", "command-r", "deepseek", "exaone", "exaone4", "falcon", "gemma",
    "gemma2", "gemma3", "glm4", "gpt2", "gptneox", "granite", "granitemoe", "internlm2", "llama", "minicpm", "minicpm3",
    "mistral3", "mpt", "nemotron", "olmo", "olmo2", "olmoe", "orion", "phi2", "phi3", "phimoe", "qwen", "qwen2",
    "qwen2moe", "qwen3", "qwen3moe", "refact", "seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "xverse",
})  # fmt: skip
"""Architectures with attention in each layer. Others have layers without, in which they count no heads."""
_SCALINGS: Final = frozenset({"none", "linear", "yarn", "longrope"})
_BLOCK: Final = re.compile(r"blk\.(\d{1,9})\.")
_EMBEDDING: Final = "token_embd.weight"
_OUTPUT: Final = "output.weight"
_NORM: Final = re.compile(r"norm\.(?:weight|bias)$")
_F32: Final = 0

Refuse = Callable[[str], ModelError]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The measures that decide how much memory a model takes; None where the file does not say."""

    layers: int | None
    context_tokens: int | None
    """Longest context that it was trained on."""
    embedding: int | None
    feed_forward: int | None
    """Of the widest layer, counting all experts that one token uses."""
    heads: int | None
    """Of the layer with the most."""
    cell_values: int | None
    """Keys and values kept of one token, over all layers."""
    vocabulary: int | None
    mapped_bytes: int
    """Weights that are used where they lie in the file."""
    copied_bytes: int
    """Weights that llama.cpp lays out anew for the processor, in memory of its own, at most."""


def architecture_of(name: str, values: Mapping[str, Value], tensors: Iterable[Tensor], refuse: Refuse) -> Architecture:
    """Gather a model's measures; raises what `refuse` makes where they cannot be true."""
    read = _Measures(name, values, refuse)
    layers = read.one("block_count", least=1, most=MAX_LAYERS)
    embedding = read.one("embedding_length", least=1, most=MAX_WIDTH)
    context_tokens = read.one("context_length", least=1, most=MAX_CONTEXT)
    heads = read.per_layer("attention.head_count", layers)
    groups = read.per_layer("attention.head_count_kv", layers) or heads
    if name in _PLAIN and 0 in (*(heads or ()), *(groups or ())):
        raise refuse("it has layers without attention, which its architecture has not")
    head = embedding // max(heads) if embedding and heads and max(heads) else None
    key = read.one("attention.key_length", least=1, most=MAX_WIDTH) or head
    value = read.one("attention.value_length", least=1, most=MAX_WIDTH) or head
    experts = read.one("expert_count", least=0, most=MAX_EXPERTS) or 0
    used = max(read.per_layer("expert_used_count", layers) or (0,))
    if used > experts or (experts and not used):
        raise refuse(f"it uses {used} of {experts} experts")
    if (read.one("nextn_predict_layers", least=0, most=MAX_LAYERS) or 0) > (layers or 0):
        raise refuse("it predicts with more layers than it has")
    if read.text("rope.scaling.type") not in {None, *_SCALINGS}:
        raise refuse("its way of scaling positions is unknown")
    for measure in ("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"):
        read.real(measure, lambda number: number >= 0)
    for measure in ("rope.freq_base", "rope.freq_base_swa"):
        read.real(measure, lambda number: number > 0)
    for measure in ("rope.scale_linear", "rope.scaling.factor"):
        read.real(measure, lambda number: number >= 0)  # 0 is llama.cpp's word for no scaling
    wide = read.per_layer("feed_forward_length", layers)
    mapped, copied, vocabulary = _weights(tensors, layers, embedding, refuse)
    return Architecture(
        layers=layers,
        context_tokens=context_tokens,
        embedding=embedding,
        feed_forward=max(wide) * max(1, used) if wide else None,
        heads=max(heads) if heads else None,
        cell_values=sum(groups) * (key + value) if groups and key and value else None,
        vocabulary=vocabulary_size(values, refuse) or vocabulary,
        mapped_bytes=mapped,
        copied_bytes=copied,
    )


class _Measures:
    """Reads one architecture's numbers and refuses those that are beyond belief."""

    def __init__(self, name: str, values: Mapping[str, Value], refuse: Refuse) -> None:
        self._name = name
        self._values = values
        self._refuse = refuse

    def one(self, key: str, *, least: int, most: int) -> int | None:
        value = self._values.get(f"{self._name}.{key}")
        if value is None or isinstance(value, Array):
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._refuse(f"its {key} is {value!r:.40}, which is not from {least} to {most}")
        return value

    def real(self, key: str, believable: Callable[[float], bool]) -> None:
        value = self._values.get(f"{self._name}.{key}")
        if isinstance(value, float) and not (math.isfinite(value) and believable(value)):
            raise self._refuse(f"its {key} is {value!r}, which nothing can be computed with")

    def text(self, key: str) -> str | None:
        value = self._values.get(f"{self._name}.{key}")
        return value if isinstance(value, str) else None

    def per_layer(self, key: str, layers: int | None) -> tuple[int, ...] | None:
        """One number for each layer, from either way of writing them."""
        value = self._values.get(f"{self._name}.{key}")
        if not isinstance(value, Array):
            number = self.one(key, least=0, most=MAX_WIDTH)
            return None if number is None or layers is None else (number,) * layers
        numbers = value.numbers
        if numbers is None or len(numbers) != layers or not all(0 <= number <= MAX_WIDTH for number in numbers):
            raise self._refuse(f"its {key} is no list of believable numbers, one for each layer")
        return numbers


def _weights(
    tensors: Iterable[Tensor], layers: int | None, embedding: int | None, refuse: Refuse
) -> tuple[int, int, int | None]:
    """Return the bytes of weights used in place and of those that are copied, and the vocabulary's size."""
    mapped = copied = 0
    tied: Tensor | None = None
    vocabulary = None
    has_output = False
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        if block and layers is not None and int(block[1]) >= layers:
            raise refuse(f"it has a tensor of layer {int(block[1])} and says that it has {layers} layers")
        if tensor.name == _EMBEDDING:
            if len(tensor.shape) != 2 or embedding not in {None, tensor.shape[0]}:  # noqa: PLR2004 — a matrix
                raise refuse(f"its embeddings are no matrix of width {embedding}")
            tied, vocabulary = tensor, tensor.shape[1]
        if _NORM.search(tensor.name) and tensor.kind != _F32:
            raise refuse("its norms are not in F32, which llama.cpp cannot compute with")
        has_output = has_output or tensor.name == _OUTPUT
        if tensor.kind in COPIED and len(tensor.shape) > 1 and tensor.name != _EMBEDDING:
            copied += copied_bytes(tensor.kind, tensor.size_bytes)
        else:
            mapped += tensor.size_bytes
    # Without an output matrix the embeddings serve as one: looked up in the file, multiplied with in a copy.
    if tied is not None and not has_output and tied.kind in COPIED:
        copied += copied_bytes(tied.kind, tied.size_bytes)
    return mapped, copied, vocabulary

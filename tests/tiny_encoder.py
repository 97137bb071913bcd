"""A sentence encoder of a few kilobytes, as its makers would publish it, and what its vectors must be."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline.adapters.models.encoders import write_encoder
from tests.learning_cases import TOPICS

WIDTH: Final = 32
HEADS: Final = 4
LAYERS: Final = 2
POSITIONS: Final = 64
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]")
_SAID = sorted({word.lower() for texts in TOPICS.values() for text in texts for word in text.split()})
WORDS: Final = (*_MARKS, *_SAID, "hello", "help", "##ing", ".", ",", "!", "?", ":", "[", "]", "cls", "sep")
"""The vocabulary; a word that is not there is one token, [UNK]."""

Vectors = NDArray[np.float32]


def weights() -> dict[str, Vectors]:
    """Return made-up weights, named as BERT's are."""
    chance = np.random.default_rng(5)

    def some(*shape: int, scale: float = 0.3) -> Vectors:
        return (chance.normal(size=shape) * scale).astype(np.float32)

    def norm(name: str) -> dict[str, Vectors]:
        return {f"{name}.weight": 1 + some(WIDTH, scale=0.1), f"{name}.bias": some(WIDTH, scale=0.1)}

    found = {
        "embeddings.word_embeddings.weight": some(len(WORDS), WIDTH, scale=1.0),
        "embeddings.position_embeddings.weight": some(POSITIONS, WIDTH, scale=0.1),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH, scale=0.1),
        **norm("embeddings.LayerNorm"),
        "pooler.dense.weight": some(WIDTH, WIDTH),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for part, out, into in (
            *((f"attention.self.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", 4 * WIDTH, WIDTH),
            ("output.dense", WIDTH, 4 * WIDTH),
        ):
            found |= {f"{at}.{part}.weight": some(out, into), f"{at}.{part}.bias": some(out, scale=0.1)}
        found |= norm(f"{at}.attention.output.LayerNorm") | norm(f"{at}.output.LayerNorm")
    return found


def published(folder: Path) -> tuple[Path, Path]:
    """Write what makers publish, weights and vocabulary, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "model.safetensors", folder / "vocab.txt"
    save_file(weights(), paths[0])
    paths[1].write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")
    return paths


def tiny_encoder(folder: Path, name: str = "tiny-encoder") -> Path:
    """Write the encoder as a GGUF and return where."""
    target = folder / f"{name}.gguf"
    write_encoder(*published(folder / f"{name}-published"), target, name=name, heads=HEADS)
    return target


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def vector_of(tokens: Sequence[int]) -> Vectors:
    """Return the vector of a text by BERT's definition (Devlin et al., 2019), the mean over its tokens, of length 1."""
    known = {
        name: one.astype(np.float16).astype(np.float64)
        if one.ndim > 1 and "position" not in name and "token_type" not in name
        else one.astype(np.float64)
        for name, one in weights().items()
    }

    def dense(rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return rows @ known[f"{name}.weight"].T + known[f"{name}.bias"]

    def norm(rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows = rows / np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + 1e-12)
        return rows * known[f"{name}.weight"] + known[f"{name}.bias"]

    rows = known["embeddings.word_embeddings.weight"][list(tokens)]
    rows = rows + known["embeddings.position_embeddings.weight"][: len(tokens)]
    rows = norm(rows + known["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        query, key, value = (
            dense(rows, f"{at}.attention.self.{part}").reshape(len(tokens), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS)
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        heard = (shares @ value).transpose(1, 0, 2).reshape(len(tokens), WIDTH)
        rows = norm(rows + dense(heard, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        inner = dense(rows, f"{at}.intermediate.dense")
        # GELU with the hyperbolic tangent, as ggml computes it
        inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        rows = norm(rows + dense(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    mean = rows.mean(axis=0)
    found: Vectors = (mean / np.linalg.norm(mean)).astype(np.float32)
    return found

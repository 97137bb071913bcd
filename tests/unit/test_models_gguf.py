"""The GGUF reader tells what a file says, and refuses every file that lies with a ModelError and nothing else."""

import math
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.models import read_header
from pipeline.domain.errors import ModelError

Value = int | float | str | list[str] | list[int] | list[float]
KEYS: dict[str, Value] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 15,
    "llama.context_length": 2048,
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.tokens": ["a", "b", "longer"],
    "tokenizer.ggml.scores": [1.0, 2.0, 3.0],
}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def encoded(value: Value) -> bytes:
    match value:
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(item)) for item in value)
        case [float(), *_]:
            return struct.pack("<IIQ", 9, 6, len(value)) + b"".join(struct.pack("<f", item) for item in value)
        case _:
            return struct.pack("<IIQ", 9, 4, len(value)) + b"".join(struct.pack("<I", item) for item in value)


def tensor(name: str = "w", shape: tuple[int, ...] = (32, 2), kind: int = 2, offset: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def gguf(keys: dict[str, Value] = KEYS, tensors: tuple[bytes, ...] = (tensor(),), data: bytes = b"\1" * 36) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(text(key) + encoded(value) for key, value in keys.items()) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "m.gguf"
        path.write_bytes(content)
        return path

    return write


def test_a_header_is_read_in_full(written: Callable[[bytes], Path]) -> None:
    content = gguf()
    header = read_header(written(content))
    assert (header.version, header.architecture, header.name) == (3, "llama", "Tiny")
    assert (header.context_tokens, header.has_chat_template, header.file_type) == (2048, True, "Q4_K_M")
    # 64 weights of Q4_0 are two blocks of 18 bytes.
    assert (header.tensor_count, header.tensor_bytes, header.file_bytes) == (1, 36, len(content))
    assert header.split_count == 1


def test_what_a_file_does_not_say_is_none(written: Callable[[bytes], Path]) -> None:
    header = read_header(written(gguf({"general.architecture": "mamba"})))
    assert (header.name, header.context_tokens, header.file_type) == (None, None, None)
    assert not header.has_chat_template


MODEL: dict[str, Value] = {
    **KEYS,
    "llama.block_count": 2,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 96,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}


def test_the_measures_that_decide_the_memory_are_read_from_numbers_for_all_layers_or_for_each(
    written: Callable[[bytes], Path],
) -> None:
    measures = read_header(written(gguf(MODEL))).measures
    # Two layers, two groups, a key and a value of 32 / 4 numbers each.
    assert (measures.layers, measures.embedding, measures.heads, measures.cell_values) == (2, 32, 4, 2 * 2 * 16)
    assert (measures.feed_forward, measures.vocabulary) == (96, 3)
    per_layer: dict[str, Value] = {
        **{key.replace("llama.", "lfm2."): value for key, value in MODEL.items()},
        "general.architecture": "lfm2",  # of which layers may have no attention
        "lfm2.attention.head_count_kv": [0, 1],
        "lfm2.attention.key_length": 5,
        "lfm2.feed_forward_length": [7, 9],
    }
    measures = read_header(written(gguf(per_layer))).measures
    assert (measures.cell_values, measures.feed_forward) == (5 + 8, 9)


def test_matrices_that_the_processor_wants_laid_out_anew_are_told_from_those_used_in_the_file(
    written: Callable[[bytes], Path],
) -> None:
    embeddings = tensor("token_embd.weight", (32, 3), kind=2)  # Q4_0: 3 rows of 18 bytes
    tied = read_header(written(gguf(MODEL, (embeddings, tensor("blk.0.ffn_up.weight", (32, 4), kind=8)), b"\1" * 136)))
    # Q8_0 grows by 4 bytes for 34; without an output matrix the embeddings are multiplied with, in a copy.
    assert (tied.measures.mapped_bytes, tied.measures.copied_bytes) == (54, 4 * 38 + 54)
    output = tensor("output.weight", (32, 3), kind=1)
    own = read_header(written(gguf(MODEL, (embeddings, output), b"\1" * 192)))
    assert (own.measures.mapped_bytes, own.measures.copied_bytes) == (54 + 192, 0)


def test_a_newer_tensor_type_is_no_reason_to_refuse(written: Callable[[bytes], Path]) -> None:
    assert read_header(written(gguf(tensors=(tensor(kind=999, offset=32),)))).tensor_bytes == 32


@pytest.mark.parametrize("missing", [1, 36, 50])
def test_a_truncated_file_is_found_out(written: Callable[[bytes], Path], missing: int) -> None:
    with pytest.raises(ModelError, match="truncated"):
        read_header(written(gguf()[:-missing]))


HUGE = 2**63
LIES = {
    "empty": b"",
    "other magic": b"PK\3\4" + gguf()[4:],
    "a web page": b"<!doctype html><title>Log in</title>",
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "tensors without end": b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0),
    "keys without end": b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE),
    "a key's name without end": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE),
    "a string without end": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IQ", 8, HUGE),
    "an array without end": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, HUGE),
    "arrays in arrays": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 9)
    + struct.pack("<IQ", 9, 1) * 5000,
    "an unknown value type": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 77),
    "no architecture": gguf({"general.name": "x"}),
    "an architecture that is a number": gguf({"general.architecture": 7}),
    "an odd alignment": gguf({**KEYS, "general.alignment": 33}),
    "an alignment of nothing": gguf({**KEYS, "general.alignment": 0}),
    "too many dimensions": gguf(tensors=(tensor(shape=(32,) * 9),)),
    "a shape beyond all disks": gguf(tensors=(tensor(shape=(HUGE, HUGE, HUGE, HUGE)),)),
    "a tensor behind the end": gguf(tensors=(tensor(offset=HUGE),)),
    "a row that is no whole block": gguf(tensors=(tensor(shape=(33,)),)),
    "a dimension of zero": gguf(tensors=(tensor(shape=(32, 0)),)),
    "no layers": gguf({**MODEL, "llama.block_count": 0}),
    "more layers than llama.cpp has tables for": gguf({**MODEL, "llama.block_count": 513}),
    "fewer layers than its tensors have": gguf(MODEL, (tensor("blk.2.w"),)),
    "a list for other layers": gguf({**MODEL, "llama.attention.head_count": [4, 4, 4]}),
    "no width": gguf({**MODEL, "llama.embedding_length": 0}),
    "a width beyond belief": gguf({**MODEL, "llama.embedding_length": 2**31}),
    "embeddings of another width": gguf(MODEL, (tensor("token_embd.weight", (64, 1)),)),
    "embeddings that are no matrix": gguf(MODEL, (tensor("token_embd.weight", ()),)),
    "heads beyond belief": gguf({**MODEL, "llama.attention.head_count": 2**31}),
    "groups beyond belief": gguf({**MODEL, "llama.attention.head_count_kv": 2**31}),
    "a key of no length": gguf({**MODEL, "llama.attention.key_length": 0}),
    "a context that would be negative": gguf({**MODEL, "llama.context_length": 2**32 - 1}),
    "no context": gguf({**MODEL, "llama.context_length": 0}),
    "a width in words": gguf({**MODEL, "llama.embedding_length": "wide"}),
    "experts that it lacks": gguf({**MODEL, "llama.expert_count": 2, "llama.expert_used_count": 3}),
    "experts that it does not use": gguf({**MODEL, "llama.expert_count": 2}),
    "predicting with layers that it lacks": gguf({**MODEL, "llama.nextn_predict_layers": 3}),
    "positions scaled in an unknown way": gguf({**MODEL, "llama.rope.scaling.type": "magic"}),
    "a vocabulary of numbers": gguf({**MODEL, "tokenizer.ggml.tokens": [1, 2, 3]}),
    "scores for other tokens": gguf({**MODEL, "tokenizer.ggml.scores": [1.0]}),
    "scores of no sign": gguf({**MODEL, "tokenizer.ggml.scores": [1, 2, 3]}),
    "a layer without attention among layers that all have it": gguf({**MODEL, "llama.attention.head_count_kv": [2, 0]}),
    "a negative epsilon": gguf({**MODEL, "llama.attention.layer_norm_rms_epsilon": -1.0}),
    "an epsilon that is no number": gguf({**MODEL, "llama.attention.layer_norm_epsilon": math.nan}),
    "positions that do not turn": gguf({**MODEL, "llama.rope.freq_base": 0.0}),
    "positions that turn by no number": gguf({**MODEL, "llama.rope.freq_base": math.nan}),
    "positions scaled backwards": gguf({**MODEL, "llama.rope.scaling.factor": -4.0}),
    "positions scaled without end": gguf({**MODEL, "llama.rope.scale_linear": math.inf}),
    "a token that stands there twice": gguf({**MODEL, "tokenizer.ggml.tokens": ["a", "b", "a"]}),
    "tokens that differ behind a zero byte only": gguf({**MODEL, "tokenizer.ggml.tokens": ["a\0b", "b", "a"]}),
    "a tokenizer that spells, without bytes": gguf({**MODEL, "tokenizer.ggml.model": "llama"}),
    "no vocabulary": gguf({**MODEL, "tokenizer.ggml.model": "none"}),
    "no vocabulary in other words": gguf({**MODEL, "tokenizer.ggml.model": "no_vocab"}),
    "norms in whole numbers": gguf(MODEL, (tensor("blk.0.attn_norm.weight", (8,), kind=26),)),
    "norms in half the precision": gguf(MODEL, (tensor("output_norm.weight", (8,), kind=1),)),
}  # fmt: skip


SPELT = [chr(byte) if byte in range(0x20, 0x7F) else f"<0x{byte:02X}>" for byte in range(256)]


def test_a_vocabulary_that_can_spell_every_letter_is_taken(written: Callable[[bytes], Path]) -> None:
    keys: dict[str, Value] = {**MODEL, "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["", *SPELT, "\0"]}
    keys["tokenizer.ggml.scores"] = [0.0] * 258
    keys["llama.attention.layer_norm_rms_epsilon"] = 0.0
    keys["llama.rope.freq_base"] = 10_000.0
    assert read_header(written(gguf(keys))).measures.vocabulary == 258


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(written: Callable[[bytes], Path], lie: str) -> None:
    with pytest.raises(ModelError, match=r"m\.gguf is not a usable GGUF file"):
        read_header(written(LIES[lie]))


BERT: dict[str, Value] = {
    "general.architecture": "bert",
    "bert.block_count": 1,
    "bert.context_length": 16,
    "bert.embedding_length": 32,
    "bert.feed_forward_length": 64,
    "bert.attention.head_count": 4,
    "bert.pooling_type": 1,
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"],
    "tokenizer.ggml.token_type": [3, 3, 3, 3, 1],
    "tokenizer.ggml.padding_token_id": 0,
    "tokenizer.ggml.unknown_token_id": 1,
    "tokenizer.ggml.bos_token_id": 2,
    "tokenizer.ggml.seperator_token_id": 3,
}
BERT_LIES: dict[str, bytes] = {
    "no way to make one vector": gguf({key: value for key, value in BERT.items() if key != "bert.pooling_type"}),
    "an unknown way to make one vector": gguf({**BERT, "bert.pooling_type": 5}),
    "no vectors of whole texts": gguf({**BERT, "bert.pooling_type": 0}),
    "keys of another length": gguf({**BERT, "bert.attention.key_length": 64}),
    "values of another length": gguf({**BERT, "bert.attention.value_length": 1}),
    "heads that do not divide its width": gguf({**BERT, "bert.attention.head_count": 5}),
    "no heads": gguf({key: value for key, value in BERT.items() if key != "bert.attention.head_count"}),
    "vectors longer than its width": gguf({**BERT, "bert.embedding_length_out": 64}),
    "vectors shorter than its width": gguf({**BERT, "bert.embedding_length_out": 16}),
    "a first token beyond its vocabulary": gguf({**BERT, "tokenizer.ggml.bos_token_id": 5}),
    "a first token that it does not name": gguf(
        {key: value for key, value in BERT.items() if key != "tokenizer.ggml.bos_token_id"}
    ),
    "no token for what is unknown": gguf(
        {key: value for key, value in BERT.items() if key != "tokenizer.ggml.unknown_token_id"}
    ),
    "a mask beyond its vocabulary": gguf({**BERT, "tokenizer.ggml.mask_token_id": 103}),
    "another tokenizer": gguf({**BERT, "tokenizer.ggml.model": "t5"}),
    "no vocabulary at all": gguf({key: value for key, value in BERT.items() if key != "tokenizer.ggml.tokens"}),
    "tokens that are bytes": gguf({**BERT, "tokenizer.ggml.token_type": [3, 3, 3, 3, 6]}),
    "types of text in half the precision": gguf(BERT, (tensor("token_types.weight", (32, 2), kind=1),), b"\1" * 128),
    "a bias in half the precision": gguf(BERT, (tensor("blk.0.attn_q.bias", (32,), kind=1),), b"\1" * 64),
}


def test_an_encoder_is_told_from_models_that_write(written: Callable[[bytes], Path]) -> None:
    assert read_header(written(gguf(BERT))).is_encoder
    assert not read_header(written(gguf())).is_encoder
    many = {**BERT, "tokenizer.ggml.tokens": [str(number) for number in range(2000)]}
    assert read_header(written(gguf({**many, "tokenizer.ggml.token_type": [1] * 2000}))).is_encoder
    with pytest.raises(ModelError, match="kinds that word pieces do not have"):
        read_header(written(gguf({**many, "tokenizer.ggml.token_type": [*[1] * 1999, 6]})))


@pytest.mark.parametrize("lie", BERT_LIES)
def test_an_encoder_that_lies_is_refused(written: Callable[[bytes], Path], lie: str) -> None:
    with pytest.raises(ModelError, match=r"m\.gguf is not a usable GGUF file"):
        read_header(written(BERT_LIES[lie]))


def test_a_missing_file_and_a_folder_are_refused_by_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            read_header(path)


def outcome(path: Path, content: bytes) -> None:
    """Read, and accept a header or a ModelError; any other exception fails the test."""
    path.write_bytes(content)
    try:
        header = read_header(path)
    except ModelError:
        return
    assert header.file_bytes == len(content)
    assert 0 <= header.tensor_bytes <= len(content)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=400), honest=st.sampled_from([b"", b"GGUF", gguf()[:24], gguf()[:8]]))
def test_random_bytes_give_a_header_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, honest: bytes, content: bytes
) -> None:
    outcome(tmp_path_factory.getbasetemp() / "random.gguf", honest + content)


@settings(max_examples=500, deadline=None)
@given(place=st.integers(0, len(gguf()) - 1), patch=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_gives_a_header_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, patch: bytes
) -> None:
    content = bytearray(gguf())
    content[place : place + len(patch)] = patch
    outcome(tmp_path_factory.getbasetemp() / "damaged.gguf", bytes(content))

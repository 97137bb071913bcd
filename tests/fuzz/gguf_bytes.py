"""Small GGUF files, good ones, for mutations to begin with."""

import struct


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


def _whole(name: str, value: int) -> bytes:
    return _key(name, 4, struct.pack("<I", value))


def _words(name: str, words: list[str]) -> bytes:
    return _key(name, 9, struct.pack("<IQ", 8, len(words)) + b"".join(map(_text, words)))


def _gguf(keys: list[bytes], tensors: list[bytes], data: bytes) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def _tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, offset)


_KEYS = [
    _key("general.architecture", 8, _text("llama")),
    _key("general.name", 8, _text("Tiny")),
    _whole("general.alignment", 32),
    _whole("llama.context_length", 2048),
    _whole("llama.block_count", 2),
    _whole("llama.embedding_length", 32),
    _whole("llama.feed_forward_length", 96),
    _whole("llama.attention.head_count", 4),
    _key("llama.attention.head_count_kv", 9, struct.pack("<IQII", 4, 2, 2, 1)),
    _key("tokenizer.chat_template", 8, _text("{{ messages }}")),
    _words("tokenizer.ggml.tokens", ["a", "b", "longer"]),
    _key("nested", 9, struct.pack("<IQIQB", 9, 1, 0, 1, 7)),
]
GGUF = (
    _gguf(_KEYS, [_tensor("token_embd.weight", (32, 3), 2, 0), _tensor("w", (32,), 0, 64)], b"\1" * 192),
    _gguf(_KEYS[:1], [], b""),
)

"""Whether llama.cpp was built for a GPU, and how much memory its GPUs have left."""

import ctypes
from typing import Any

from pipeline.adapters.llama.library import llama

_GPU_KINDS = frozenset({1, 2})  # ggml_backend_dev_type: a card of its own, a part of the processor


def has_gpu_support() -> bool:
    """Return whether this build can put layers on a GPU."""
    return bool(llama().llama_supports_gpu_offload())


def free_gpu_bytes() -> int | None:
    """Return what all GPUs together have free; None where there is none, or llama.cpp does not tell."""
    return _free_bytes(llama()._lib) if has_gpu_support() else None  # noqa: SLF001 — the binding has no such call


def _free_bytes(lib: Any) -> int | None:  # noqa: ANN401 — a shared library
    try:
        count, get, kind, memory = (
            getattr(lib, f"ggml_backend_dev_{name}") for name in ("count", "get", "type", "memory")
        )
    except AttributeError:  # a release that hides them
        return None
    count.restype, get.restype, memory.restype = ctypes.c_size_t, ctypes.c_void_p, None
    found = []
    for number in range(count()):
        device = ctypes.c_void_p(get(ctypes.c_size_t(number)))
        if kind(device) in _GPU_KINDS:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            memory(device, ctypes.byref(free), ctypes.byref(total))
            found.append(free.value)
    return sum(found) if found else None

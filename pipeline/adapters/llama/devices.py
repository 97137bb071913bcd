"""Whether llama.cpp was built for a GPU, and how much memory its GPUs have left."""

import ctypes
from typing import Any

from pipeline.adapters.llama.library import llama

_GPU_KINDS = frozenset({1, 2})  # ggml_backend_dev_type: a card of its own, a part of the processor
_NO_DEVICES = (ctypes.c_void_p * 1)()
"""A list that ends where it begins; llama.cpp keeps a pointer to it."""


def has_gpu_support() -> bool:
    """Return whether this build can put layers on a GPU."""
    return bool(llama().llama_supports_gpu_offload())


def model_params(lib: Any, gpu_layers: int) -> Any:  # noqa: ANN401 — the binding's module, its structure
    """Return how to load a model with so many layers on the GPU; negative is all, and 0 leaves the GPU alone."""
    params = lib.llama_model_default_params()
    params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 1 << 20
    if not gpu_layers:
        # Without this llama.cpp computes large batches on a GPU that it sees all the same, and takes its memory.
        params.devices = ctypes.cast(_NO_DEVICES, ctypes.c_void_p)
    return params


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

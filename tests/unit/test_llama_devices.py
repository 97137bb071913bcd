"""What llama.cpp tells of its GPUs is summed; what it does not tell is unknown."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.adapters.llama.devices import _free_bytes, model_params
from pipeline.adapters.llama.library import llama


class Function:
    """A foreign function: may be told what it returns, and is called with ctypes' values."""

    def __init__(self, body: Any) -> None:  # noqa: ANN401 — any function
        self.body = body
        self.restype: object = ctypes.c_int

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 — as above
        return self.body(*arguments)


def library(*devices: tuple[int, int]) -> SimpleNamespace:
    """Return a library with devices of (kind, free bytes)."""

    def memory(device: ctypes.c_void_p, free: Any, total: Any) -> None:  # noqa: ANN401 — ctypes' references
        free._obj.value = devices[(device.value or 0) - 1][1]
        total._obj.value = 1 << 40

    return SimpleNamespace(
        ggml_backend_dev_count=Function(lambda: len(devices)),
        ggml_backend_dev_get=Function(lambda number: number.value + 1),
        ggml_backend_dev_type=Function(lambda device: devices[device.value - 1][0]),
        ggml_backend_dev_memory=Function(memory),
    )


def test_the_free_memory_of_all_gpus_is_summed_and_the_processors_left_out() -> None:
    assert _free_bytes(library((0, 5), (1, 70), (2, 7))) == 77


def test_no_gpu_and_a_library_that_hides_its_devices_are_unknown() -> None:
    assert _free_bytes(library((0, 5))) is None
    assert _free_bytes(SimpleNamespace()) is None


@pytest.mark.parametrize(("asked", "layers"), [(0, 0), (3, 3), (-1, 1 << 20)])
def test_only_a_model_with_no_layer_on_a_gpu_is_kept_from_all_gpus(asked: int, layers: int) -> None:
    params = model_params(llama(), asked)
    assert params.n_gpu_layers == layers
    if asked:
        assert params.devices is None, "llama.cpp chooses"
    else:
        assert ctypes.c_void_p.from_address(params.devices).value is None, "a list without a device"

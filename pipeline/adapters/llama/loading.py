"""Loading a model file with llama.cpp."""

from pathlib import Path
from typing import Any

from pipeline.adapters.llama.devices import has_gpu_support, model_params
from pipeline.adapters.llama.library import forget_errors, last_error, llama
from pipeline.domain.errors import ModelError

_MAGIC = b"GGUF"


def load_model(path: Path, gpu_layers: int | None) -> Any:  # noqa: ANN401 — an opaque pointer
    """Return the loaded model, which whoever asked for it frees.

    `gpu_layers`: -1 is all, None all where this build knows a GPU. Raises ModelError for a file that is missing, or
    damaged, or of a kind that this llama.cpp does not know.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelError(f"cannot read model file {path}: {error.strerror}; pull it or correct the path") from None
    if magic != _MAGIC:
        raise ModelError(f"{path} is no GGUF file: pull the model again, or name a GGUF")
    lib = llama()
    if gpu_layers is None:
        gpu_layers = -1 if has_gpu_support() else 0
    forget_errors()
    model = lib.llama_model_load_from_file(str(path).encode(), model_params(lib, gpu_layers))
    if not model:
        raise ModelError(f"llama.cpp cannot load {path}: {last_error() or 'damaged or unknown'}; pull it again")
    return model

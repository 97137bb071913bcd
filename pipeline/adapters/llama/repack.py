"""Writing a model again in another number format: the same weights, laid out for another kernel."""

from pathlib import Path
from typing import Final

from pipeline.adapters.llama.library import forget_errors, last_error, llama
from pipeline.domain.errors import ModelError

FORMATS: Final = {"q4_0": 2, "q4_1": 3, "iq4_nl": 25, "q8_0": 7, "f16": 1, "bf16": 32}
"""Name → llama.cpp's file type. Which one a processor reads fastest has to be measured."""


def repack(source: Path, target: Path, *, to: str, threads: int) -> None:
    """Write `source` in the format `to`, whole or not at all; raises ModelError.

    From 4 bits to 16 nothing is lost but rounding; from one 4-bit format to another a little is: hold the answers of
    both against each other before the result is used.
    """
    lib = llama()
    params = lib.llama_model_quantize_default_params()
    params.ftype = FORMATS[to]
    params.nthread = threads
    params.allow_requantize = True
    partial = target.with_name(f"{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    forget_errors()
    try:
        code = lib.llama_model_quantize(str(source).encode(), str(partial).encode(), params)
        if code:
            raise ModelError(f"llama.cpp cannot write {source.name} as {to}: {last_error() or f'code {code}'}")
        partial.replace(target)
    except OSError as error:
        raise ModelError(f"{target.parent} cannot be written to: {error.strerror}; free some space") from None
    finally:
        partial.unlink(missing_ok=True)

"""The door to llama.cpp: loads the shared library on first use and keeps it quiet."""

import ctypes
import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog

_LEVELS = {3: "warning", 4: "error"}
_log = structlog.get_logger()


class _Listener:
    """Receives llama.cpp's log. Texts are kept for the message of a failed load only: elsewhere they might quote."""

    def __init__(self) -> None:
        self.last_error = ""
        self.callback: Any = None  # must stay referenced: llama.cpp calls into it until the process ends

    def hear(self, level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
        if level not in _LEVELS:
            return
        if _LEVELS[level] == "error":
            self.last_error = text.decode("utf-8", "replace").strip()
        _log.debug("llama_log", level_said=_LEVELS[level], chars=len(text))


_listener = _Listener()


@functools.cache
def llama() -> ModuleType:
    """Return llama-cpp-python's low-level module, started once per process."""
    # Imported here because it maps a large shared library and takes a second: only a worker that answers needs it.
    import llama_cpp.llama_cpp as module  # noqa: PLC0415

    _listener.callback = module.llama_log_callback(_listener.hear)
    module.llama_log_set(_listener.callback, None)
    module.llama_backend_init()
    return module


@functools.cache
def ggml() -> ctypes.CDLL:
    """Return the library of tensors and number formats that llama.cpp stands on."""
    folder = Path(str(llama().__file__)).parent / "lib"
    return ctypes.CDLL(str(next(iter(sorted(folder.glob("libggml-base.*"))))))


def forget_errors() -> None:
    """Begin anew with what `last_error` returns."""
    _listener.last_error = ""


def last_error() -> str:
    """Return llama.cpp's last error text since `forget_errors`; only to be shown while no customer text is around."""
    return _listener.last_error

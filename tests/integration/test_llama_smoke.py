"""The check of llama.cpp's build: right arithmetic passes, wrong arithmetic does not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.adapters.llama import smoke
from pipeline.domain.errors import ModelError


def test_the_build_that_these_tests_run_on_computes_rightly() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline.adapters.llama.smoke"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_fast_kernels_that_compute_something_else_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = np.ones(8, dtype=np.float32)

    def logits(_path: Path, *, fast: bool) -> NDArray[np.float32]:
        return plain * 1.2 if fast else plain

    monkeypatch.setattr(smoke, "_logits", logits)
    with pytest.raises(ModelError, match="computes wrongly"):
        smoke.check()


def test_logits_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def logits(_path: Path, *, fast: bool) -> NDArray[np.float32]:
        return np.full(8, np.nan if fast else 1.0, dtype=np.float32)

    monkeypatch.setattr(smoke, "_logits", logits)
    with pytest.raises(ModelError, match="computes wrongly"):
        smoke.check()

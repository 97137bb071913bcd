"""Of pip's output a user sees the line that matters, and never an address, which may hold a password."""

from pathlib import Path

import pytest

from pipeline.adapters.models.index import _last_error


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("Looking in indexes: x\nERROR: nothing found\n\nnotice: a new pip\n", "ERROR: nothing found"),
        ("ERROR: 401 for https://user:secret@index.example/simple/ again", "ERROR: 401 for <address> again"),
        ("python: No module named pip\n", "python: No module named pip"),
        ("", "it said nothing"),
    ],
)
def test_the_last_error_is_quoted_without_addresses(tmp_path: Path, log: str, shown: str) -> None:
    path = tmp_path / "pip.log"
    path.write_text(log)
    assert _last_error(path) == shown

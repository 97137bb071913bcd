"""Sample jobs, tickets and logs that we wrote ourselves, shipped as package data.

`tickets.csv` with `tickets.toml` is what `headrace demo` runs; `tickets.gold.jsonl` holds the right answers to its
valid rows, so that accuracy can be shown. `app.log` with `logs.toml` shows the same for plain lines; `night.toml` with
`kinds.toml`, `values.toml` and `words.toml` loads it as a log and asks about its kinds, their values and words.
"""

from importlib import resources
from pathlib import Path

from pipeline.domain.errors import ConfigError


def path(name: str) -> Path:
    """Return where a sample lies on disk; raises ConfigError, listing the samples, when none has this name."""
    folder = Path(str(resources.files(__name__)))
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and entry.suffix != ".py")
    if name not in names:
        msg = f"no sample is called {name!r}; choose one of: {', '.join(names)}"
        raise ConfigError(msg)
    return folder / name

"""Write results as JSON Lines, CSV or Parquet, streaming."""

import contextlib
import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from pipeline.cli.terminal import json_text
from pipeline.domain.cells import harmless
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.runs import ResultLine, StepResult
from pipeline.domain.steps import ExtractStep
from pipeline.domain.visible import visible

FORMATS = ("jsonl", "csv", "parquet")
_PAGE = 10_000


def check_output(output: Path | None, style: str | None = None) -> str:
    """Return the format that results are to be written in; raises ConfigError where they could not be.

    For before any work is done: a run of hours must not end with a folder that is not there.
    """
    style = style or (output.suffix.lstrip(".") if output is not None else "jsonl")
    if style not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise ConfigError(f"results come as {', '.join(FORMATS)}: give an --output that ends in {endings}")
    if output is None:
        if style == "parquet":
            raise ConfigError("parquet is no text: give --output FILE.parquet")
        return style
    if output.exists() and not output.is_file():
        # A finished file takes the place of what was there, which a device or a pipe must not lose.
        raise ConfigError(f"cannot write {output}: it is there and is no file; name a file")
    partial = _partial(output)
    try:
        existed = partial.exists()
        with partial.open("ab"):
            pass
        if not existed:
            partial.unlink()
    except OSError as error:
        raise _unwritable(output, error) from None
    return style


def write_results(lines: Iterable[ResultLine], job: Job, output: Path | None, style: str | None) -> None:
    """Write all lines; a file appears under its name only when it is complete.

    Raises ConfigError where it would take the place of a file that the lines seem to come from.
    """
    style = check_output(output, style)
    if output is None:
        (_write_jsonl if style == "jsonl" else _write_csv)(lines, job, sys.stdout)
        return
    if output.exists():
        lines = _of_others(lines, output)
    with replaced(output) as partial:
        if style == "parquet":
            _write_parquet(lines, job, partial)
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            (_write_jsonl if style == "jsonl" else _write_csv)(lines, job, file)


def _of_others(lines: Iterable[ResultLine], output: Path) -> Iterator[ResultLine]:
    """Yield the lines; a run remembers the names of its inputs, not where they lay."""
    for line in lines:
        if line.source == output.name:
            raise ConfigError(
                f"{output} is there and is called as one of the run's inputs, which would be lost: name another file"
            )
        yield line


def _partial(output: Path) -> Path:
    return output.with_name(f".{output.name}.partial")


def _unwritable(output: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {output}: {error.strerror}; name a file in a folder that you can write to")


@contextlib.contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Yield a file to write that takes the place of `output` when all is written; ConfigError where it cannot."""
    partial = _partial(output)
    try:
        yield partial
        partial.replace(output)
    except OSError as error:
        raise _unwritable(output, error) from None
    finally:
        partial.unlink(missing_ok=True)


def _write_jsonl(lines: Iterable[ResultLine], _: Job, file: TextIO) -> None:
    file.writelines(json_text(line.as_json()) + "\n" for line in lines)


def _write_csv(lines: Iterable[ResultLine], job: Job, file: TextIO) -> None:
    writer = csv.DictWriter(file, fieldnames=columns(job))
    writer.writeheader()
    shown: Callable[[object], object] = _shown if file.isatty() else harmless
    for line in lines:
        row = flat(line, job)
        writer.writerow(
            {name: shown(json.dumps(value) if isinstance(value, list) else value) for name, value in row.items()}
        )


def _shown(cell: object) -> object:
    return harmless(visible(cell) if isinstance(cell, str) else cell)


def _write_parquet(lines: Iterable[ResultLine], job: Job, path: Path) -> None:
    kinds: dict[str, str] = {"line": "int64"}
    for step in job.steps:
        kinds |= {f"{step.name}_confidence": "float64", f"{step.name}_calibrated": "bool"}
    rows = (flat(line, job) for line in lines)
    write_parquet(rows, {name: kinds.get(name, "string") for name in columns(job)}, path)


def write_parquet(rows: Iterable[dict[str, Any]], kinds: Mapping[str, str], path: Path) -> None:
    """Write rows page by page; `kinds` says what is in each column, and what is no string in one of strings is JSON."""
    # 0.3 s to import, and only this format needs it.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {"moment": pa.timestamp("us", "UTC"), "strings": pa.list_(pa.string())}
    schema = pa.schema([(name, types.get(kind) or pa.type_for_alias(kind)) for name, kind in kinds.items()])
    pages = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while page := list(itertools.islice(pages, _PAGE)):
            for row in page:
                for name, value in row.items():
                    if kinds[name] == "string" and value is not None and not isinstance(value, str):
                        row[name] = json.dumps(value, ensure_ascii=False)
            writer.write_table(pa.Table.from_pylist(page, schema=schema))


def columns(job: Job) -> list[str]:
    """Return the columns of a flat result: the row, then each step's values, state, confidence and tier."""
    names = ["key", "source", "line"]
    for step in job.steps:
        fields = step.fields if isinstance(step, ExtractStep) else None
        names += [step.name] if fields is None else [f"{step.name}.{field}" for field in fields]
        names += [f"{step.name}_{part}" for part in ("state", "confidence", "calibrated", "tier", "reason")]
    return names


def flat(line: ResultLine, job: Job) -> dict[str, Any]:
    """Return a result line as one flat row."""
    row: dict[str, Any] = {"key": line.key, "source": line.source, "line": line.line}
    for step in job.steps:
        result: StepResult = line.answers[step.name]
        if isinstance(step, ExtractStep):
            values = result.value if isinstance(result.value, Mapping) else {}
            row |= {f"{step.name}.{field}": _cell(values.get(field)) for field in step.fields}
        else:
            row[step.name] = _cell(result.value)
        row |= {
            f"{step.name}_state": result.state,
            f"{step.name}_confidence": result.confidence,
            f"{step.name}_calibrated": result.calibrated,
            f"{step.name}_tier": result.tier,
            f"{step.name}_reason": result.reason,
        }
    return row


def _cell(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

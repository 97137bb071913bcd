"""Files from strangers: jobs, price books, proposals, tickets, logs, labels, models."""

import bz2
import gzip
import json
import lzma
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
import tomlkit
from hypothesis import strategies as st

from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.adapters.models import read_header
from pipeline.adapters.sources import open_source
from pipeline.adapters.user_files import (
    DEFAULT_PRICE_BOOK,
    edited_job,
    load_job,
    load_log_job,
    load_price_book,
    read_proposal,
)
from pipeline.domain.job import Job
from pipeline.flow.labelling import labels_of
from pipeline.ports.source import SourceOptions
from pipeline.wiring.log_loading import load_files
from pipeline.wiring.samples import own_sample, read_gold
from tests.fuzz.gguf_bytes import GGUF
from tests.fuzz.mutations import bytes_near, data_near

Fuzzed: TypeAlias = Callable[..., None]
SAMPLES = Path("pipeline/samples")
JOB_TEXT = (SAMPLES / "tickets.toml").read_bytes()
ALL_OF_A_JOB = b"""
name = "all"
text = "{a}\\n{b}"
key = "id"
redact = ["email", "card"]
flush_after_s = 2
[target]
agreement = 0.9
[budget]
usd = "1.5"
[[steps]]
name = "topic"
kind = "multilabel"
labels = ["a", "b"]
ladder = ["small"]
[[steps]]
name = "sure"
kind = "yes_no"
question = "Sure?"
[[steps]]
name = "points"
kind = "score"
levels = { 1 = "low", 2 = "high" }
[[steps]]
name = "facts"
kind = "extract"
[steps.fields]
id = { type = "string", pattern = "[A-Z]{2}-[0-9]+", copy = false }
when = { type = "date" }
sum = { type = "money" }
kind = { type = "one_of", options = ["x", "y"] }
parts = { type = "list", of = "string" }
[[steps.checks]]
kind = "pattern"
field = "id"
pattern = "[A-Z].*"
[[tiers]]
name = "small"
engine = "llama"
model = "smollm2-135m-instruct"
chat_template = "chatml"
accept_at = { default = 0.8, topic = 0.9 }
[[tiers]]
name = "large"
engine = "openai"
model = "m"
base_url = "http://127.0.0.1:8000/v1"
requests_per_minute = 10
tokens_per_minute = 1000
"""
PROPOSAL = b"""
job = "support"
evaluation = "e-1"
made_at = "2026-11-01"
expected = []
[[change]]
step = "mood"
tier = "small"
now = 0.5
proposed = 0.75
"""
LOG = (
    "".join(
        f"Jun 14 15:{n:02}:01 combo sshd(pam_unix)[{n}]: check pass; user unknown {n}\n\ttrace\n" for n in range(8)
    ).encode()
    + b'{"ts": "2026-11-01T00:00:00Z", "level": "info", "msg": "x y"}\n2026-11-01 12:00:00,123 ERROR [a.b] c\n'
)
GOLD = b'{"key": "T-1", "category": "billing", "mood": "neutral", "details": {"amount": 1.5}}\n'
TABLE = (
    b"key,text,category,details.order_id,details.amount,details.due,mood\nT-1,x,billing,AB-1234,1.5,2026-01-01,null\n"
)
JOB = Job.model_validate(tomllib.loads(JOB_TEXT.decode()))
ROWS_JOB = JOB.model_copy(update={"text": "{a}|{b}", "key": "id"})
ROWS = {
    "csv": b'id,a,b\n1,x,"y ""z"", w"\n2,"p\nq",r\n3,\xc3\xa9,\n',
    "tsv": b"id\ta\tb\n1\tx\ty\n2\tp\tq\n",
    "jsonl": b'{"id": "1", "a": "x", "b": null}\n{"id": 2, "a": [1, {"c": 1.5e3}], "b": true}\n',
    "lines": b"one line\nanother\n\n",
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": partial(pa.compress, codec="zstd", asbytes=True),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes, str], Path]:
    def write(content: bytes, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_no_bytes_break_the_reading_of_a_job(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    fuzzed(
        lambda content: load_job(file(content, "job.toml")),
        content=bytes_near([JOB_TEXT, ALL_OF_A_JOB, b""]) | st.binary(max_size=300),
    )


@pytest.mark.parametrize("text", [JOB_TEXT, ALL_OF_A_JOB], ids=["sample", "all"])
def test_no_values_break_the_reading_of_a_job(fuzzed: Fuzzed, file: Callable[[bytes, str], Path], text: bytes) -> None:
    good = tomllib.loads(text.decode())

    def reads(data: dict[str, Any]) -> None:
        path = file(_toml(data), "job.toml")
        load_job(path)

    fuzzed(reads, data=data_near(good))


def test_no_job_breaks_what_writes_thresholds_into_it(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    fuzzed(
        lambda content: edited_job(
            file(content, "job.toml"), ladders={"mood": ["small"]}, thresholds={"small": {"mood": 0.5}}
        ),
        content=bytes_near([JOB_TEXT]),
    )


def test_no_bytes_break_the_reading_of_prices_proposals_and_log_jobs(
    fuzzed: Fuzzed, file: Callable[[bytes, str], Path]
) -> None:
    readers: list[tuple[Callable[[Path], object], bytes]] = [
        (load_price_book, DEFAULT_PRICE_BOOK.read_bytes()),
        (read_proposal, PROPOSAL),
        (load_log_job, (SAMPLES / "night.toml").read_bytes()),
    ]

    def reads(chosen: tuple[Callable[[Path], object], bytes]) -> None:
        chosen[0](file(chosen[1], "file.toml"))

    near = st.one_of(*(st.tuples(st.just(read), bytes_near([good])) for read, good in readers))
    by_values = st.one_of(
        *(st.tuples(st.just(read), st.builds(_toml, data_near(tomllib.loads(good.decode())))) for read, good in readers)
    )
    fuzzed(reads, chosen=near | by_values)


@pytest.mark.parametrize("form", ROWS)
def test_no_bytes_break_the_reading_of_tickets(fuzzed: Fuzzed, tmp_path: Path, form: str) -> None:
    def reads(content: bytes, limit: int, encoding: str, *, packed: bool, cut: bool) -> None:
        stored = gzip.compress(content, 1) if packed else content
        path = tmp_path / "rows"
        path.write_bytes(stored[: len(stored) * 2 // 3] if cut else stored)
        job = ROWS_JOB.model_copy(update={"text": "{text}", "key": None}) if form == "lines" else ROWS_JOB
        options = SourceOptions(format=form, encoding=encoding, max_row_bytes=limit)
        with open_source([str(path)], job, options, spool=tmp_path) as source:
            for row in source.rows():
                assert row.line >= 1, "every line comes back, as an item or as a refusal with its number"

    fuzzed(
        reads,
        content=bytes_near([ROWS[form]]) | st.binary(max_size=300),
        limit=st.sampled_from([8, 30, 1 << 20]),
        encoding=st.sampled_from(["utf-8", "utf-8", "utf-16", "latin-1", "shift_jis"]),
        packed=st.booleans(),
        cut=st.booleans(),
    )


def test_no_bytes_break_the_unpacking_of_tickets(fuzzed: Fuzzed, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"

    def reads(content: bytes) -> None:
        path.write_bytes(content)
        with open_source([str(path)], ROWS_JOB, SourceOptions(), spool=tmp_path) as source:
            list(source.rows())

    packed = gzip.compress(ROWS["csv"]) + gzip.compress(ROWS["csv"] * 400)
    bomb = gzip.compress(b"id,a,b\n" + b"1,a,b\n" * 20_000)
    fuzzed(reads, content=bytes_near([packed, bomb]))


@pytest.mark.parametrize("packing", PACKED)
def test_no_bytes_break_the_loading_of_logs(fuzzed: Fuzzed, tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"app.log{packing}"

    def loads(content: bytes, *, damaged: bool) -> None:
        path.write_bytes(content if damaged else PACKED[packing](content))
        done = load_files(
            MemoryStore(FakeClock()),
            "app",
            [str(path)],
            layout=None,
            processes=1,
            clock=FakeClock(),
            show=lambda *_: None,
        )
        assert len(list(done)) == 1, "a file is loaded or told to have a problem"

    fuzzed(
        loads,
        content=bytes_near([LOG, PACKED[packing](LOG), PACKED[packing](LOG * 300)]) | st.binary(max_size=300),
        damaged=st.booleans(),
    )


def test_no_bytes_break_the_reading_of_labels(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    def reads(content: bytes, name: str) -> None:
        labels_of(JOB, read_gold(file(content, name), JOB), name)

    fuzzed(reads, content=bytes_near([GOLD, TABLE]), name=st.sampled_from(["gold.jsonl", "gold.csv"]))


def test_no_answers_break_the_reading_of_labels(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    def reads(line: dict[str, Any]) -> None:
        path = file(json.dumps(line).encode(), "gold.jsonl")
        labels_of(JOB, read_gold(path, JOB), "gold")

    flat = {"key": "T-1", "category": "billing", "mood": None, "details": {"amount": 1.5, "due": "2026-01-01"}}
    fuzzed(reads, line=data_near(json.loads(GOLD)) | data_near(flat))


def test_no_bytes_break_the_reading_of_a_sample_of_ones_own(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    good = b'{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
    fuzzed(lambda content: own_sample(file(content, "own.jsonl")), content=bytes_near([good]) | st.binary(max_size=99))


def test_no_bytes_break_the_reading_of_a_model_files_header(fuzzed: Fuzzed, file: Callable[[bytes, str], Path]) -> None:
    fuzzed(
        lambda content: read_header(file(content, "m.gguf")),
        content=bytes_near(GGUF) | st.binary(max_size=300).map(lambda rest: GGUF[0][:24] + rest),
    )


def _toml(data: dict[str, Any]) -> bytes:
    """Write tables as TOML; what TOML cannot hold at all is written as text that it cannot read."""
    try:
        return tomlkit.dumps(data).encode("utf-8", "surrogatepass")
    except Exception:  # noqa: BLE001 — the writer's own limits are not what is tested
        return repr(data).encode("utf-8", "surrogatepass")


def test_what_is_mutated_is_good(file: Callable[[bytes, str], Path]) -> None:
    """Else all of the fuzzing would end at the first error."""
    assert load_job(file(ALL_OF_A_JOB, "job.toml")).name == "all"
    assert load_job(file(_toml(tomllib.loads(ALL_OF_A_JOB.decode())), "job.toml")).name == "all"
    assert read_proposal(file(PROPOSAL, "proposal.toml")).evaluation == "e-1"
    assert [read_header(file(content, "m.gguf")).architecture for content in GGUF] == ["llama", "llama"]
    for content, name in ((GOLD, "gold.jsonl"), (TABLE, "gold.csv")):
        assert labels_of(JOB, read_gold(file(content, name), JOB), name), name

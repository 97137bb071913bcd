"""Bad input gets a clear answer and loses nothing; good rows go on."""

import gzip
import json

from tests.acceptance.conftest import Shell, lines_of

CSV = """\
id,text
1,good one
2
3,too,many
4,
5,good two
5,another text under the same key
,no key
6,"quoted
over two lines"
"""


def test_bad_rows_are_counted_kept_and_listed_and_the_good_ones_answered(shell: Shell) -> None:
    job = shell.job().read_text(encoding="utf-8").replace('text = "{text}"', 'text = "{text}"\nkey = "id"')
    bad_bytes = shell.folder / "in.csv"
    bad_bytes.write_bytes(CSV.encode() + b"7,broken \xff\xfe bytes\n8,good three\n")
    seen = shell.json("run", shell.file("keyed.toml", job), bad_bytes)
    assert (seen["items"], seen["rejected"]) == (4, 6)
    assert [line["key"] for line in shell.results()] == ["1", "5", "6", "8"]
    listed = shell.json("rejects", "last")["rows"]
    assert [(row["line"], row["reason"]) for row in listed] == [
        (3, "short_row"),
        (4, "long_row"),
        (5, "empty_text"),
        (7, "key_conflict"),
        (8, "empty_key"),
        (11, "bad_encoding"),
    ]
    assert all(row["source"].endswith("in.csv") and row["detail"] for row in listed)


def test_gzip_globs_and_standard_input_are_read(shell: Shell) -> None:
    job = shell.job()
    for part in range(2):
        (shell.folder / f"part-{part}.log.gz").write_bytes(gzip.compress(lines_of(10, start=10 * part).encode()))
    seen = shell.json("run", job, shell.folder / "part-*.log.gz")
    assert (seen["items"], seen["rejected"]) == (20, 0)
    piped = json.loads(shell.run("run", job, "-", "--format", "lines", "--json", stdin=lines_of(30).encode()))
    assert (piped["state"], piped["items"]) == ("done", 30)


def test_results_come_as_csv_and_parquet_too(shell: Shell) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 — only this test reads it

    csv_file, parquet_file = shell.folder / "out.csv", shell.folder / "out.parquet"
    shell.run("run", shell.job(), shell.file("in.log", lines_of(5)), "--output", csv_file)
    shell.run("results", "last", "--output", parquet_file)
    assert csv_file.read_text(encoding="utf-8").splitlines()[0].startswith("key,source,line,category,category_state")
    table = pq.read_table(parquet_file)
    assert table.num_rows == 5
    assert table.column("category").to_pylist() == ["billing"] * 5


def test_a_wrong_job_says_where_and_what_is_allowed(shell: Shell) -> None:
    job = shell.job().read_text(encoding="utf-8").replace('kind = "sentiment"', 'kind = "sentimental"')
    shell.run("run", shell.file("wrong.toml", job), shell.file("in.log", lines_of(1)), code=2)
    assert "sentimental" in shell.last_stderr
    assert "sentiment" in shell.last_stderr
    assert "line 11, steps.mood.kind" in shell.last_stderr
    assert '11 | kind = "sentimental"' in shell.last_stderr
    assert "Traceback" not in shell.last_stderr


def test_a_missing_model_is_refused_before_anything_starts(fresh_shell: Shell) -> None:
    shell = fresh_shell
    job = (
        shell.job()
        .read_text(encoding="utf-8")
        .replace('engine = "instant"\nmodel = "score=0.99"', 'engine = "llama"\nmodel = "no-such-model"', 1)
    )
    shell.run("run", shell.file("missing.toml", job), shell.file("in.log", lines_of(1)), code=2)
    assert "no model is called 'no-such-model'" in shell.last_stderr
    assert "qwen2.5-coder-0.5b-instruct" in shell.last_stderr
    assert not (shell.home / "postgres").exists()


def test_an_unknown_run_has_an_exit_code_of_its_own(shell: Shell) -> None:
    shell.run("status", "never-made", code=4)

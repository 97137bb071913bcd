"""People's labels, as their user meets them: exported, filled in, imported, and the promise that they make."""

import csv
import json
from pathlib import Path

from tests.acceptance.conftest import Shell, lines_of
from tests.acceptance.test_promises import job_with_target

ITEMS = 200
TARGET = """
[target]
agreement = { category = 0.85 }
reference = "labels"
sample = 60
"""


def filled_in(path: Path, answer: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "category": answer} for row in rows)


def test_a_run_waits_for_people_and_ends_with_their_labels_in_its_results(shell: Shell) -> None:
    job, source = job_with_target(shell, small="score=0.99", target=TARGET), shell.file("in.log", lines_of(ITEMS))
    shell.run("run", job, source, code=5)
    assert "60 drawn texts wait for labels" in shell.last_stderr
    shell.run("run", job, source, code=2)
    assert "headrace labels export" in shell.last_stderr
    table = shell.folder / "to-label.csv"
    assert "60 texts" in shell.run("labels", "export", "last", table)
    assert table.stat().st_mode & 0o077 == 0
    shell.run("labels", "export", "last", table, code=2)
    assert "is there already" in shell.last_stderr
    filled_in(table, "bilking")
    shell.run("labels", "import", "last", table, code=2)
    assert "category: that is none of its answers: billing, technical, other" in shell.last_stderr
    assert "bilking" not in shell.last_stderr
    filled_in(table, "billing")
    done = shell.json("labels", "import", "last", table)
    assert (done["labels"], done["unknown_keys"], done["state"]) == (60, [], "done")
    assert "at least 85.0% of 200 answers agree with people's labels" in done["decided"][0]
    assert shell.json("run", job, source)["state"] == "done"
    (window,) = shell.json("certificates", "last")["windows"]
    assert (window["certified"], window["reference"], window["drawn"], window["lost"]) == (True, "labels", 60, 0)
    tiers = [line["answers"]["category"]["tier"] for line in shell.results()]
    assert (tiers.count("people"), tiers.count("small")) == (60, ITEMS - 60)


def test_what_no_tier_could_answer_is_labelled_from_json_lines(shell: Shell) -> None:
    job, source = shell.job(small="score=0.1", large="score=0.1"), shell.file("in.log", lines_of(3))
    text = job.read_text(encoding="utf-8").replace('name = "large"', 'name = "large"\naccept_at = 0.9')
    shell.run("run", shell.file("job.toml", text), source)
    file = shell.folder / "hard.jsonl"
    assert shell.json("labels", "export", "last", file, "--of", "unresolved")["texts"] == 3
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    answers = [{**row, "category": None, "mood": "positive"} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in answers), encoding="utf-8")
    assert shell.json("labels", "import", "last", file)["labels"] == 6
    shown = [line["answers"] for line in shell.results()]
    assert [(one["category"]["value"], one["mood"]["value"]) for one in shown] == [(None, "positive")] * 3
    assert "nothing to label" in shell.run("labels", "export", "last", shell.folder / "more.csv", "--of", "all")

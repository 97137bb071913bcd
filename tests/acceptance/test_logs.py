"""Log files, as their user looks at them."""

import gzip
import json

from tests.acceptance.conftest import Shell

LINES = [f"Jun 14 15:16:{n:02} combo app[{n}]: request {n} of 10.0.0.{n} took {n}ms" for n in range(40)]


def test_kinds_of_lines_are_counted_in_plain_and_gzipped_files(shell: Shell) -> None:
    plain = shell.file("app.log", "\n".join([*LINES, "Jun 14 15:17:00 combo app[1]: bye"]))
    packed = shell.folder / "old.log.gz"
    packed.write_bytes(gzip.compress("\n".join(LINES).encode()))
    seen = shell.json("logs", "templates", plain, packed)
    assert seen["lines"] == 81
    assert seen["layouts"] == {str(plain): "syslog", str(packed): "syslog"}
    assert [(one["template"], one["lines"]) for one in seen["templates"]] == [
        ("request <*> of <*> took <*>ms", 80),
        ("bye", 1),
    ]
    assert "request <*> of <*> took <*>ms" in shell.run("logs", "templates", plain)


def test_entities_are_written_line_by_line(shell: Shell) -> None:
    file = shell.file("app.log", "\n".join(LINES))
    lines = [json.loads(line) for line in shell.run("logs", "entities", file).splitlines()]
    assert len(lines) == 40
    assert lines[7]["header"]["pid"] == "7"
    assert [one["kind"] for one in lines[7]["values"]] == ["number", "ip", "number"]


def test_lines_that_are_no_text_are_counted_and_stop_nothing(shell: Shell) -> None:
    file = shell.folder / "app.log"
    file.write_bytes(b"\n".join([*(line.encode() for line in LINES), b"\xff\xfe\x00 binary", LINES[0].encode()]))
    seen = shell.json("logs", "templates", file)
    assert (seen["lines"], seen["rejected"]) == (41, 1)

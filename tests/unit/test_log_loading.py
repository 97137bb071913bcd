"""Log files read night after night: rotated, gzipped, truncated, damaged; nothing is lost and nothing comes twice."""

import bz2
import datetime as dt
import gzip
import lzma
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.log_files import LogFileReader, found_files
from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.domain.errors import ConfigError, ServiceError
from pipeline.domain.logs.events import content_of, kinds
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.domain.logs.reading import Reading
from pipeline.flow.log_loading import Loaded, load_file
from pipeline.ports.logs import Wanted
from pipeline.wiring.log_kinds import kinds_of
from pipeline.wiring.log_loading import load_files

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": partial(pa.compress, codec="zstd", asbytes=True),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)


def line(number: int, said: str = "user {} left") -> str:
    return f"Jun 14 15:{number // 60:02}:{number % 60:02} combo app[7]: {said.format(number)}\n"


class Night:
    """A store and a folder of logs."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore(FakeClock())
        self.folder = folder

    def load(self, *names: str) -> list[Loaded]:
        paths = [str(self.folder / name) for name in names or ("app.log*",)]
        return list(
            load_files(self.store, "app", paths, layout=None, processes=1, clock=FakeClock(), show=lambda *_: None)
        )

    def contents(self) -> list[str]:
        return [content_of(one.event) for one in self.store.find("app", Wanted(), limit=10_000)]

    def write(self, *numbers: int, name: str = "app.log") -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.writelines(map(line, numbers))


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def said(*numbers: int) -> list[str]:
    return [f"user {number} left" for number in numbers]


def test_the_next_loading_goes_on_where_the_last_one_ended(night: Night) -> None:
    night.write(1, 2)
    (first,) = night.load()
    assert (first.layout, first.events, first.from_line, first.until_line) == ("syslog", 2, 1, 2)
    (nothing,) = night.load()
    assert (nothing.events, nothing.from_line, nothing.until_line) == (0, 3, 2)
    night.write(3)
    (second,) = night.load()
    assert (second.events, second.from_line, second.until_line) == (1, 3, 3)
    assert night.contents() == said(1, 2, 3)


def test_a_rotated_and_gzipped_file_is_the_same_file(night: Night) -> None:
    night.write(1, 2)
    night.load()
    night.write(3)
    (night.folder / "app.log").rename(night.folder / "app.log.1")
    night.write(4)
    night.load()
    packed = night.folder / "app.log.2.gz"
    packed.write_bytes(gzip.compress((night.folder / "app.log.1").read_bytes()))
    (night.folder / "app.log.1").unlink()
    assert sum(one.events for one in night.load()) == 0
    assert night.contents() == said(1, 2, 3, 4)


@pytest.mark.parametrize("way", PACKED)
def test_a_file_goes_on_in_a_copy_packed_in_any_way_and_what_is_packed_in_parts_is_one_file(
    night: Night, way: str
) -> None:
    night.write(1, 2)
    night.load()
    log, pack = night.folder / "app.log", PACKED[way]
    before = len(log.read_bytes())
    night.write(3, *range(5, 3000))
    whole = log.read_bytes()
    log.unlink()
    (night.folder / "app.log.1").write_bytes(pack(whole[:before]) + pack(whole[before:]))
    assert sum(one.events for one in night.load()) == 2996
    assert sum(one.events for one in night.load()) == 0
    assert night.contents() == said(1, 2, 3, *range(5, 3000))


@pytest.mark.parametrize("way", PACKED)
@pytest.mark.parametrize("cut", [True, False])
def test_packed_data_that_is_cut_or_damaged_is_a_problem_of_that_file_alone(
    night: Night, way: str, *, cut: bool
) -> None:
    whole = PACKED[way]("".join(map(line, range(3000))).encode())
    half = len(whole) // 2
    (night.folder / "app.log.1").write_bytes(whole[:half] if cut else whole[:half] + b"\xff" * 64 + whole[half + 64 :])
    night.write(4000)
    loaded = {Path(one.name).name: one for one in night.load()}
    problem = loaded["app.log.1"].problem
    assert problem is not None
    assert f"its {way} data" in problem
    assert loaded["app.log"].events == 1
    (night.folder / "app.log.1").write_bytes(whole)
    night.load()
    if cut:
        assert sorted(night.contents()) == sorted(said(*range(3000), 4000))
    else:  # what deflate makes of wrong bytes before it notices stands as lines of its own
        assert set(said(*range(3000), 4000)) <= set(night.contents())


def test_a_file_that_was_copied_and_truncated_goes_on_in_its_copy(night: Night) -> None:
    night.write(1, 2)
    night.load()
    night.write(3)
    shutil.copy(night.folder / "app.log", night.folder / "app.log.1")
    os.truncate(night.folder / "app.log", 0)
    night.write(4, 5)
    night.load()
    assert night.contents() == said(1, 2, 3, 4, 5)


def test_a_line_without_its_end_is_left_for_the_next_time(night: Night) -> None:
    night.write(1)
    with (night.folder / "app.log").open("a", encoding="utf-8") as file:
        file.write(line(2)[:-4])
    night.load()
    assert night.contents() == said(1)
    with (night.folder / "app.log").open("a", encoding="utf-8") as file:
        file.write(line(2)[-4:])
    night.load()
    assert night.contents() == said(1, 2)


def test_a_stack_trace_belongs_to_the_line_before_it(night: Night) -> None:
    trace = "java.io.IOException: gone\n    at a.B.c(B.java:7)\n"
    (night.folder / "app.log").write_text(line(1) + trace + line(2) + line(3), encoding="utf-8")
    night.load()
    found = [one.event for one in night.store.find("app", Wanted(), limit=10)]
    assert [one.line for one in found] == [1, 4, 5]
    assert found[0].following == trace.rstrip("\n")


def test_the_last_event_of_a_file_that_is_being_written_waits_until_it_is_whole(night: Night) -> None:
    path = night.folder / "app.log"
    path.write_text(line(1) + line(2) + "    at a.B\n", encoding="utf-8")

    class Writing(FakeClock):
        """A clock by whose ticking the file grows."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            with path.open("a", encoding="utf-8") as file:
                file.write("    at c.D\n")

    (loaded,) = load_files(
        night.store, "app", [str(path)], layout=None, processes=1, clock=Writing(), show=lambda *_: None
    )
    assert (loaded.events, loaded.until_line) == (1, 1)
    night.load()
    found = [one.event for one in night.store.find("app", Wanted(), limit=9)]
    assert [(one.line, one.following) for one in found] == [(1, ""), (2, "    at a.B\n    at c.D")]


def test_a_file_that_a_rotation_moves_while_it_is_read_goes_on_under_its_new_name(night: Night) -> None:
    night.write(1, 2)

    class Rotating(FakeClock):
        """A clock by whose ticking the file is moved."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            (night.folder / "app.log").rename(night.folder / "app.log.1")

    (loaded,) = load_files(
        night.store, "app", [str(night.folder / "app.log")], layout=None, processes=1, clock=Rotating(),
        show=lambda *_: None,
    )  # fmt: skip
    assert "cannot be read" in (loaded.problem or "")
    night.load()
    assert night.contents() == said(1, 2)


def test_garbage_loses_nothing_and_stops_nothing(night: Night) -> None:
    garbage = b"\xff\xfe\x00binary" + b"x" * 100_000 + b"\n\n\r\n"
    (night.folder / "app.log").write_bytes(line(1).encode() + garbage + line(2).encode() + line(3).encode())
    (loaded,) = night.load()
    assert loaded.problem is None
    found = [one.event for one in night.store.find("app", Wanted(), limit=10)]
    assert [one.line for one in found] == [1, 5, 6]
    assert found[0].following == "\\xff\\xfe\\x00binary" + "x" * 100_000


def test_a_damaged_gzip_file_keeps_what_came_before_and_does_not_stop_the_others(night: Night) -> None:
    whole = gzip.compress("".join(map(line, range(3000))).encode())
    (night.folder / "app.log.1.gz").write_bytes(whole[: len(whole) // 2])
    night.write(4000)
    loaded = {Path(one.name).name: one for one in night.load()}
    broken = loaded["app.log.1.gz"]
    assert broken.problem is not None
    assert "ends too early" in broken.problem
    assert 0 < broken.events < 3000
    assert loaded["app.log"].events == 1
    (night.folder / "app.log.1.gz").write_bytes(whole)
    night.load()
    assert len(night.contents()) == 3001
    assert len(set(night.contents())) == 3001


def test_garbage_behind_packed_data_takes_nothing_with_it(night: Night) -> None:
    (night.folder / "app.log.1.gz").write_bytes(gzip.compress("".join(map(line, range(60))).encode()) + b"garbage")
    (loaded,) = night.load()
    assert loaded.problem is not None
    assert loaded.complaint.count("app.log.1.gz") == 1
    assert (loaded.events, night.contents()) == (60, said(*range(60)))


def test_a_file_that_was_plain_so_far_gets_the_layout_that_its_lines_turn_out_to_have(night: Night) -> None:
    (night.folder / "app.log").write_text("starting up\n", encoding="utf-8")
    assert [one.layout for one in night.load()] == ["plain"]
    night.write(1, 2, 3)
    assert [one.layout for one in night.load()] == ["syslog"]
    assert [one.event.header.get("host") for one in night.store.find("app", Wanted(), limit=9)] == ["combo"] * 3 + [
        None
    ]
    (other,) = load_files(
        night.store,
        "app",
        [str(night.folder / "app.log")],
        layout="log4j",
        processes=1,
        clock=FakeClock(),
        show=lambda *_: None,
    )
    assert "begun with the layout syslog" in (other.problem or "")


def test_a_file_name_that_is_no_text_is_written_in_hexadecimal(night: Night) -> None:
    with open(os.fsencode(night.folder) + b"/app.log\xe9", "wb") as file:  # noqa: PTH123 — a name of bytes
        file.write(line(1).encode())
    (loaded,) = load_files(
        night.store, "app", [os.fsdecode(os.fsencode(night.folder) + b"/app.log\xe9")], layout=None, processes=1,
        clock=FakeClock(), show=lambda *_: None,
    )  # fmt: skip
    assert loaded.name.endswith("app.log\\xe9")
    assert night.contents() == said(1)


def test_wide_text_and_names_that_no_file_can_have_are_told(night: Night) -> None:
    (night.folder / "app.log").write_text("hello\n", encoding="utf-16")
    (loaded,) = night.load()
    assert "iconv" in (loaded.problem or "")
    with pytest.raises(ConfigError, match="cannot be looked up"):
        found_files([str(night.folder / ("x" * 300))])


def test_parsing_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = (
        "import concurrent.futures, multiprocessing, os, time\n"
        "from pipeline.flow.log_parsing import prepare\n"
        "if __name__ == '__main__':\n"
        "    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), prepare)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(tmp_path / "script.py")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(30)


def test_archives_and_missing_files_are_named(night: Night) -> None:
    (night.folder / "app.log").write_bytes(b"PK\x03\x04 rest")
    (loaded,) = night.load()
    assert loaded.problem is not None
    assert "zip archive" in loaded.problem
    with pytest.raises(ConfigError, match="no such file"):
        found_files([str(night.folder / "nothing*")])


def test_an_empty_file_has_nothing_yet(night: Night) -> None:
    (night.folder / "app.log").touch()
    (loaded,) = night.load()
    assert (loaded.layout, loaded.events, loaded.problem) == (None, 0, None)


def test_a_loading_that_dies_between_batches_is_taken_up(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.adapters.log_files.reader._PIECE_BYTES", 500)
    night.write(*range(35))
    stored = night.store.add_events
    calls = 0

    def dying(*words: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return stored(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(night.store, "add_events", dying)
    with pytest.raises(KeyboardInterrupt):
        night.load()
    stored_before = night.contents()
    assert 10 < len(stored_before) < 30
    assert stored_before == said(*range(len(stored_before)))
    night.load()
    assert night.contents() == said(*range(35))


def test_what_another_process_has_read_meanwhile_is_left_alone(night: Night) -> None:
    night.write(1)
    reader = LogFileReader(night.folder / "app.log")
    load_file(night.store, "app", reader, parsers=ThreadPoolExecutor(1), clock=FakeClock(), show=lambda *_: None)
    night.write(2)
    stored = night.store.add_events

    def late(log: str, file: object, **more: object) -> object:
        stored(log, file, **more)  # type: ignore[arg-type]
        return stored(log, file, **more)  # type: ignore[arg-type]

    night.store.add_events = late  # type: ignore[method-assign, assignment]
    loaded = load_file(
        night.store, "app", reader, parsers=ThreadPoolExecutor(1), clock=FakeClock(), show=lambda *_: None
    )
    assert loaded.problem == "another process has read it on meanwhile"
    assert night.contents() == said(1, 2)


@given(
    st.lists(st.sampled_from(["h one", "h two 7", "  at a", "", "\xe9", "h " + "x" * 40]), max_size=30),
    st.integers(1, 60),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_are_the_file_whatever_their_size_and_begin_where_events_do(
    tmp_path: Path, lines: list[str], piece: int
) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"{line}\n" for line in lines) + "no end", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.adapters.log_files.reader._PIECE_BYTES", piece)
        blocks = list(LogFileReader(path).blocks(None, lambda text: text.startswith("h")))
    assert b"".join(block.data for block in blocks).decode() == "".join(f"{line}\n" for line in lines)
    assert [text for block in blocks for text in block.lines()[0]] == lines
    assert [block.lines_before for block in blocks[1:]] == [block.lines_until for block in blocks[:-1]]
    assert all(block.data.startswith(b"h") for block in blocks[1:])


def test_a_line_at_which_no_event_begins_is_looked_at_once_however_many_pieces_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.log"
    path.write_text("h one\n" + "\n" * 5000)
    monkeypatch.setattr("pipeline.adapters.log_files.reader._PIECE_BYTES", 100)
    looked: list[str] = []

    def begins(text: str) -> bool:
        looked.append(text)
        return text.startswith("h")

    blocks = list(LogFileReader(path).blocks(None, begins))
    assert sum(len(block.data) for block in blocks) == len("h one\n") + 5000
    assert len(looked) <= 5001 + len(blocks)


def test_several_processes_store_what_one_does(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.wiring.log_loading._WORTH_BYTES", 0)
    monkeypatch.setattr("pipeline.adapters.log_files.reader._PIECE_BYTES", 5000)
    with (night.folder / "app.log").open("w", encoding="utf-8") as file:
        for number in range(3000):
            file.write(line(number) + "    at a.B.c\n" * (number % 7 == 0))
    list(
        load_files(
            night.store,
            "app",
            [str(night.folder / "app.log")],
            layout=None,
            processes=2,
            clock=FakeClock(),
            show=lambda *_: None,
        )
    )
    together = [one.event for one in night.store.find("app", Wanted(), limit=None)]
    alone = Night(night.folder)
    alone.load()
    assert together == [one.event for one in alone.store.find("app", Wanted(), limit=None)]
    assert len(together) == 3000
    assert night.store.patterns("app") == alone.store.patterns("app")


def _dies(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_while_it_parses_is_told_and_loses_nothing(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.wiring.log_loading._WORTH_BYTES", 0)
    night.write(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.flow.log_loading.parse", _dies)
        with pytest.raises(ServiceError, match="load again"):
            list(
                load_files(
                    night.store,
                    "app",
                    [str(night.folder / "app.log")],
                    layout=None,
                    processes=2,
                    clock=FakeClock(),
                    show=lambda *_: None,
                )
            )
    night.load()
    assert night.contents() == said(1, 2)


def test_kinds_of_a_stored_log_gather_its_patterns(night: Night) -> None:
    with (night.folder / "app.log").open("w", encoding="utf-8") as file:
        file.writelines(line(number, "hello from user bob") for number in range(3))
        file.writelines(line(number, "hello from user eve") for number in range(3, 5))
    night.load()
    (kind,) = kinds_of(night.store, "app")
    assert (kind.template, kind.events, len(kind.patterns)) == ("hello from user <*>", 5, 2)
    with pytest.raises(ConfigError, match="nothing of a log other"):
        kinds_of(night.store, "other")


@given(st.permutations(["user bob left", "user eve left", "x is 1", "gone"]))
def test_kinds_do_not_depend_on_the_order_of_patterns(patterns: list[str]) -> None:
    assert kinds(patterns)["user bob left"] == "user <*> left"
    assert kinds(patterns) == kinds(sorted(patterns))


@given(st.text(alphabet='ab1 =:,()[]_-./"', max_size=60))
def test_a_content_is_its_pattern_filled_with_its_values(text: str) -> None:
    for event in Reading(layout=LAYOUTS["plain"], latest=NOW).events([text]):
        assert content_of(event) == text.rstrip()

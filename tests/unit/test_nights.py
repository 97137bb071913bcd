"""Nights: what is due is done once, what was missed is made up for, and what dies in between goes on."""

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.adapters.log_files import found_files
from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.adapters.pages import night_page
from pipeline.adapters.user_files import load_job
from pipeline.domain.errors import JobError
from pipeline.domain.job import Job
from pipeline.domain.logs.nights import Asked, LogJob, Night, Report, Told, night_of
from pipeline.domain.runs import ResultLine, RunProgress, RunState, StepResult
from pipeline.ports.logs import Wanted
from pipeline.samples import path as sample
from pipeline.settings import Settings
from pipeline.wiring.log_asking import Entities, keep_answers, to_ask
from pipeline.wiring.log_kinds import kinds_of
from pipeline.wiring.nights import begin, finish, log_job

NOW = dt.datetime(2026, 11, 30, 5, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


class Rig:
    """A store, a folder of logs, and a log job."""

    def __init__(self, folder: Path) -> None:
        self.store, self.folder = MemoryStore(FakeClock()), folder
        (folder / "night.toml").write_text(
            'log = "web"\nfiles = ["app.log*"]\nat = "30 4 * * *"\nreports = "reports"\n', encoding="utf-8"
        )
        self.job: LogJob = log_job(folder / "night.toml")

    def write(self, day: int, *contents: str) -> None:
        with (self.folder / "app.log").open("a", encoding="utf-8") as file:
            file.writelines(f"2026-11-{day:02} 12:00:00,000 INFO a.B: {content}\n" for content in contents)

    def night(self, now: dt.datetime = NOW) -> list[Night]:
        begun = begin(self.store, self.job, clock=FakeClock(now), show=lambda *_: None)
        return finish(self.store, begun, asked=Asked())


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def names(told: Sequence[Told]) -> list[str]:
    return [one.template for one in told]


def test_a_night_tells_what_came_since_the_one_before(rig: Rig) -> None:
    rig.write(27, *["user 1 left"] * 5)
    rig.write(28, *["user 1 left"] * 5, "bye")
    (first,) = rig.night(NOW - DAY)
    assert (first.loaded, first.report.events, names(first.report.new)) == (11, 6, ["bye"])
    rig.write(29, *["user 2 left"] * 50, "disk 7 is full")
    (second,) = rig.night()
    assert second.due == dt.datetime(2026, 11, 30, 4, 30, tzinfo=dt.UTC)
    assert (second.report.since.hour, second.report.until.hour) == (4, 4)
    assert (second.loaded, second.report.events, second.report.against) == (51, 51, 2)
    assert names(second.report.new) == ["disk <*> is full"]
    assert names(second.report.bursts) == ["user <*> left"]
    assert names(second.report.vanished) == ["bye"]


def test_a_night_that_is_done_is_not_done_again(rig: Rig) -> None:
    rig.write(29, "bye")
    (night,) = rig.night()
    rig.write(29, "hello")
    assert rig.night(NOW + dt.timedelta(hours=1)) == []
    assert list(rig.store.nights("web", limit=9)) == [night]


def test_a_pattern_without_files_is_told_and_the_others_are_loaded(rig: Rig) -> None:
    rig.job = rig.job.model_copy(update={"files": (*rig.job.files, str(rig.folder / "none*"))})
    rig.write(29, "bye")
    (night,) = rig.night()
    assert night.loaded == 1
    assert "none*: no such file" in night.problems[0]


def test_nights_that_were_missed_each_get_their_report(rig: Rig) -> None:
    rig.write(26, "bye")
    rig.night(NOW - 3 * DAY)
    rig.write(27, "hello")
    rig.write(28, *["user 1 left"] * 3)
    rig.write(29, "disk 7 is full")
    nights = rig.night()
    assert [one.due.day for one in nights] == [28, 29, 30]
    assert [names(one.report.new) for one in nights] == [["hello"], ["user <*> left"], ["disk <*> is full"]]
    assert [one.loaded for one in nights] == [0, 0, 5]
    assert len(list((rig.folder / "reports").glob("*.html"))) == 4


def test_a_night_that_died_before_it_was_kept_loads_nothing_twice(rig: Rig) -> None:
    rig.write(29, "bye")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    (night,) = rig.night()
    assert (night.loaded, night.report.events) == (0, 1)


def test_a_night_is_the_same_when_it_is_read_from_its_json(rig: Rig) -> None:
    rig.write(28, "bye")
    rig.write(29, "hello")
    (night,) = rig.night()
    assert night_of(json.loads(json.dumps(night.as_json()))) == night
    written = (rig.folder / "reports" / "web-2026-11-30T0430Z.json").read_text(encoding="utf-8")
    assert night_of(json.loads(written)) == night


def test_the_page_escapes_what_the_log_says() -> None:
    nasty = Told(template="<script>alert(1)</script>", events=1, usual=0.0, answers={"severity": "<b>"})
    report = Report(since=NOW - DAY, until=NOW, events=1, kinds=1, against=1, new=(nasty,), vanished=(), bursts=())
    asked = Asked(kinds=1, calls=2, known_usd=Decimal("0.5"), run="r-1")
    night = Night(log="web", due=NOW, started=NOW, report=report, files=1, loaded=1, problems=("a<b",), asked=asked)
    page = night_page(night)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a&lt;b" in page
    assert "&lt;b&gt;" in page
    assert "$0.5000" in page


def asking(folder: Path, *, step: str = "severity", labels: str = '"high", "low"') -> Job:
    path = folder / "kinds.toml"
    path.write_text(
        f'name = "kinds"\ntext = "{{template}}"\n[[steps]]\nname = "{step}"\nkind = "classify"\nlabels = [{labels}]\n'
        '[[tiers]]\nname = "only"\nengine = "instant"\nmodel = "score=0.99"\n',
        encoding="utf-8",
    )
    return load_job(path)


def answered(path: Path, answer: str, *, step: str = "severity") -> list[ResultLine]:
    result = StepResult(
        state="verdict", value=answer, fields={}, confidence=0.9, calibrated=False, tier="only", escalated_from=(),
        reason=None,
    )  # fmt: skip
    count = len(path.read_text().splitlines())
    return [ResultLine(key=str(n), source="f", line=n, answers={step: result}) for n in range(1, count + 1)]


FINAL = RunProgress(
    run="kinds-1", state=RunState.DONE, reason=None, items=1, rejected=0, duplicates=0, steps={}, unknown_calls=0,
    known_usd=Decimal("0.25"), calls=3, baseline_usd=None, created_at=NOW, seconds=1.0,
)  # fmt: skip


def test_each_kind_is_asked_about_once_and_another_job_asks_anew(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder)
    rig.write(29, "user 1 left", "user 2 left", "bye")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "kinds", settings)
    assert path is not None
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["template"], one["level"], one["component"]) for one in rows] == [
        ("user <*> left", "INFO", "a.B"),
        ("bye", "INFO", "a.B"),
    ]
    assert rows[0]["example"] == "user 1 left"
    assert [one["examples"] for one in rows] == ["user 1 left\nuser 2 left", "bye"]
    kept = keep_answers(rig.store, "web", job, path, answered(path, "low"), FINAL)
    assert (kept.kinds, kept.calls, kept.known_usd, kept.run) == (2, 3, Decimal("0.25"), "kinds-1")
    assert to_ask(rig.store, "web", job, "kinds", settings) is None
    assert to_ask(rig.store, "web", asking(rig.folder, labels='"yes", "no"'), "kinds", settings) is not None
    dearer = job.model_copy(update={"tiers": (job.tiers[0].model_copy(update={"model": "score=0.5"}),)})
    assert dearer.digest != job.digest
    assert to_ask(rig.store, "web", dearer, "kinds", settings) is None


def test_kinds_that_an_interrupted_night_was_asking_about_are_asked_in_the_same_words(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder)
    rig.write(29, "bye")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "kinds", settings)
    assert path is not None
    before = path.read_bytes()
    rig.write(29, "hello")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    assert to_ask(rig.store, "web", job, "kinds", settings) == path
    assert path.read_bytes() == before
    keep_answers(rig.store, "web", job, path, answered(path, "low"), FINAL)
    again = to_ask(rig.store, "web", job, "kinds", settings)
    assert again is not None
    assert [json.loads(line)["template"] for line in again.read_text().splitlines()] == ["hello"]


def test_values_that_no_rule_names_are_asked_about_once_and_named_by_the_answer(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder, step="type", labels='"rank", "share"')
    rig.write(29, "mover 7 went 4096 bytes up", "mover 8 went 9 bytes up")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "values", settings)
    assert path is not None
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (row["template"], row["value"]) == ("mover <*> went <*> bytes up", "7")
    kept = keep_answers(rig.store, "web", job, path, answered(path, "rank", step="type"), FINAL)
    assert (kept.kinds, kept.values) == (0, 1)
    assert to_ask(rig.store, "web", job, "values", settings) is None
    entities = Entities(rig.store, "web")
    event = next(rig.store.find("web", Wanted(), limit=1)).event
    assert [(one.name, one.type, one.text) for one in entities.of(event)][-2:] == [
        ("rank", "rank", "7"),
        ("size", "size", "4096"),
    ]
    assert entities.places("rank", "8") == {"mover <*> went <*> bytes up": [0, 1]}


def test_a_word_that_a_model_knows_as_a_value_is_one_from_then_on(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder, step="type", labels='"user", "word"')
    rig.write(29, "session closed for carol after 3 s")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "words", settings)
    assert path is not None
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (row["template"], row["word"]) == ("session closed for carol after <*> s", "carol")
    kept = keep_answers(rig.store, "web", job, path, answered(path, "user", step="type"), FINAL)
    assert (kept.kinds, kept.values, kept.words) == (0, 0, 1)
    rig.write(30, "session closed for dave after 5 s")
    begin(rig.store, rig.job, clock=FakeClock(NOW + DAY), show=lambda *_: None)
    assert to_ask(rig.store, "web", job, "words", settings) is None
    (kind,) = kinds_of(rig.store, "web")
    assert (kind.template, kind.events) == ("session closed for <*> after <*> s", 2)
    entities = Entities(rig.store, "web")
    assert [
        (one.name, one.type, one.text) for one in entities.of(next(rig.store.find("web", Wanted(), limit=1)).event)
    ][-2:] == [("user", "user", "carol"), ("duration", "duration", "3")]
    assert "session closed for dave after <*> s" in entities.places("user", "dave")


def test_a_word_that_a_model_takes_for_a_word_stays_one(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder, step="type", labels='"user", "word"')
    rig.write(29, "session closed for maintenance")
    begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "words", settings)
    assert path is not None
    keep_answers(rig.store, "web", job, path, answered(path, "word", step="type"), FINAL)
    assert to_ask(rig.store, "web", job, "words", settings) is None
    assert [kind.template for kind in kinds_of(rig.store, "web")] == ["session closed for maintenance"]


def test_answers_stand_in_the_report_and_a_kind_that_grows_keeps_its_answer(rig: Rig) -> None:
    settings, job = Settings(home=rig.folder / "home"), asking(rig.folder)
    rig.write(28, "x")
    rig.write(29, "hello from user bob")
    begun = begin(rig.store, rig.job, clock=FakeClock(NOW), show=lambda *_: None)
    path = to_ask(rig.store, "web", job, "kinds", settings)
    assert path is not None
    asked = keep_answers(rig.store, "web", job, path, answered(path, "high"), FINAL)
    (night,) = finish(rig.store, begun, asked=asked)
    assert [(one.template, one.answers) for one in night.report.new] == [("hello from user bob", {"severity": "high"})]
    rig.write(30, "hello from user eve")
    begin(rig.store, rig.job, clock=FakeClock(NOW + DAY), show=lambda *_: None)
    assert to_ask(rig.store, "web", job, "kinds", settings) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('at = "soon"', "as in cron"),
        ('timezone = "Mars"', "Europe/Berlin"),
        ('layout = "nothing"', "no such layout"),
        ("when = 3", "unknown key"),
        ("against = 0", "against"),
    ],
)
def test_what_is_wrong_in_a_log_job_file_is_told(tmp_path: Path, more: str, said: str) -> None:
    path = tmp_path / "night.toml"
    path.write_text(f'log = "web"\nfiles = ["a"]\n{more}\n', encoding="utf-8")
    with pytest.raises(JobError, match=said):
        log_job(path)


def test_a_folder_with_signs_of_patterns_in_its_name_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "n[1]"
    folder.mkdir()
    (folder / "app.log").write_text("hello\n", encoding="utf-8")
    (folder / "night.toml").write_text('log = "web"\nfiles = ["*.log"]\n', encoding="utf-8")
    assert found_files(log_job(folder / "night.toml").files) == [folder / "app.log"]


def test_the_sample_night_is_valid_and_asks_a_valid_job() -> None:
    job = log_job(sample("night.toml"))
    assert [Path(one).name for one in job.files] == ["app.log*"]
    assert job.ask is not None
    assert [step.name for step in load_job(Path(job.ask)).steps] == ["severity", "subsystem"]
    assert job.ask_values is not None
    for one in (Path(job.ask_values), sample("words.toml")):
        assert [step.name for step in load_job(one).steps] == ["type"]

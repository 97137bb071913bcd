"""Reading ahead, following, messages, prompts, CPU quota: small parts with one job each."""

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.memory import FakeClock
from pipeline.adapters.postgres.seen import Seen
from pipeline.domain.errors import MessageError
from pipeline.domain.items import Salt, fingerprint
from pipeline.domain.job import Job, steps_of
from pipeline.domain.runs import RunProgress, RunState, StepCounts, run_name
from pipeline.domain.steps import ClassifyStep
from pipeline.flow.ahead import ahead
from pipeline.flow.follow import follow, pace
from pipeline.messages import JudgeChunk, read
from pipeline.prompts import question_of


@given(st.lists(st.integers()), st.integers(1, 4))
def test_reading_ahead_changes_neither_values_nor_order(values: list[int], depth: int) -> None:
    assert list(ahead(values, depth=depth)) == values


def test_what_the_reading_raises_comes_out_behind_the_values_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    reader = ahead(source())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)


def test_reading_ahead_stops_when_it_is_closed() -> None:
    seen: list[int] = []

    def source() -> Iterator[int]:
        for number in range(10_000):
            seen.append(number)
            yield number

    reader = ahead(source(), depth=2)
    assert next(reader) == 0
    reader.close()
    assert len(seen) < 10


def test_closing_closes_what_is_read_from() -> None:
    ended: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(10_000)
        finally:
            ended.append("source")

    reader = ahead(ahead(source()))
    assert next(reader) == 0
    reader.close()
    assert ended == ["source"]


def prints(texts: Iterable[str]) -> list[bytes]:
    return [fingerprint(text, salt=Salt.of("run-1")) for text in texts]


@given(st.lists(st.lists(st.text(max_size=3), max_size=20), max_size=5))
def test_a_fingerprint_that_was_met_is_never_called_new(batches: list[list[str]]) -> None:
    seen, met = Seen(), set[bytes]()
    for batch in batches:
        known = seen.meet(prints(batch))
        assert met.intersection(prints(batch)) <= set(known)
        met.update(prints(batch))


def test_nearly_every_new_fingerprint_is_called_new() -> None:
    seen = Seen()
    seen.meet(prints(str(number) for number in range(100_000)))
    assert len(seen.meet(prints(f"other {number}" for number in range(10_000)))) < 10


def test_fingerprints_of_a_run_lie_together_and_those_of_two_runs_differ() -> None:
    first, second = Salt.of("run-1"), Salt.of("run-2")
    assert {fingerprint(text, salt=first)[:4] for text in ("a", "b", "c")} == {first.prefix}
    assert len({fingerprint(text, salt=salt) for text in ("a", "b") for salt in (first, second)}) == 4
    assert len(fingerprint("a", salt=first)) == len(fingerprint("a")) == 16


def progress(answered: int, *, state: RunState = RunState.RUNNING) -> RunProgress:
    return RunProgress(
        run="r",
        state=state,
        reason=None,
        items=100,
        rejected=0,
        duplicates=0,
        steps={"s": StepCounts(verdicts={"small": answered}, unresolved=0)},
        known_usd=Decimal(0),
        unknown_calls=0,
        calls=0,
        baseline_usd=None,
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        seconds=1.0,
    )


def test_the_pace_counts_from_the_first_look_and_is_unknown_until_something_moves() -> None:
    assert pace(progress(10), progress(10), 5).answers_per_s is None
    moved = pace(progress(10), progress(60), 5)
    assert (moved.answers_per_s, moved.seconds_left) == (10, 4)


def test_following_ends_with_the_run_and_ticks_on_the_way() -> None:
    looks = [progress(0), progress(50), progress(100, state=RunState.DONE)]
    ticks: list[int] = []

    class Looking:
        def progress(self, _: int) -> RunProgress:
            return looks.pop(0)

    final = follow(Looking(), 1, clock=FakeClock(), show=lambda *_: None, tick=lambda: ticks.append(1))  # type: ignore[arg-type]  # only progress is asked for
    assert final.state is RunState.DONE
    assert len(ticks) >= 4


@pytest.mark.parametrize(
    "body", [{}, {"chunk_id": "1"}, {"chunk_id": 1, "version": 99}, {"chunk_id": 1, "text": "x"}, {"version": 1}]
)
def test_a_message_that_is_not_ours_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        read(body)


def test_a_message_holds_a_version_and_a_chunk_id_and_nothing_else() -> None:
    body = JudgeChunk(chunk_id=7).model_dump()
    assert body == {"version": 1, "chunk_id": 7}
    assert read(body) == JudgeChunk(chunk_id=7)


@given(st.sets(st.integers(0, 59)))
def test_a_mask_holds_any_set_of_steps(steps: set[int]) -> None:
    assert steps_of(sum(1 << step for step in steps)) == tuple(sorted(steps))


def step(**parts: object) -> ClassifyStep:
    return ClassifyStep.model_validate({"name": "s", "kind": "classify", "labels": {"a": "x", "b": "y"}, **parts})


def test_the_prompts_digest_changes_with_anything_that_a_model_sees() -> None:
    base = question_of(step()).digest
    shown = {"text": "t", "answer": "a"}
    for changed in (
        step(question="q?"),
        step(labels={"b": "y", "a": "x"}),
        step(labels={"a": "x", "b": "z"}),
        step(examples=[shown]),
    ):
        assert question_of(changed).digest != base
    assert question_of(step(checks=[{"kind": "occurs"}])).digest == base


def test_another_job_or_source_is_another_run() -> None:
    tiers = [{"name": "t", "engine": "instant", "model": "m"}]
    one = Job.model_validate({"name": "j", "steps": [{"name": "s", "kind": "sentiment"}], "tiers": tiers})
    two = Job.model_validate({"name": "j", "steps": [{"name": "s", "kind": "sentiment"}], "tiers": tiers, "key": "id"})
    assert one.digest != two.digest
    assert Job.model_validate_json(one.model_dump_json()).digest == one.digest
    assert run_name("j", "0123456789abcdef") == "j-0123456789"


@pytest.mark.parametrize(("quota", "cpus"), [("max 100000", None), ("150000 100000", 1), ("50000 100000", 1)])
def test_threads_come_from_the_cgroups_quota(tmp_path: Path, quota: str, cpus: int | None) -> None:
    unlimited = granted_cpus(tmp_path)
    (tmp_path / "cpu.max").write_text(quota)
    assert granted_cpus(tmp_path) == (unlimited if cpus is None else cpus)

"""Whatever a stranger writes is data: keys, sources, texts, labels, names that are looked for, fields of logs."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.domain.answers import Label
from pipeline.domain.errors import HeadraceError, RunNotFound
from pipeline.domain.items import RejectedRow, RejectReason
from pipeline.domain.outcomes import Verdict
from pipeline.ports.labels import NewLabel
from pipeline.ports.logs import Wanted
from pipeline.ports.store import JudgedChunk
from tests.contract.store_cases import Rig, attempt, call, item, places_of
from tests.contract.test_log_store import add, event, found

INJECTIONS = (
    "'; DROP TABLE runs; --",
    '"; DELETE FROM items; --',
    "' OR '1'='1",
    "%",
    "_",
    "\\",
    "\\'; SELECT pg_sleep(60); --",
    "$$; DROP TABLE items; $$",
    ":run",
    "%(run)s",
    "%s",
    "{0}",
    "NULL",
    "\\N",
    "\\.",
    "E'\\x00'",
    "a\tb\nc\rd",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\x1b[2J\u202e",
    "{{ 7*7 }}",
    "ÿ" * 300,
    "x" * 10_000,
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
HOSTILE = st.one_of(st.sampled_from(INJECTIONS), _TEXTS)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(HOSTILE, min_size=1, max_size=6, unique=True), source=HOSTILE, label=HOSTILE)
def test_hostile_rows_answers_and_labels_come_back_as_they_were(
    rig: Rig, said: list[str], source: str, label: str
) -> None:
    bystander = rig.filled(["untouched"])
    rig.finish(bystander)
    run = rig.open()
    rows = [item(text, key=text, line=number + 1, source=source) for number, text in enumerate(said)]
    refused = RejectedRow(source=source, line=99, reason=RejectReason.SHORT_ROW, detail=label)
    rig.store.add_rows(run.id, [*rows, refused], at=0, keyed=True)
    rig.store.finish_ingest(run.id)
    for notice in rig.waiting():
        claimed = rig.claim(notice.chunk_id, worker=label[:60])
        assert set(claimed.texts) <= set(said)
        paid = call()
        told = tuple(attempt(place, Verdict(), paid, answer=Label(label)) for place in places_of(claimed))
        judged = JudgedChunk(claimed=claimed, policy_version=1, attempts=told, ledger=(paid,))
        assert rig.store.commit(judged).accepted
    rig.store.settle(run.id)
    results = list(rig.store.results(run.id))
    assert [(one.key, one.source) for one in results] == [(text, source) for text in said]
    assert {one.answers["mood"].value for one in results} == {label}
    assert list(rig.store.rejected(run.id)) == [refused]
    kept = rig.store.keep_labels(run.id, [NewLabel(key=said[0], step_no=0, value="positive")])
    assert (kept.kept, kept.unknown_keys) == (1, ())
    assert rig.store.keep_labels(run.id, [NewLabel(key="no such " + label, step_no=0, value=None)]).kept == 0
    assert [one.key for one in rig.store.results(bystander.id)] == ["k0"], "nothing else was touched"


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_hostile_name_finds_no_run(rig: Rig, name: str) -> None:
    rig.filled(["a"])
    with pytest.raises(RunNotFound):
        rig.store.find_run(name)


def test_a_name_with_a_nul_is_an_error_of_ours(rig: Rig) -> None:
    rig.filled(["a"])
    with pytest.raises(HeadraceError):
        rig.store.find_run("a\0b")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=HOSTILE, field=HOSTILE, log=HOSTILE)
def test_hostile_searches_of_logs_find_what_says_that_and_nothing_else(
    rig: Rig, value: str, field: str, log: str
) -> None:
    log = f"log {rig.runs_made} {log}"
    rig.runs_made += 1
    add(rig, event(1, value), event(2, "other " + value, host=value), log=log)
    assert found(rig, Wanted(value="no " + value), log=log) == []
    assert 1 in found(rig, Wanted(value=value), log=log)
    assert found(rig, Wanted(fields={"host": value}), log=log) == [2] or value == "a"
    assert found(rig, Wanted(fields={field: "none " + value}), log=log) == []
    assert found(rig, Wanted(patterns=[value]), log=log) == []
    assert found(rig, Wanted(), log="no " + log) == []

"""Rows that come from code: what a producer may rely on when it sends a batch twice, or many send at once."""

import threading

from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.runs import RunState
from tests.contract.store_cases import Rig, item, items, make_job, rejected, tier


def test_appended_rows_are_asked_like_those_of_a_file(rig: Rig) -> None:
    run = rig.open(make_job(tiers=[tier("small", chunk_items=2)]))
    added = rig.store.add_new(run.id, items(["a", "b", "a"]))
    assert (added.items, added.duplicates, added.rejected) == (3, 1, 0)
    assert [notice.items for notice in added.notices] == [2]
    rig.store.finish_ingest(run.id)
    assert rig.finish(run) is RunState.DONE


def test_a_batch_that_is_sent_twice_is_stored_once(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_new(run.id, items("abc"))
    again = rig.store.add_new(run.id, items("abc"))
    assert (again.items, again.duplicates, again.rejected, again.notices) == (0, 0, 0, ())
    assert [line.key for line in rig.store.results(run.id)] == ["k0", "k1", "k2"]


def test_of_a_batch_that_is_known_in_part_the_rest_is_stored(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_new(run.id, items("ab"))
    assert rig.store.add_new(run.id, items("abcd")).items == 2
    assert [line.key for line in rig.store.results(run.id)] == ["k0", "k1", "k2", "k3"]


def test_an_item_that_stands_twice_in_a_batch_is_stored_once(rig: Rig) -> None:
    run = rig.open()
    assert rig.store.add_new(run.id, [item("a", key="k"), item("a", key="k")]).items == 1


def test_an_appended_item_with_a_known_key_and_another_text_is_a_conflict(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_new(run.id, [item("a", key="k")])
    rows: list[Item | RejectedRow] = [item("b", key="k", line=7), rejected(8), item("b", key="l")]
    added = rig.store.add_new(run.id, rows)
    assert (added.items, added.duplicates, added.rejected) == (1, 0, 2)
    assert [(row.line, row.reason) for row in added.conflicts] == [(7, RejectReason.KEY_CONFLICT)]
    assert [row.line for row in rig.store.rejected(run.id)] == [7, 8]


def test_conflicts_of_a_file_are_named_too(rig: Rig) -> None:
    run = rig.open()
    rows: list[Item | RejectedRow] = [item("a", key="k"), rejected(2), item("b", key="k", line=3)]
    assert [row.line for row in rig.store.add_rows(run.id, rows, at=0, keyed=True).conflicts] == [3]


def test_an_empty_batch_of_code_changes_nothing(rig: Rig) -> None:
    run = rig.open()
    assert rig.store.add_new(run.id, []).notices == ()
    assert rig.store.run(run.id) == run


def test_many_producers_may_append_at_once(rig: Rig) -> None:
    run = rig.open(make_job(tiers=[tier("small", chunk_items=7)]))
    start = threading.Barrier(4)

    def append(producer: int) -> None:
        start.wait()
        for batch in range(3):
            own = f"{producer}-{batch}"
            rig.store.add_new(run.id, [item("everyone's", key="shared"), item(own, key=own)])

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress = rig.store.progress(run.id)
    assert (progress.items, progress.duplicates, progress.rejected) == (13, 0, 0)
    assert sum(notice.items for notice in rig.waiting()) == 13
    assert rig.store.run(run.id).rows_read == 13

"""Rows in: what every Store promises of runs, rows, copies, rejected rows and the first chunks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pipeline.adapters.postgres import PostgresStore
from pipeline.domain.errors import ConservationError, RunNotFound
from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import Job
from pipeline.domain.runs import RunState
from tests.contract.store_cases import DETAILS, MOOD, TOPIC, Rig, item, items, make_job, price_book, rejected, tier

AWKWARD = (
    "plain",
    "líne one\nline two\r\nthree",
    "tab\tand \\t and \\N and \\",
    "\\N",
    "\\.",
    "'single' \"double\" $dollar$ %s {brace}",
    "emoji 🧵 مرحبا 你好 \u202e",
    "\u0085\u2028 \x01\x1f\x7f",
    " leading and trailing ",
    "NULL",
    "{1,2}",
)


def test_a_new_run_is_ingesting_and_empty(rig: Rig) -> None:
    run, made = rig.store.open_run(rig.new(source="s"))
    assert made
    assert (run.state, run.rows_read, run.ingested, run.reason) == (RunState.INGESTING, 0, False, None)


def test_the_same_job_and_source_is_the_same_run(rig: Rig) -> None:
    first, _ = rig.store.open_run(rig.new(source="s"))
    again, made = rig.store.open_run(rig.new(source="s"))
    assert not made
    assert again == first


def test_a_run_keeps_the_words_it_was_made_with(rig: Rig) -> None:
    """What is measured later changes no run: which steps share a reading stands in these digests."""
    first, _ = rig.store.open_run(replace(rig.new(source="s"), prompt_digests={"small/topic": "then"}))
    again, made = rig.store.open_run(replace(rig.new(source="s"), prompt_digests={"small/topic": "now"}))
    assert not made
    assert first.prompt_digests == again.prompt_digests == {"small/topic": "then"}
    assert rig.store.run(first.id).prompt_digests == first.prompt_digests


def test_another_source_is_another_run(rig: Rig) -> None:
    assert rig.open(source="s").id != rig.open(source="t").id


def test_a_changed_job_is_another_run(rig: Rig) -> None:
    assert rig.open(make_job(MOOD), source="s").id != rig.open(make_job(MOOD, TOPIC), source="s").id


def test_an_opened_run_keeps_the_price_book_it_began_with(rig: Rig) -> None:
    first = rig.open(source="s", book=price_book(usd_per_hour="1"))
    again = rig.open(source="s", book=price_book(usd_per_hour="2"))
    assert again.price_book == first.price_book == price_book(usd_per_hour="1")


def test_a_finished_run_is_found_finished(rig: Rig) -> None:
    run = rig.open(source="s")
    rig.store.finish_ingest(run.id)
    assert rig.open(source="s").state is RunState.DONE


def test_a_job_comes_back_as_it_went_in(rig: Rig) -> None:
    labels = {f"label {number} «{chr(0x4E00 + number)}» \\ \"'": f"means {299 - number}" for number in range(300)}
    job = Job.model_validate(
        {
            "name": "wide",
            "steps": [{"name": "topic", "kind": "classify", "labels": labels}, DETAILS, MOOD],
            "tiers": [tier("small")],
        }
    )
    stored = rig.store.run(rig.open(job).id).job
    assert stored == job
    assert stored.digest == job.digest
    assert stored.steps[0].form == job.steps[0].form


def test_a_run_that_is_not_there_is_not_found(rig: Rig) -> None:
    with pytest.raises(RunNotFound):
        rig.store.run(4711)


def test_rows_become_items_in_the_order_of_the_source(rig: Rig) -> None:
    run = rig.filled(["a", "b", "c"])
    assert [line.key for line in rig.store.results(run.id)] == ["k0", "k1", "k2"]
    assert [line.line for line in rig.store.results(run.id)] == [1, 2, 3]


def test_texts_reach_the_worker_unchanged(rig: Rig) -> None:
    rig.filled(AWKWARD, make_job(tiers=[tier("small", chunk_items=100)]))
    assert rig.claim_first().texts == AWKWARD


def test_keys_and_sources_come_back_unchanged(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, [item("text", key=one, source=one) for one in AWKWARD], at=0, keyed=True)
    lines = list(rig.store.results(run.id))
    assert tuple(line.key for line in lines) == tuple(line.source for line in lines) == AWKWARD


def test_equal_looking_texts_are_different(rig: Rig) -> None:
    run = rig.open()
    assert rig.store.add_rows(run.id, items(["é", "e\u0301", "é "]), at=0, keyed=False).duplicates == 0


def test_a_text_of_a_megabyte_reaches_the_worker(rig: Rig) -> None:
    text = "0123456789é\n" * 90_000
    rig.filled([text])
    assert rig.claim_first().texts == (text,)


def test_added_counts_what_became_of_the_rows(rig: Rig) -> None:
    run = rig.open()
    added = rig.store.add_rows(run.id, [*items(["a", "b", "a"]), rejected()], at=0, keyed=False)
    assert (added.items, added.duplicates, added.rejected) == (3, 1, 1)
    assert rig.store.run(run.id).rows_read == 4


def test_rows_that_are_stored_already_are_not_stored_again(rig: Rig) -> None:
    run = rig.open()
    rows: list[Item | RejectedRow] = [*items(["a", "b"]), rejected(), *items(["c"], first=3)]
    rig.store.add_rows(run.id, rows, at=0, keyed=True)
    again = rig.store.add_rows(run.id, rows, at=0, keyed=True)
    assert (again.items, again.duplicates, again.rejected, again.notices) == (0, 0, 0, ())
    assert len(list(rig.store.results(run.id))) == 3
    assert rig.store.run(run.id).rows_read == 4


def test_a_batch_that_is_stored_in_part_adds_only_the_rest(rig: Rig) -> None:
    run = rig.open()
    rows = items(["a", "b", "c", "d"])
    rig.store.add_rows(run.id, rows[:3], at=0, keyed=False)
    added = rig.store.add_rows(run.id, rows[1:], at=1, keyed=False)
    assert added.items == 1
    assert [line.key for line in rig.store.results(run.id)] == ["k0", "k1", "k2", "k3"]


def test_rows_beyond_those_stored_are_refused(rig: Rig) -> None:
    run = rig.open()
    with pytest.raises(ConservationError):
        rig.store.add_rows(run.id, items(["a"]), at=1, keyed=False)
    assert rig.store.run(run.id).rows_read == 0


def test_an_empty_batch_changes_nothing(rig: Rig) -> None:
    run = rig.open()
    assert rig.store.add_rows(run.id, [], at=0, keyed=False).notices == ()
    assert rig.store.run(run.id) == run


def test_a_text_is_asked_once_in_a_run(rig: Rig) -> None:
    run = rig.open(make_job(tiers=[tier("small", chunk_items=10)]))
    first = rig.store.add_rows(run.id, items(["a", "b", "a"]), at=0, keyed=False)
    second = rig.store.add_rows(run.id, items(["b", "c"], first=3), at=3, keyed=False)
    assert [notice.items for notice in first.notices] == [2]
    assert [notice.items for notice in second.notices] == [1]
    assert second.duplicates == 1
    assert rig.claim(second.notices[0].chunk_id).item_nos == (4,)


def test_a_text_is_asked_again_in_another_run(rig: Rig) -> None:
    rig.filled(["a"])
    run = rig.open(source="other")
    assert rig.store.add_rows(run.id, items(["a"]), at=0, keyed=False).duplicates == 0


def test_a_key_with_another_text_is_rejected(rig: Rig) -> None:
    run = rig.open()
    rows = [item("a", key="k", line=1), item("b", key="k", line=2)]
    added = rig.store.add_rows(run.id, rows, at=0, keyed=True)
    again = rig.store.add_rows(run.id, [item("c", key="k", line=3)], at=2, keyed=True)
    assert (added.items, added.rejected, again.rejected) == (1, 1, 1)
    reasons = [(row.source, row.line, row.reason) for row in rig.store.rejected(run.id)]
    assert reasons == [("tickets.csv", 2, RejectReason.KEY_CONFLICT), ("tickets.csv", 3, RejectReason.KEY_CONFLICT)]


def test_a_key_conflict_says_what_to_do_without_the_text(rig: Rig) -> None:
    run = rig.open()
    rows = [item("my card 4711", key="secret-key", line=1), item("my card 4712", key="secret-key", line=2)]
    rig.store.add_rows(run.id, rows, at=0, keyed=True)
    detail = next(iter(rig.store.rejected(run.id))).detail
    assert detail
    assert "card" not in detail
    assert "secret-key" not in detail


def test_a_key_with_the_same_text_is_a_copy(rig: Rig) -> None:
    run = rig.open()
    added = rig.store.add_rows(run.id, [item("a", key="k"), item("a", key="k", line=2)], at=0, keyed=True)
    assert (added.items, added.duplicates, added.rejected) == (2, 1, 0)


def test_a_text_whose_row_was_rejected_may_come_with_another_key(rig: Rig) -> None:
    run = rig.open()
    rows = [item("a", key="k"), item("b", key="k"), item("b", key="l")]
    added = rig.store.add_rows(run.id, rows, at=0, keyed=True)
    assert (added.items, added.duplicates, added.rejected) == (2, 0, 1)


def test_without_a_key_column_equal_keys_are_no_conflict(rig: Rig) -> None:
    run = rig.open()
    rows = [item("a", key="1", source="a.txt"), item("b", key="1", source="b.txt")]
    assert rig.store.add_rows(run.id, rows, at=0, keyed=False).items == 2


def test_rejected_rows_are_listed_in_the_order_of_the_source(rig: Rig) -> None:
    run = rig.open()
    rows: list[Item | RejectedRow] = [rejected(1), item("a", line=2), rejected(3)]
    rig.store.add_rows(run.id, rows, at=0, keyed=False)
    rig.store.add_rows(run.id, [rejected(4)], at=3, keyed=False)
    assert list(rig.store.rejected(run.id)) == [rejected(1), rejected(3), rejected(4)]


def test_new_items_are_cut_into_chunks_of_the_first_tier(rig: Rig) -> None:
    job = make_job(tiers=[tier("small", chunk_items=3), tier("large")])
    run = rig.open(job)
    notices = rig.store.add_rows(run.id, items("abcdefg"), at=0, keyed=False).notices
    assert [notice.items for notice in notices] == [3, 3, 1]
    assert {(notice.tier, notice.pool, notice.run_name) for notice in notices} == {
        ("small", job.tiers[0].pool, run.name)
    }
    assert [rig.claim(notice.chunk_id).item_nos for notice in notices] == [(0, 1, 2), (3, 4, 5), (6,)]


def test_a_chunk_asks_the_steps_whose_ladder_begins_at_its_tier(rig: Rig) -> None:
    job = make_job(MOOD, {**TOPIC, "ladder": ["large"]}, DETAILS)
    run = rig.open(job)
    notices = rig.store.add_rows(run.id, items("ab"), at=0, keyed=False).notices
    claimed = {notice.tier: rig.claim(notice.chunk_id) for notice in notices}
    assert claimed["small"].step_masks == (0b101, 0b101)
    assert claimed["large"].step_masks == (0b010, 0b010)
    assert (claimed["small"].tier_no, claimed["large"].tier_no) == (0, 1)


def test_a_rejected_row_is_not_asked(rig: Rig) -> None:
    run = rig.open()
    assert rig.store.add_rows(run.id, [rejected(1), rejected(2)], at=0, keyed=False).notices == ()


def test_sixty_steps_fit_into_a_chunk(rig: Rig) -> None:
    steps = [{"name": f"step_{number}", "kind": "sentiment"} for number in range(60)]
    run = rig.filled(["a"], make_job(*steps, tiers=[tier("small")]))
    assert rig.claim_first().step_masks == (2**60 - 1,)
    assert len(rig.store.progress(run.id).steps) == 60


def test_rows_are_worked_on_while_the_source_is_read(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("ab"), at=0, keyed=False)
    assert rig.judge_next().accepted
    assert rig.store.settle(run.id)[0] is RunState.INGESTING


def test_a_run_whose_source_is_read_is_running_while_chunks_are_open(rig: Rig) -> None:
    assert rig.filled(["a"]).state is RunState.RUNNING


def test_a_run_without_items_is_done_when_its_source_is_read(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, [rejected()], at=0, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.store.run(run.id).state is RunState.DONE


def test_a_run_whose_items_are_all_answered_is_done_when_its_source_is_read(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("a"), at=0, keyed=False)
    rig.judge_next()
    rig.store.finish_ingest(run.id)
    assert rig.store.run(run.id).state is RunState.DONE


def test_a_finished_run_takes_more_rows_when_it_is_reopened(rig: Rig) -> None:
    run = rig.filled(["a"])
    assert rig.finish(run) is RunState.DONE
    rig.store.reopen_ingest(run.id)
    assert rig.store.run(run.id).state is RunState.INGESTING
    rig.store.add_rows(run.id, items("b", first=1), at=1, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.finish(run) is RunState.DONE
    assert rig.store.progress(run.id).answered == 2


def test_finishing_the_source_of_a_cancelled_run_leaves_it_cancelled(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("a"), at=0, keyed=False)
    rig.store.cancel(run.id)
    rig.store.finish_ingest(run.id)
    assert rig.store.run(run.id).state is RunState.CANCELLED


def test_only_one_may_read_a_source(rig: Rig) -> None:
    run = rig.open()
    with rig.store.ingest_lock(run.id) as first, rig.store.ingest_lock(run.id) as second:
        assert (first, second) == (True, False)
    with rig.store.ingest_lock(run.id) as third:
        assert third


def test_a_lock_that_was_not_got_does_not_free_the_other(rig: Rig) -> None:
    run = rig.open()
    with rig.store.ingest_lock(run.id):
        with rig.store.ingest_lock(run.id) as second:
            assert not second
        with rig.store.ingest_lock(run.id) as third:
            assert not third


def test_two_sources_may_be_read_at_once(rig: Rig) -> None:
    one, two = rig.open(), rig.open()
    with rig.store.ingest_lock(one.id) as first, rig.store.ingest_lock(two.id) as second:
        assert first
        assert second


def test_the_lock_is_free_again_after_an_error(rig: Rig) -> None:
    run = rig.open()
    with pytest.raises(ZeroDivisionError), rig.store.ingest_lock(run.id):
        raise ZeroDivisionError
    with rig.store.ingest_lock(run.id) as got:
        assert got


def test_the_same_batch_from_two_threads_is_stored_once(rig: Rig) -> None:
    run = rig.open()
    rows = items(f"text {number}" for number in range(50))
    start = threading.Barrier(2)

    def add() -> None:
        start.wait()
        rig.store.add_rows(run.id, rows, at=0, keyed=True)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rig.store.progress(run.id).items == 50
    assert sum(notice.items for notice in rig.waiting()) == 50


def test_two_processes_that_open_a_run_at_once_get_the_same(rig: Rig) -> None:
    start = threading.Barrier(4)

    def open_run(source: str) -> tuple[int, bool]:
        start.wait()
        run, made = rig.store.open_run(rig.new(source=source))
        return run.id, made

    with ThreadPoolExecutor(4) as threads:
        for number in range(10):
            got = list(threads.map(open_run, [f"source {number}"] * 4))
            assert len({run_id for run_id, _ in got}) == 1
            assert sorted(made for _, made in got) == [False, False, False, True]


def test_copies_and_conflicts_are_found_across_the_batches_of_one_reading(rig: Rig) -> None:
    run = rig.open()
    with rig.store.ingest_lock(run.id) as held:
        assert held
        rig.store.add_rows(run.id, [item("one", key="a"), item("two", key="b")], at=0, keyed=True)
        added = rig.store.add_rows(run.id, [item("one", key="c"), item("else", key="a")], at=2, keyed=True)
        again = rig.store.add_rows(run.id, [item("one", key="c"), item("three", key="d")], at=4, keyed=True)
    assert (added.items, added.duplicates, added.rejected) == (1, 1, 1)
    assert added.conflicts[0].reason is RejectReason.KEY_CONFLICT
    assert (again.items, again.duplicates, again.rejected) == (2, 1, 0)


def test_copies_are_found_by_a_reading_that_goes_on_where_another_stopped(rig: Rig) -> None:
    run = rig.open()
    for at, text in enumerate(("one", "two", "one", "two")):
        with rig.store.ingest_lock(run.id):
            added = rig.store.add_rows(run.id, [item(text, key=str(at))], at=at, keyed=True)
        assert added.duplicates == (at > 1)


def test_rows_that_another_process_added_meanwhile_are_known(emptied_database_url: str) -> None:
    ours, theirs = PostgresStore(emptied_database_url), PostgresStore(emptied_database_url)
    try:
        run = Rig(store=ours).open()
        with ours.ingest_lock(run.id):
            ours.add_rows(run.id, [item("one", key="a")], at=0, keyed=True)
            theirs.add_rows(run.id, [item("two", key="b")], at=1, keyed=True)
            added = ours.add_rows(run.id, [item("two", key="c"), item("else", key="b")], at=2, keyed=True)
        assert (added.duplicates, added.rejected) == (1, 1)
    finally:
        ours.close()
        theirs.close()

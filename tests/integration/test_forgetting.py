"""Forgetting on a real Postgres: nothing of a row is left in any table, and those who work at it meanwhile get by."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline.adapters.embedded import open_home, start_services
from pipeline.adapters.postgres import PostgresStore, migrate
from pipeline.domain.runs import RunState
from pipeline.ports.labels import NewLabel
from pipeline.ports.store import Committed
from tests.contract.store_cases import DETAILS, MOOD, Rig, escalate, item, judge, make_job, tier

RARE = "sesquipedalian"
KEY = "customer-4711"


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("forgetting") / "home"
    with start_services(open_home(home)) as services:
        migrate(services.database_url)
        yield services.database_url


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    store = PostgresStore(database_url)
    yield Rig(store=store)
    store.close()


@pytest.fixture
def direct(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url.replace("postgresql+psycopg:", "postgresql:")) as connection:
        yield connection


def everything(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Return all rows of all tables, as text."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return "\n".join(
        str(row)
        for (name,) in names
        for row in connection.execute(
            sql.SQL("SELECT t.*::text FROM {} AS t").format(sql.Identifier(str(name)))
        ).fetchall()
    )


def until_blocked(rig: Rig, count: int) -> None:
    """Wait until so many statements wait for a lock."""
    store = rig.store
    assert isinstance(store, PostgresStore)
    with store._database.autocommit() as connection:
        for _ in range(1000):
            waiting = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).scalar_one()
            if waiting >= count:
                return
            time.sleep(0.01)
    pytest.fail("nobody waits")


def started(do: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Begin something in a thread; its result, or error, is put into the list."""
    got: list[object] = []

    def run() -> None:
        try:
            got.append(do())
        except Exception as error:  # noqa: BLE001 — the test looks at it
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def test_no_table_holds_a_word_of_it_any_more(rig: Rig, direct: psycopg.Connection[tuple[object, ...]]) -> None:
    run = rig.open(make_job(MOOD, DETAILS))
    rows = [item(f"{RARE} {number}", key=KEY, source=f"{RARE}.csv") for number in range(3)]
    rig.store.add_rows(run.id, [*rows, item("other", key="z")], at=0, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.finish(run, escalate) is RunState.DONE
    rig.store.keep_labels(run.id, [NewLabel(key=KEY, step_no=1, value={"order": RARE})])
    assert RARE in everything(direct)
    direct.rollback()
    assert rig.store.forget(run.id, KEY).items == 3
    rig.store.vacuum()
    left = everything(direct)
    assert RARE not in left
    assert KEY not in left
    assert "other" in left


def test_a_commit_in_flight_is_waited_for_and_what_it_brought_is_erased(
    rig: Rig, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    run = rig.filled("abc", make_job(tiers=(tier("small"), tier("large", chunk_items=1))))
    claimed = rig.claim_first()
    # Somebody holds the chunk as a commit does; the commit queues behind it, and forgetting behind the commit.
    direct.execute("SELECT FROM chunks WHERE id = %s FOR UPDATE", (claimed.chunk_id,))
    committing, committed = started(lambda: rig.store.commit(judge(claimed, escalate)))
    until_blocked(rig, 1)
    forgetting, forgotten = started(lambda: rig.store.forget(run.id, "k1"))
    until_blocked(rig, 2)
    direct.rollback()
    committing.join()
    forgetting.join()
    assert isinstance(committed[0], Committed), committed
    assert not isinstance(forgotten[0], Exception), forgotten
    asked = [rig.claim(notice.chunk_id) for notice in rig.waiting() if notice.run_name == run.name]
    assert [(one.item_nos, one.texts) for one in asked] == [((0,), ("a",)), ((2,), ("c",))]
    for one in asked:
        assert rig.store.commit(judge(one)).accepted
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert [line.key for line in rig.store.results(run.id)] == ["k0", "k2"]


def test_a_cancel_and_a_commit_at_once_do_not_block_each_other(
    rig: Rig, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    run = rig.filled("ab")
    claimed = rig.claim_first()
    direct.execute("SELECT FROM chunks WHERE id = %s FOR UPDATE", (claimed.chunk_id,))
    committing, committed = started(lambda: rig.store.commit(judge(claimed)))
    until_blocked(rig, 1)
    cancelling, cancelled = started(lambda: rig.store.cancel(run.id))
    until_blocked(rig, 2)
    direct.rollback()
    committing.join()
    cancelling.join()
    assert (committed, cancelled) == ([Committed(accepted=True)], [0])


def test_a_key_is_found_by_its_index(rig: Rig, direct: psycopg.Connection[tuple[object, ...]]) -> None:
    rig.filled("ab")
    direct.execute("SET enable_seqscan = off")
    plan = direct.execute(
        "EXPLAIN SELECT run_id, item_no, copy_of FROM items WHERE key_fingerprint = %s AND key = 'k0'", (b"0" * 16,)
    ).fetchall()
    assert "ix_items_key" in str(plan)


def test_keys_are_forgotten_while_many_work_and_none_comes_back(rig: Rig, database_url: str) -> None:
    small_chunks = (tier("small", chunk_items=4), tier("large", chunk_items=3))
    run = rig.filled((str(number) for number in range(240)), make_job(MOOD, DETAILS, tiers=small_chunks))
    gone = [f"k{number}" for number in range(0, 240, 5)]
    ended = threading.Event()

    def work() -> int:
        own, done = Rig(store=PostgresStore(database_url)), 0
        while not ended.is_set():
            for notice in own.waiting():
                claimed = own.store.claim(notice.chunk_id, worker="w", lease_s=60)
                if claimed is not None and notice.run_name == run.name:
                    done += own.store.commit(judge(claimed, escalate)).accepted
            if own.store.settle(run.id)[0] is RunState.DONE:
                ended.set()
        own.store.close()
        return done

    workers = [started(work) for _ in range(3)]
    found = [rig.store.forget(run.id, key) for key in gone]
    for thread, _ in workers:
        thread.join(120)
    assert all(isinstance(got[0], int) for _, got in workers), [got for _, got in workers]
    assert sum(one.items for one in found) == len(gone)
    now = rig.store.progress(run.id)
    assert (now.state, now.items, now.forgotten, now.answered) == (RunState.DONE, 192, 48, 384)
    assert not set(gone) & {line.key for line in rig.store.results(run.id)}

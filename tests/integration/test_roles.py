"""The database's roles, on a real Postgres: each does its work, and is refused everybody else's."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from pipeline.adapters.embedded import open_home, start_services
from pipeline.adapters.postgres import PostgresStore, grant_roles, migrate
from pipeline.adapters.postgres.roles import PRODUCER, READER, RIGHTS, ROLES, TABLES, WORKER
from pipeline.domain.budget import Budget
from pipeline.domain.errors import ConfigError
from pipeline.domain.pacing import Limits
from pipeline.domain.runs import RunState
from tests.contract.store_cases import PATIENT, Rig, escalate, items, judge, make_job, rejected, tier
from tests.contract.test_certify_store import PLAN, answer_all, at_rest, certificate

WORD = "a-word-of-the-tests"  # of login roles that end with their server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("roles") / "home"
    with start_services(open_home(home)) as services:
        migrate(services.database_url)
        grant_roles(services.database_url)
        grant_roles(services.database_url)
        with psycopg.connect(plain(services.database_url), autocommit=True) as connection:
            for role in ROLES:
                login = sql.Identifier(f"{role}_login")
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(login, sql.Literal(WORD)))
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), login))
        yield services.database_url


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg:", "postgresql:")


@pytest.fixture
def rig_of(owner: str) -> Iterator[Callable[[str | None], Rig]]:
    """Role → a store as somebody in it has; None: the owner's."""
    opened: list[PostgresStore] = []

    def rig(role: str | None) -> Rig:
        url = sa.make_url(owner)
        if role is not None:
            url = url.set(username=f"{role}_login", password=WORD)
        opened.append(PostgresStore(url.render_as_string(hide_password=False)))
        return Rig(store=opened[-1])

    yield rig
    for store in opened:
        store.close()


@pytest.fixture
def refused(owner: str) -> Callable[[str, str], bool]:
    """Whether somebody in a role is refused a statement."""

    def ask(role: str, statement: str) -> bool:
        url = sa.make_url(plain(owner)).set(username=f"{role}_login", password=WORD)
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                return True
            finally:
                connection.rollback()
            return False

    return ask


def test_a_producer_puts_rows_in_and_a_worker_answers_them(rig_of: Callable[[str | None], Rig]) -> None:
    producer, worker, reader = rig_of(PRODUCER), rig_of(WORKER), rig_of(READER)
    run = producer.open(make_job(tiers=(tier("small", chunk_items=2), tier("large"))), source="roles")
    producer.store.set_budget(run.id, Budget(usd=100, on_exhausted="hold"))
    with producer.store.ingest_lock(run.id) as held:
        assert held
        added = producer.store.add_rows(run.id, [*items("aabcd"), rejected()], at=0, keyed=True)
    producer.store.add_new(run.id, items("e", first=7))
    producer.store.mark_published([notice.chunk_id for notice in added.notices])
    producer.store.finish_ingest(run.id)
    assert producer.store.spending(run.id) is not None
    chunk = worker.store.published_pending(pool=run.job.tiers[0].pool, older_than_s=0)[0].chunk_id
    claimed = worker.claim(chunk)
    assert worker.store.renew(claimed, lease_s=60)
    worker.store.reserve(claimed, [])
    worker.store.pause_tier(run.id, 1, reason="down", first_s=0.0, longest_s=0.0)
    assert not worker.store.give_back(claimed)
    claimed = worker.claim(chunk)
    worker.store.give_back(claimed, dead_after=1, failure="it broke")
    for notice in worker.store.published_pending(pool=run.job.tiers[0].pool, older_than_s=0):
        assert worker.store.commit(judge(worker.claim(notice.chunk_id), escalate)).accepted
    assert worker.finish(run, escalate) is RunState.DONE
    assert worker.store.erase_texts(ended_for_s=0.0).texts == 5
    assert reader.store.find_run(run.name).state is RunState.DONE
    assert reader.store.list_runs()
    now = reader.store.progress(run.id)
    assert (now.items, now.answered) == (6, 6)
    assert len(list(reader.store.results(run.id))) == 6
    assert len(list(reader.store.rejected(run.id))) == 1
    assert reader.store.costs(run.id, by=["step", "tier"]).rows
    assert reader.store.concluded(run.id) == []
    assert reader.store.dead(run.id) == []


def test_a_worker_certifies(rig_of: Callable[[str | None], Rig]) -> None:
    owner, worker = rig_of(None), rig_of(WORKER)
    run, window = at_rest(owner)
    assert worker.store.draw(run.id, window, PLAN, [1, 2]) is not None
    answer_all(worker)
    (window,) = worker.store.windows(run.id)
    worker.store.progress(run.id)
    assert worker.store.conclude(run.id, window, certificate(0.5), hold=False, audited=[0]) is not None
    answer_all(worker)
    assert worker.store.settle(run.id)[0] is RunState.DONE
    worker.store.take_back(dead_after=PATIENT)
    worker.store.due(ahead=1)
    assert worker.store.take_turn("model", Limits(requests_per_minute=1), 10) == 0


@pytest.mark.parametrize(
    ("role", "statements"),
    [
        (
            READER,
            [
                "UPDATE runs SET state = 'done'",
                "DELETE FROM items",
                "INSERT INTO labels (run_id, item_no, step_no, said) VALUES (1, 1, 1, '{}')",
                "DROP TABLE runs",
                "CREATE TABLE mine (id int)",
            ],
        ),
        (
            WORKER,
            [
                "DROP TABLE runs",
                "TRUNCATE items",
                "INSERT INTO runs (name, job_name) VALUES ('a', 'b')",
                "INSERT INTO items (run_id) VALUES (1)",
                "DELETE FROM attempts",
                "UPDATE ledger SET seconds = 0",
                "UPDATE items SET key = 'k'",
                "UPDATE attempts SET answer = NULL",
                "SELECT * FROM rejected_rows",
                "SELECT * FROM log_events",
                "UPDATE labels SET said = '{}'",
            ],
        ),
        (
            PRODUCER,
            [
                "UPDATE ledger SET seconds = 0",
                "INSERT INTO ledger (run_id) VALUES (1)",
                "SELECT text FROM items",
                "SELECT answer FROM attempts",
                "SELECT * FROM labels",
                "DELETE FROM items",
                "UPDATE chunks SET state = 'done'",
                "INSERT INTO verdicts (run_id) VALUES (1)",
                "DROP TABLE items",
            ],
        ),
    ],
)
def test_each_is_refused_what_is_not_its_work(
    role: str, statements: list[str], refused: Callable[[str, str], bool]
) -> None:
    assert [one for one in statements if not refused(role, one)] == []


def test_who_is_refused_is_told_in_our_words(rig_of: Callable[[str | None], Rig]) -> None:
    run = rig_of(None).filled("ab")
    with pytest.raises(ConfigError, match="may not do this"):
        rig_of(READER).store.cancel(run.id)
    with pytest.raises(ConfigError, match="may not do this"):
        rig_of(WORKER).store.forget(run.id, "k0")


def test_a_role_that_was_given_more_is_what_it_is_again(owner: str, refused: Callable[[str, str], bool]) -> None:
    with psycopg.connect(plain(owner), autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT UPDATE, DELETE ON items TO {}").format(sql.Identifier(READER)))
    grant_roles(owner)
    assert refused(READER, "DELETE FROM items")


def test_who_may_not_make_roles_is_told_so(owner: str) -> None:
    url = sa.make_url(owner).set(username=f"{WORKER}_login", password=WORD)
    with pytest.raises(ConfigError, match="may not do this"):
        grant_roles(url.render_as_string(hide_password=False))


def test_rights_name_tables_that_there_are(owner: str) -> None:
    engine = sa.create_engine(owner)
    with engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    named: Mapping[str, set[str]] = {
        role: {place.partition(" ")[0] for places in rights.values() for place in places}
        for role, rights in RIGHTS.items()
    }
    assert set(TABLES) <= there
    assert all(tables <= set(TABLES) for tables in named.values())

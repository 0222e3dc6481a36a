"""On 50,000 jobs of people, 10,000 of one of them, no query reads a whole table, nor sorts in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from act.client import db
from act.client.model import Filter, JobRow
from act.client.states import CLIENTJOB, SHOWN
from act.db.engine import Database
from tests.conftest import BACKENDS
from tests.integration.plans import (
    assert_counts_in_an_index,
    assert_good_plans,
    filled,
    insert,
    numbers,
    statements_of,
)
from tests.kit import Rows

JOBS = 50_000
ANN = 2  # 10,000 jobs are hers


def fill(database: Database) -> None:
    """Jobs in all states of a few people, most of them done; each with a file, and an attempt once it was submitted."""
    rows = Rows(database)
    rows.place("ce1")
    rows.proxy()
    (template,) = rows.attempts(1, [1], 1)
    series = numbers(database, 1, JOBS)
    words = " ".join(f"WHEN n % 1000 = {n} THEN '{word}'" for n, word in enumerate(SHOWN))
    state = "CASE n % 500 WHEN 1 THEN 'begun' WHEN 2 THEN 'sent' WHEN 3 THEN 'toclean' WHEN 4 THEN 'failed'"
    state += " WHEN 5 THEN 'cancelled' WHEN 6 THEN 'active' ELSE 'finished' END"
    statements = [
        "INSERT INTO users (id, issuer, subject, digest, created, seen)"
        f" SELECT n, 'i', 's', n, 0, 0 FROM {series} WHERE n <= 5",
        f"INSERT INTO jobspecs (id, spec) SELECT {template} + n, '{{}}' FROM {series}",
        "INSERT INTO cejobs (id, app, appjob_id, flavour, share, priority, proxy_id, jobspec_id, state, since, version,"
        f" seen_version, created, ce_id, cequeue_id, ce_job_id) SELECT {template} + n, 'client', n, 'fake', 'A', 0, 1,"
        f" {template} + n, CASE WHEN n % 7 = 0 THEN 'running' ELSE 'archived' END, n, 2, CASE WHEN n % 2000 = 0 THEN 1"
        f" ELSE 2 END, 0, 1, 1, CAST(n AS CHAR(20)) FROM {series}",
        "INSERT INTO clientjobs (id, user_id, proxy_id, state, since, shown, jobname, ces, flavour, description, spec,"
        f" cejob_id, batch_key, batch_index, created, modified, files, bytes) SELECT n, n % 5 + 1, 1, {state}, n, CASE"
        f" {words} ELSE 'done' END, n, '[\"one\"]', 'fake', '', '', {template} + n, 'k', n, 0, 0, 1, 1 FROM {series}",
        "INSERT INTO events (kind, job_id, source, event, target, at, who, why)"
        f" SELECT 'cejob', {template} + n, 'a', 'b', 'c', 0, 'x', '' FROM {series}",
        f"INSERT INTO clientfiles (clientjob_id, name, stored, size, sha256) SELECT n, 'f', 's', 1, '' FROM {series}",
    ]
    insert(database, statements)


@pytest.fixture(scope="module", params=BACKENDS)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with filled(request, tmp_path_factory.mktemp("people"), fill) as database:
        yield database


def listed(wanted: Filter, after: int = 0, limit: int = 1000) -> Callable[[Connection], Any]:
    return lambda c: db.listing(c, ANN, wanted, after=after, limit=limit)


def removed(connection: Connection) -> None:
    rows = list(db.get(connection, [r.id for r in db.removable(connection, limit=50)]).values())
    assert rows
    db.lock_usage(connection, ANN)
    db.drop(connection, rows)


QUERIES: dict[str, Callable[[Connection], Any]] = {
    "list: all": listed(Filter(), limit=10_000),
    "list: later": listed(Filter(), after=JOBS // 2),
    "list: by name": listed(Filter(name="77")),
    "list: by state": listed(Filter(states=("running", "done")), after=JOBS // 2),
    "list: rare": listed(Filter(states=("holding",))),
    "list: begun": listed(Filter(states=("begun",))),
    "list: by id": listed(Filter(ids=tuple(range(1, 900)))),
    "wish: ids": lambda c: db.find_ids(c, ANN, Filter(states=("failed", "running")), after=0, limit=500),
    "wish: rows": lambda c: db.lock(c, ANN, range(1, 500)),
    "submission: known": lambda c: db.batch(c, ANN, "no such key"),
    "confirmation: rows": lambda c: db.rows_of(c, ANN, range(1, 500), whole=True),
    "confirmation: files": lambda c: db.files_of(c, range(1, 500)),
    "upload: files": lambda c: db.stored_of(c, 7),
    "client2ce: ready": lambda c: db.ready_to_run(c, "fake", limit=100),
    "clientstatus: jobs": lambda c: db.get(c, range(1, 500), lock=True),
    "clientstatus: removal": removed,
    "clientstatus: attempts": lambda c: db.attempts_of(c, range(1, 500)),
    "sweep: jobs": lambda c: (db.highest_job(c), db.gone_jobs(c, range(1000))),
    "sweep: attempts": lambda c: db.gone_attempts(c, range(1000)),
    "live: watching": lambda c: db.watching(c, ANN),
}
QUERIES |= {
    f"clientstatus: overdue {s}": lambda c, s=s: db.overdue(c, s, 60, limit=500)  # type: ignore[misc]
    for s in sorted(set(CLIENTJOB.states) - CLIENTJOB.final)
}


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_reads_or_sorts_a_whole_table(full: Database, query: str) -> None:
    assert_good_plans(full, QUERIES[query])


def test_counting_reads_an_index_and_no_job(full: Database) -> None:
    assert_counts_in_an_index(full, lambda c: (db.counts(c), db.totals(c)))


def test_a_page_of_ten_thousand_jobs_is_one_query(full: Database) -> None:
    found: list[JobRow] = []
    work = listed(Filter(), limit=10_000)
    assert len(statements_of(full, lambda c: found.extend(work(c)))) == 1
    assert len(found) == 10_000

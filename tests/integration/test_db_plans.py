"""On 100,000 jobs no daemon's query reads a whole table, nor sorts in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from act.daemons.status import AWAITED, FOLLOWED
from act.db import (
    archive,
    causes,
    cejobs,
    claims,
    credentials,
    ends,
    figures,
    history,
    lanes,
    meta,
    orders,
    survey,
)
from act.db.claims import Limits
from act.db.engine import Database
from act.db.moves import Move
from act.db.orders import Kind, Order, What
from act.figures import CE, Figure
from act.states import CEJOB, DAY, IN_DOUBT, STAND_STILL_AT_MOST_S, Event
from act_atlas import db as panda
from act_atlas.states import ON_STORAGE, PANDAJOB
from tests.conftest import BACKENDS
from tests.integration.plans import assert_counts_in_an_index, assert_good_plans, filled, insert, numbers
from tests.kit import Rows

JOBS = 100_000
PLACES = 20
LANE = (1, 1)
ORDERED = "https://ce0.example.org/arex"  # the CE of that lane
# Of a hundred attempts: so many in a state that somebody works on, the others run.
STATES = {"tosubmit": 8, "submitted": 15, "finishing": 1, "archived": 20, "done": 1, "cancelling": 1}
RARE = ("submitting", "created", "holding", "finished", "failed", "tofetch", "tocancel", "torerun", "toclean",
        "donefailed", "cancelled", "lost", "quarantined")  # fmt: skip


def fill(database: Database) -> None:
    """Jobs in all states over all CE queues: most of them quiet, a few where daemons look."""
    rows = Rows(database)
    places = [rows.place(f"ce{n}") for n in range(PLACES)]
    rows.proxy()
    (template,) = rows.attempts(1, places[:1], 1)
    series = numbers(database, 2, JOBS)
    cases, low = "", 0
    for state, share in STATES.items():
        cases += f" WHEN n % 100 < {low + share} THEN '{state}'"
        low += share
    for number, state in enumerate(RARE):
        cases = f" WHEN n % 5000 = {number + 50} THEN '{state}'{cases}"
    state = f"CASE{cases} ELSE 'running' END"
    placed = "CASE WHEN n % 100 < 8 THEN NULL ELSE n % 20 + 1 END"
    statements = [
        f"INSERT INTO jobspecs (id, spec) SELECT {template} + n, '{{}}' FROM {series}",
        "INSERT INTO cejobs (id, app, appjob_id, flavour, share, priority, proxy_id, jobspec_id, state, since, version,"
        f" seen_version, created, ce_id, cequeue_id, ce_job_id) SELECT {template} + n, 'panda', n, 'fake', 'A', 0, 1,"
        f" {template} + n, {state}, n, 2, CASE WHEN n % 2000 = 0 THEN 1 ELSE 2 END, 0, {placed}, {placed},"
        f" CAST(n AS CHAR(20)) FROM {series}",
        "INSERT INTO candidates (cejob_id, cequeue_id, open, proxy_id, share, `rank`)"
        f" SELECT {template} + n, n % 20 + 1, CASE WHEN n % 100 < 8 THEN 1 ELSE 0 END, 1, 'A', n % 7 FROM {series}",
        "INSERT INTO pandajobs (id, source, pandaid, queue, label, state, since, created, due, attempt_nr, priority,"
        " cores, job, metadata) SELECT n, 'panda', n, 'Q', '', CASE WHEN n % 100 < 5 THEN 'sent' WHEN n % 100 < 20"
        " THEN 'starting' WHEN n % 100 < 30 THEN 'done' WHEN n % 2000 = 31 THEN 'failed' ELSE 'running' END, n, 0,"
        f" CASE WHEN n % 100 < 20 THEN n * 1e5 ELSE NULL END, 1, 0, 1, '', '{{}}' FROM {series}",
        "INSERT INTO outputs (pandajob_id, lfn, url, host, adler32, md5, wish, due) SELECT n, 'f', 'u', HOST,"
        " '', '', CASE WHEN n % 100 < 2 THEN 'check' WHEN n % 100 = 2 THEN 'remove' ELSE NULL END, n"
        f" FROM {series}".replace("HOST", "'se' || n % 5" if database.embedded else "CONCAT('se', n % 5)"),
        f"INSERT INTO series (id, scope, name) SELECT n, 'ce', n FROM {series} WHERE n <= 101",
        "INSERT INTO samples (series_id, step_s, at, figures) SELECT n % 100 + 2, CASE n % 3 WHEN 0 THEN 60 WHEN 1 THEN"
        " 3600 ELSE 86400 END, CASE n % 3 WHEN 0 THEN n * 90 WHEN 1 THEN n * 60 ELSE n * 86400 END, '{}'"
        f" FROM {series}",
        "INSERT INTO events (kind, job_id, source, event, target, at, who, why)"
        f" SELECT 'cejob', {template} + n, 'a', 'b', 'c', 0, 'x', '' FROM {series}",
    ]
    insert(database, statements)


@pytest.fixture(scope="module", params=BACKENDS)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with filled(request, tmp_path_factory.mktemp("full"), fill) as database:
        yield database


def take(connection: Connection) -> None:
    claims.take(
        connection, *LANE, limit=100, holder="me", lease_s=60, who="submitter", db_id="x", delegation_id=None,
        default=Limits(10**6, 10**6),
    )  # fmt: skip


def take_one(connection: Connection) -> None:
    probe = Order(kind=Kind.CEQUEUE, name=ORDERED, queue="default", what=What.PROBE, why="it fails")
    orders.give(connection, probe, "guard")
    take(connection)


def moved(connection: Connection) -> None:
    rows = cejobs.at_ce(connection, lane=LANE, states=("running",), after=0, limit=300)
    ended = [Move(r.id, "running", Event.FINISHED, "", {"exit_code": r.id % 9}) for r in rows]
    cejobs.move(connection, ended, who="status")
    cejobs.wish(connection, [r.id for r in rows], Event.CANCEL, who="application", why="")


def acknowledged(connection: Connection) -> None:
    rows = cejobs.unseen(connection, "panda", limit=500, lock=True)
    assert rows
    cejobs.acknowledge(connection, {r.id: r.version for r in rows})


def archived(connection: Connection) -> None:
    rows = panda.to_archive(connection, after_s=1, limit=200)
    panda.archive_rows(connection, rows)


def overdue(state: str) -> Callable[[Connection], Any]:
    return lambda c: cejobs.overdue(c, "fake", state, 60, silent_s=600, at_most_s=STAND_STILL_AT_MOST_S, limit=500)


QUERIES: dict[str, Callable[[Connection], Any]] = {
    "submitter: lanes": lambda c: claims.lanes(c, "fake"),
    "submitter: claim": take,
    "submitter: claim by order": take_one,
    "any page: orders": orders.history,
    "canceller: lanes": lambda c: cejobs.lanes(c, "fake", ("tocancel", "torerun")),
    "fetcher: lanes": lambda c: cejobs.lanes(c, "fake", ("finished", "tofetch")),
    "cleaner: lanes": lambda c: cejobs.lanes(c, "fake", ("toclean",)),
    "cleaner: claim": lambda c: cejobs.claim(c, *LANE, "toclean", holder="me", lease_s=60, limit=500),
    "cleaner: claim without CE": lambda c: cejobs.claim_placeless(
        c, "fake", "toclean", holder="me", lease_s=60, limit=500
    ),
    "status: lanes": lambda c: lanes.due(c, "fake", "polled", 30),
    "status: rows": lambda c: cejobs.at_ce(c, lane=LANE, states=FOLLOWED, after=0, limit=5000),
    "status: later rows": lambda c: cejobs.at_ce(c, lane=LANE, states=FOLLOWED, after=JOBS // 2, limit=5000),
    "status: anything": lambda c: cejobs.any_at_ce(c, LANE, AWAITED),
    "reconciler: lanes": lambda c: cejobs.lanes(c, "fake", IN_DOUBT, expired=True),
    "reconciler: in doubt": lambda c: cejobs.in_doubt(c, *LANE, limit=500),
    "reconciler: known ids": lambda c: cejobs.known_ids(c, 1, [str(n) for n in range(900)]),
    "reconciler: highest": meta.highest_cejob,
    "reconciler: delegations": lambda c: credentials.restless(c, "fake", 600),
    "reconciler: removal": lambda c: credentials.start_removal(c, *LANE, 600),
    "any: moves and wishes": moved,
    "any: stories": lambda c: cejobs.history(c, "cejob", list(range(100))),
    "pandastatus: unseen": lambda c: cejobs.unseen(c, "panda", limit=500, lock=False),
    "pandastatus: acknowledge": acknowledged,
    "alive: unheard": lambda c: panda.unheard(c, first_s=1200, next_s=2400, final_s=1200, retry_s=60),
    "heartbeat: due": lambda c: panda.take_due(c, limit=500, again_s=60),
    "panda2ce: claim": lambda c: panda.claim(c, "sent", ["Q"], holder="me", lease_s=60, limit=100),
    "getjob: loads": panda.waiting_and_running,
    "getjob: load": lambda c: panda.waiting_and_running(c, "Q"),
    "pandastatus: staging out": lambda c: panda.staging_out(c, 600, limit=500),
    "validator: hosts": panda.outputs.hosts,
    "validator: files": lambda c: panda.outputs.take(c, "se1", "check", limit=500, lease_s=60),
    "validator: decided": lambda c: [panda.outputs.decided(c, s, limit=200) for s in ON_STORAGE],
    "validator: outputs": lambda c: panda.outputs.of_jobs(c, list(range(200))),
    "validator: findings": lambda c: panda.outputs.findings(c, list(range(50))),
    "validator: removal": lambda c: panda.outputs.want_removed(c, list(range(200))),
    "validator: oblivion": lambda c: panda.outputs.forget(c, list(range(200))),
    "archiver: ended": archived,
    "guard: ends": lambda c: ends.gather(c, after=JOBS - 500, upto=JOBS),
    "guard: keep": lambda c: ends.keep(c, [ends.End(1, 1, 1e6, None, "", True, None)], most=200),
    "guard: latest": lambda c: ends.latest(c, 1, since=0, limit=20),
    "guard: fruitless": lambda c: ends.fruitless(c, after=JOBS - 500, upto=JOBS, least=8),
    "report: last events": lambda c: figures.settled(c, JOBS - 500),
    "report: moves": lambda c: list(figures.moves(c, JOBS - 500, JOBS, 60)),
    "report: oldest": figures.oldest,
    "report: errors": lambda c: causes.gather(c, after=JOBS - 500, upto=JOBS, since=0, until=1),
    "report: a minute": lambda c: history.write(c, 1e7, [Figure(CE, "5", "running", 1)]),
    "report: hours and days": lambda c: history.compact(c, 1e7, history.Keep(1e9, 1e9, 1e9)),
    "report: forgetting": lambda c: history.compact(c, 1e7, history.Keep(1, 1, 1)),
    "any page: figures": lambda c: history.read(c, CE, "5", since=JOBS - 5000, step_s=60),
    "archiver: prune": lambda c: archive.prune(c, 90 * DAY, limit=100),
}
QUERIES |= {f"reconciler: overdue {s}": overdue(s) for s in sorted(set(CEJOB.states) - CEJOB.final)}
QUERIES |= {
    f"archiver: overdue {s}": lambda c, s=s: panda.overdue(c, s, 60, limit=200)  # type: ignore[misc]
    for s in sorted(set(PANDAJOB.states) - PANDAJOB.final)
}


# What is counted each minute; this may read a whole index.
COUNTS: dict[str, Callable[[Connection], Any]] = {
    "attempts": survey.states_by_ce,
    "jobs of PanDA": panda.counts,
}


@pytest.mark.parametrize("query", QUERIES)
def test_no_daemon_reads_or_sorts_a_whole_table(full: Database, query: str) -> None:
    assert_good_plans(full, QUERIES[query])


@pytest.mark.parametrize("count", COUNTS)
def test_counting_reads_an_index_and_no_job(full: Database, count: str) -> None:
    assert_counts_in_an_index(full, COUNTS[count])

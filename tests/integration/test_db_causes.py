"""Errors are counted by their causes: those of jobs, of CEs, of daemons; what people wanted is no error."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from act.db import causes, cejobs, ces, meta
from act.db.causes import Cause
from act.db.engine import NOW, Database
from act.db.moves import Move, note
from act.db.schema import events
from act.states import Event
from tests.kit import Rows

EVER = {"after": 0, "upto": 10**12, "since": 0.0, "until": 1e12}


class Book(Rows):
    """Attempts to which things happen, and their causes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.proxy_id = self.proxy()
        self.here = self.place()

    def happen(self, state: str, event: str, why: str, who: str = "status-fake", n: int = 1) -> list[int]:
        """Something happens to attempts at the CE."""
        ids = self.at_ce(n, state, place=self.here, proxy_id=self.proxy_id)
        moves = [Move(i, state, event, why.format(i)) for i in ids]
        assert set(self.db.run("t", lambda c: cejobs.move(c, moves, who=who))) == set(ids)
        return ids

    def count(self, **span: Any) -> None:
        """Everything, or what happened in a span."""
        groups = self.db.read("t", lambda c: causes.gather(c, **EVER | span))
        self.db.run("t", lambda c: causes.count(c, groups))

    def causes(self, **wanted: Any) -> list[Cause]:
        return self.db.read("t", lambda c: causes.listing(c, **wanted))

    def counts(self, **wanted: Any) -> dict[str, int]:
        return {cause.text: cause.count for cause in self.causes(**wanted)}

    def last_event(self) -> int:
        return int(self.db.read("t", lambda c: c.execute(select(func.max(events.c.id))).scalar_one()))


@pytest.fixture
def book(database: Database) -> Book:
    return Book(database)


def test_failures_of_one_cause_are_one_line_with_the_latest_as_examples(book: Book) -> None:
    ids = book.happen("running", Event.FAILED, "slot {}: out of memory", n=8)
    book.happen("running", Event.FAILED, "out of time")
    book.count()
    memory = next(c for c in book.causes() if "memory" in c.text)
    assert (memory.kind, memory.count, memory.text) == ("cejob", 8, f"slot {ids[-1]}: out of memory")
    assert [e["attempt"] for e in memory.examples] == ids[:-6:-1]
    assert memory.examples[0] == {"app": "app", "job": 8, "attempt": ids[-1], "ce": "https://ce1.example.org/arex",
                                  "at": memory.last}  # fmt: skip
    assert book.counts()["out of time"] == 1


def test_what_is_counted_later_is_added(book: Book) -> None:
    (first,) = book.happen("running", Event.FAILED, "slot {}: out of memory")
    book.count()
    before = book.causes()[0]
    last = book.last_event()
    book.happen("running", Event.FAILED, "slot {}: out of memory", n=3)
    book.count(after=last)
    (cause,) = book.causes()
    assert (cause.id, cause.count, cause.first) == (before.id, 4, before.first)
    assert [e["attempt"] for e in cause.examples][-1] == first
    assert len(cause.examples) == 4


def test_only_events_of_the_span_count(book: Book) -> None:
    book.happen("running", Event.FAILED, "early")
    after = book.last_event()
    book.happen("running", Event.FAILED, "in time")
    upto = book.last_event()
    book.happen("running", Event.FAILED, "late")
    book.count(after=after, upto=upto)
    assert book.counts() == {"in time": 1}


def test_many_pages_of_errors_are_all_counted(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "PAGE", 3)
    book.happen("running", Event.FAILED, "slot {}: out of memory", n=10)
    book.count()
    assert [c.count for c in book.causes()] == [10]


@pytest.mark.parametrize(
    ("state", "event", "who", "bad"),
    [
        ("running", Event.FAILED, "status-fake", True),
        ("running", Event.GONE, "status-fake", True),
        ("running", Event.KILLED, "status-fake", True),
        ("running", Event.CANCEL, "reconciler-fake", True),  # its time is over
        ("running", Event.CANCEL, "application", False),
        ("running", Event.CANCEL, "operator-anna", False),
        ("running", Event.FINISHED, "status-fake", False),
        ("cancelling", Event.KILLED, "status-fake", False),
        ("cancelling", Event.GONE, "status-fake", False),
        ("cancelling", Event.FAILED, "status-fake", True),
        ("submitting", Event.REFUSED, "submitter-fake", True),
        ("submitting", Event.PUTBACK, "submitter-fake", False),  # it goes on by itself
        ("running", Event.STAGEFAILED, "status-fake", True),
        ("running", Event.SILENT, "reconciler-fake", True),
        ("finished", Event.UNFETCHED, "fetcher-fake", True),
    ],
)
def test_errors_are_what_nobody_wanted(book: Book, state: str, event: str, who: str, bad: bool) -> None:
    book.happen(state, event, "this happened", who=who)
    book.count()
    assert [c.text for c in book.causes()] == ["this happened"] * bad


def test_what_goes_wrong_with_jobs_of_applications_is_counted_for_itself(book: Book) -> None:
    def write(connection: Any) -> None:
        note(connection, "somejob", [(5, "sent", "no such queue")], who="maker", event="unfit")
        note(connection, "somejob", [(6, "cancelled", "as wanted")], who="maker", event="killed")
        note(connection, "somejob", [(7, "sent", "again")], who="user-anna", event="resubmit")

    book.db.run("t", write)
    book.count()
    (cause,) = book.causes()
    assert (cause.kind, cause.text, cause.examples[0]["job"]) == ("somejob", "no such queue", 5)


def test_an_error_without_words_is_called_by_what_happened(book: Book) -> None:
    book.happen("running", Event.FAILED, "")
    book.count()
    assert book.counts() == {"failed": 1}


def test_an_attempt_that_is_gone_from_the_tables_is_still_an_example(book: Book) -> None:
    book.db.run("t", lambda c: note(c, "cejob", [(10**6, "running", "it broke")], who="status", event="failed"))
    book.count()
    assert book.causes()[0].examples[0]["attempt"] == 10**6


def test_last_errors_of_ces_and_daemons_count_once(book: Book) -> None:
    ce = book.ce_of(book.here)

    def write(connection: Any) -> None:
        ces.failed(connection, ce, "host1", "Connection refused", threshold=3, open_s=1, max_open_s=1)
        meta.report(connection, "host1", "getjob", 1, error="getjob: no answer in 60 s", error_at=NOW)
        meta.report(connection, "host1", "cric", 1)

    book.db.run("t", write)
    later = book.db.read("t", meta.clock) + 1
    book.count(until=later)
    book.count(since=later)
    (of_ce,) = book.causes(kind="ce")
    (of_daemon,) = book.causes(kind="daemon")
    assert (of_ce.text, of_ce.count, of_ce.examples[0]["ce"]) == (
        "Connection refused",
        1,
        "https://ce1.example.org/arex",
    )
    assert (of_daemon.count, of_daemon.examples[0]["daemon"]) == (1, "getjob")


def test_causes_are_listed_by_their_last_time(book: Book) -> None:
    for word in ("one", "two", "three"):
        book.happen("running", Event.FAILED, word)
    book.count()
    assert list(book.counts()) == ["three", "two", "one"]
    assert list(book.counts(limit=2)) == ["three", "two"]
    assert list(book.counts(since=book.causes()[1].last)) == ["three", "two"]


def test_so_many_different_errors_that_nobody_reads_them_are_one(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "AT_A_TIME", 2)
    words = ("one", "two", "three", "four", "one")
    for word in words:
        book.happen("running", Event.FAILED, word)
    book.count()
    assert book.counts() == {"one": 2, "two": 1, causes.OTHER: 2}


def test_causes_that_do_not_come_again_are_forgotten_and_so_are_the_oldest_of_too_many(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("one", "two", "three", "four"):
        book.happen("running", Event.FAILED, word)
    book.count()
    second = book.causes()[2].last
    book.db.run("t", lambda c: causes.prune(c, second))
    assert list(book.counts()) == ["four", "three", "two"]
    monkeypatch.setattr(causes, "MOST", 1)
    book.db.run("t", lambda c: causes.prune(c, 0))
    assert list(book.counts()) == ["four"]


def test_a_text_of_a_far_side_may_be_anything(book: Book) -> None:
    """Long, with letters of any alphabet, and such that a database could take for something."""
    text = "é🙂'\";-- <script>%s" * 400
    book.happen("running", Event.FAILED, text.replace("{", ""))
    book.count()
    assert book.causes()[0].text == text[: causes.LONGEST]

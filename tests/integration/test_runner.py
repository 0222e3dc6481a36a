"""The runner: lanes are worked on side by side, and none of them can hold up the others or the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from act.config import CEs, SubmitPoint
from act.daemons.base import Daemon, Key, Lane
from act.daemons.runner import RESTART_EXIT, Runner
from act.db import ces, meta
from act.errors import DatabaseBusy, IllegalMove
from tests.fakes import unreachable
from tests.tower import Tower

WITHIN_S = 20.0


class Work(Daemon):
    """Does what a test says, per lane."""

    kind = "toy"
    idle_s = 0.01  # type: ignore[assignment]

    def __init__(self, tower: Tower, lanes: Sequence[Key], do: Callable[[Key], int]) -> None:
        super().__init__(tower._context, "toy-fake")
        self.passes: Counter[Key] = Counter()
        self._lanes, self._do = lanes, do
        self.enough = threading.Event()

    def lanes(self) -> Sequence[Key]:
        return self._lanes

    def work(self, lane: Key) -> int:
        self.passes[lane] += 1
        return self._do(lane)


@pytest.fixture
def lanes(tower: Tower) -> list[Lane]:
    """Lanes of three CEs."""
    return [Lane(tower.ce_of(tower.place(f"ce{n}")), tower.proxy_id) for n in range(3)]


def run(work: Work, until: Callable[[], bool], **limits: float) -> int:
    """Run until it is so; the exit code."""
    late = threading.Event()
    timer = threading.Timer(WITHIN_S, late.set)
    timer.start()
    runner = Runner(work, threads=2, lane_deadline_s=limits.get("lane_deadline_s", 60), max_abandoned=2)
    try:
        return runner.run(lambda: None, lambda: until() or late.is_set())
    finally:
        timer.cancel()
        assert not late.is_set(), "it never came so far"


def test_a_lane_that_hangs_is_given_up_and_the_others_go_on(tower: Tower, lanes: list[Lane]) -> None:
    release = threading.Event()
    hanging = lanes[1]

    def do(lane: Key) -> int:
        if lane == hanging:
            release.wait(WITHIN_S)
        return 0

    work = Work(tower, lanes, do)
    host = tower._context.host

    def known() -> bool:
        rows = tower.db.read("t", ces.all_of)
        told = any(r.last_error and "was given up" in r.last_error for r in rows if r.id == hanging.ce_id)
        return told and all(work.passes[lane] > 20 for lane in lanes if lane != hanging)

    run(work, known, lane_deadline_s=0.3)
    release.set()
    assert work.passes[hanging] == 1
    assert host in {r.host for r in tower.db.read("t", ces.all_of)}


def test_a_process_with_too_many_hanging_lanes_ends_to_be_started_again(tower: Tower, lanes: list[Lane]) -> None:
    release = threading.Event()
    work = Work(tower, lanes, lambda lane: 0 if lane == lanes[0] else int(release.wait(WITHIN_S)))
    assert run(work, lambda: False, lane_deadline_s=0.3) == RESTART_EXIT
    release.set()


def test_a_lane_in_trouble_is_tried_less_and_less_often(tower: Tower, lanes: list[Lane]) -> None:
    def do(lane: Key) -> int:
        if lane == lanes[0]:
            raise unreachable()
        return 0

    work = Work(tower, lanes, do)
    run(work, lambda: work.passes[lanes[1]] >= 60)
    assert work.passes[lanes[0]] < 15


def test_a_database_that_is_away_ends_nothing(tower: Tower, lanes: list[Lane]) -> None:
    def do(lane: Key) -> int:
        raise DatabaseBusy("away")

    work = Work(tower, lanes, do)
    assert run(work, lambda: all(work.passes[lane] >= 3 for lane in lanes)) == 0
    assert tower.db.read("t", ces.all_of)[0].failures is None  # no CE is to blame


def test_a_broken_promise_of_the_code_ends_the_process(tower: Tower, lanes: list[Lane]) -> None:
    def do(lane: Key) -> int:
        raise IllegalMove("no such step")

    with pytest.raises(IllegalMove):
        run(Work(tower, lanes, do), lambda: False)


def test_what_a_daemon_did_is_told_for_people(tower: Tower, lanes: list[Lane]) -> None:
    def reported() -> bool:
        return bool(tower.db.read("t", meta.daemon_rows))

    work = Work(tower, [None], lambda _: 0)
    run(work, reported)
    (row,) = tower.db.read("t", meta.daemon_rows)
    assert (row.name, row.age_s < 60) == ("toy-fake", True)


def test_a_pass_under_way_is_finished_before_the_process_ends(tower: Tower, tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def do(lane: Key) -> int:
        begun.set()
        threading.Event().wait(0.3)
        ended.set()
        return 0

    assert run(Work(tower, [None], do), begun.is_set) == 0
    assert ended.is_set()


def test_lanes_behind_a_submit_point_of_another_host_are_left_to_that_host(tower: Tower) -> None:
    def lane(point: str) -> Lane:
        queue = tower.db.run("t", lambda c: ces.ensure(c, "fake", "https://ce.example.org", "", point))
        return Lane(tower.ce_of(queue), tower.proxy_id)

    context = tower._context
    points = tuple(SubmitPoint(name=n, flavour="fake", host=h) for n, h in (("here", context.host), ("any", ""),
                                                                            ("elsewhere", "other-host")))  # fmt: skip
    context.config = context.config.model_copy(update={"ces": CEs(submit_point=points)})
    lanes = [lane(point) for point in ("", "here", "any", "elsewhere", "gone from the configuration")]
    work = Work(tower, lanes, lambda key: 0)
    Runner(work, threads=2, lane_deadline_s=60).once()
    assert work.passes == Counter(lanes[:3])


def test_where_ces_are_is_read_once_for_all_of_them(tower: Tower) -> None:
    context = tower._context
    lone, *others = (tower.ce_of(tower.place(f"ce{n}")) for n in range(1, 7))

    def cost(*ce_ids: int) -> int:
        before = context.db.statements
        assert context.reached(ce_ids) == set(ce_ids)
        return context.db.statements - before

    assert cost(*others) == cost(lone) > 0
    assert cost(lone, *others) == 0

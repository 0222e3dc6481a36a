"""A CE that kills everything in a moment, beside a good one: most jobs are saved, and it comes back by itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from act.client.model import NewJob, Submitted
from act.daemons.context import Context
from act.db import figures, orders
from act.explain.story import Why
from act.simulation import TestCA
from act.x509 import make_proxy
from act_arc.simulator import ArcSimulator
from tests.integration.client_tower import DAEMONS, PLAIN, ClientTower
from tests.truth import explain, reasons, words

WITHIN_S = 120
JOBS = 40
FAST = """<ca_dir>{ca_dir}</ca_dir><daemons><idle_s>0.05</idle_s></daemons>
<polling><status_s>0.1</status_s></polling><limits><max_waiting>4</max_waiting></limits>
<guard><window>10</window><least>5</least></guard>"""


class RealTower(ClientTower):
    """Its CEs are reached over the network."""

    def context(self) -> Context:
        return Context(self.config)

    def work_until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN_S
        while not done():
            assert time.monotonic() < end
            self.once(*DAEMONS, "guard")


@pytest.fixture
def ces(tmp_path: Path, ca: TestCA) -> Iterator[tuple[ArcSimulator, ArcSimulator]]:
    """A good one and a black hole."""
    with ExitStack() as stack:
        good, hole = (
            stack.enter_context(ArcSimulator(tmp_path / name, ca, queues=("grid",), run="pretend", run_s=0.3))
            for name in ("good", "hole")
        )
        yield good, hole


def ended(ce: ArcSimulator) -> Counter[str]:
    """Exit codes of all jobs that the CE ever had."""
    with ce.engine.lock:
        return Counter(str(job.exit_code) for job in (*ce.engine.jobs.values(), *ce.engine.gone))


def test_a_black_hole_gets_few_jobs_is_told_and_comes_back(
    tmp_path: Path, sqlite_template: Path, new_database: Callable[[str], str], ca: TestCA,
    ces: tuple[ArcSimulator, ArcSimulator], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(figures, "SETTLED_S", 0.1)
    good, hole = ces
    url = new_database("sqlite")
    tower = RealTower(tmp_path / "people", url, ces=(good.url, hole.url), extra=FAST.format(ca_dir=ca.ca_dir))
    certificate, key = (path.read_bytes() for path in ca.user("ann"))
    ann = tower.caller(pem=make_proxy(certificate, key, 3600))

    def submit(n: int) -> list[int]:
        answers = tower.jobs.submit(ann, [NewJob(PLAIN, "json", ces=("one", "two"))] * n)
        return [a.id for a in answers if isinstance(a, Submitted)]

    with monkeypatch.context() as broken:
        broken.setattr(hole._backend, "_ran", lambda job, ran: ran(1, "LRMS error: (1) no space left on device"))
        jobs = submit(JOBS)
        tower.work_until(lambda: bool(tower.db.read("test", orders.in_force)))
        assert "queue grid gets one job at a time (guard: " in words(tower.environment, "--ce", hole.url)
        tower.work_until(lambda: set(tower.shown(ann, *jobs)) <= {"done", "donefailed"})
    died = tower.shown(ann, *jobs).count("donefailed")
    assert 5 <= died <= JOBS // 2
    assert ended(good)["0"] == JOBS - died

    def comes_back() -> bool:
        if set(tower.shown(ann, *more)) == {"done"}:
            more[:] = submit(10)
        return tower.db.read("test", orders.in_force) == []

    more = submit(10)
    tower.work_until(comes_back)
    last = submit(JOBS // 2)
    tower.work_until(lambda: set(tower.shown(ann, *last)) == {"done"})
    assert ended(hole)["0"] > 5
    (ce,) = explain(tower.environment, "--ce", hole.url)
    assert Why.ORDER not in reasons(ce)
    tower.close()

"""The list of fault points, the faults to be tried at them, and how one such case is run.

`POINTS` is kept in points.txt, so that the cases are known without running anything; a test compares it with what is
passed, and ``pytest tests/faults --record-points`` adds what is new.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from act.simulation import TestCA
from tests.faults.courses import COURSES, OUTAGE_S, PATIENCE_S, WEATHERS, Trouble, begin_weather
from tests.faults.processes import DAEMONS, Processes
from tests.faults.scene import LEASE_S, Scene
from tests.faults.verdict import judge

POINTS_FILE = Path(__file__).with_name("points.txt")
ACTIONS = ("die", "stall", "fail")
BACKENDS = ("sqlite", "mariadb")
STALL_S = 1.3 * LEASE_S
WITHIN_S = 120.0
LOST_AFTER_S = STALL_S + 1.0  # whoever stalls may hold an answer still
TROUBLE_UP_S = 60.0  # where the fault has to meet the trouble: in good weather
TROUBLE_S = 8.0
LOSING = ("panda.fetch_jobs:after", "fail")


@dataclass(frozen=True, order=True)
class Point:
    """A fault point of a daemon, and the course in which it is passed."""

    daemon: str
    place: str  # <point>:<before|after>
    course: str

    @property
    def key(self) -> tuple[str, str]:
        return self.daemon, self.place


@dataclass(frozen=True)
class Case:
    """One fault in one kind of weather."""

    point: Point
    action: str
    weather: str
    backend: str

    def __str__(self) -> str:
        return f"{self.point.daemon}/{self.point.place}/{self.action}/{self.weather}/{self.backend}"

    @property
    def may_lose(self) -> bool:
        """An answer of PanDA's can get lost until it is in the store. A kill hits all queues that are being asked."""
        killed = self.point.daemon == "getjob" and self.action == "die"
        return killed or COURSES[self.point.course].loses or (self.point.place, self.action) == LOSING


def points() -> list[Point]:
    """As written down."""
    return [Point(*line.split(" ", 2)) for line in POINTS_FILE.read_text().splitlines()]


def add_points(found: Iterable[Point]) -> None:
    """Write down those that are new."""
    known = {p.key: p for p in [*found, *points()]}
    lines = [f"{p.daemon} {p.place} {p.course}\n" for p in sorted(known.values())]
    POINTS_FILE.write_text("".join(lines))


def all_cases(seed: int) -> list[Case]:
    """Everything, in an order in which also a walk that is broken off has seen a fair sample."""
    cases = list(_cases())
    random.Random(seed).shuffle(cases)
    return cases


def _cases() -> Iterator[Case]:
    for point in points():
        for backend in BACKENDS:
            for weather in WEATHERS:
                for action in ACTIONS:
                    yield Case(point, action, weather, backend)


def some_cases(seed: int, n: int) -> list[Case]:
    """Every point with a kill on SQLite in good weather, and n of the rest."""
    plain = [Case(point, "die", "up", "sqlite") for point in points()]
    rest = [case for case in _cases() if (case.action, case.weather, case.backend) != ("die", "up", "sqlite")]
    return plain + random.Random(seed).sample(rest, min(n, len(rest)))


def record(directory: Path, ca: TestCA, url: str, course: str) -> list[Point]:
    """The points that are passed in a course, all daemons being what the master would start."""
    files = {name: directory / f"passed-{name}" for name in DAEMONS}
    alone = {name: {"ACT_FAULT_RECORD": str(path)} for name, path in files.items()}
    _run(directory, ca, url, course, "up", alone, directory / "never", may_lose=COURSES[course].loses, meets=False)
    return [
        Point(name, place, course)
        for name, path in files.items()
        if path.exists()
        for place in sorted(set(path.read_text().split()))
    ]


def strike(case: Case, directory: Path, ca: TestCA, url: str) -> None:
    """Run a case to its end and judge it."""
    struck = directory / "struck"
    seconds = f":{STALL_S}" if case.action == "stall" else ""
    fault = {"ACT_FAULT": f"{case.point.place}:{case.action}{seconds}", "ACT_FAULT_ONCE": str(struck)}
    # while one stalls past its lease, another of its kind takes over
    names = [case.point.daemon, f"{case.point.daemon}.2"] if case.action == "stall" else [case.point.daemon]
    alone = dict.fromkeys(names, fault)
    meets = case.weather == "up"
    _run(directory, ca, url, case.point.course, case.weather, alone, struck, may_lose=case.may_lose, meets=meets)
    assert struck.exists() or not meets, "the point was not passed"


def _run(
    directory: Path, ca: TestCA, url: str, course_name: str, weather: str, alone: dict[str, dict[str, str]],
    struck: Path, *, may_lose: bool, meets: bool,
) -> None:  # fmt: skip
    """meets: a fault has to come to pass."""
    course = COURSES[course_name]
    call_s = PATIENCE_S if weather == "late" else course.call_s
    with Scene(directory, ca, url, course.pilot_args, course.ce_options, call_s) as scene:
        course.begin(scene)
        begin_weather(scene, weather)
        trouble = Trouble(scene, course, struck, TROUBLE_UP_S if meets else TROUBLE_S)
        processes = Processes(directory, scene.environment, alone)
        processes.start()
        try:
            _drive(scene, processes, trouble, struck if weather == "down" else None)
        finally:
            processes.stop()
        judge(scene, may_lose=may_lose)


def _drive(scene: Scene, processes: Processes, trouble: Trouble, outage_at: Path | None) -> None:
    """Let time pass until all is over."""
    end = time.monotonic() + WITHIN_S
    quiet_since = time.monotonic()
    while not (trouble.over() and scene.settled()):
        assert time.monotonic() < end, f"not over: {scene.left()} {scene.stories()}\n{processes.said()}"
        processes.tend()
        if trouble.over():
            scene.kill_parked()
        if outage_at is not None and outage_at.exists():
            scene.outage(OUTAGE_S)
            outage_at = None
        if any(scene.left().values()) or not scene.lost():
            quiet_since = time.monotonic()
        elif time.monotonic() > quiet_since + LOST_AFTER_S:
            scene.give_up_lost()
        time.sleep(0.1)

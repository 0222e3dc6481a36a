"""The list of fault points, the faults to be tried at them, and how one such case is run.

The list is points.txt, so that the cases are known without running anything. Every run compares it with what is passed,
and ``pytest tests/faults -k on_the_list --record-points`` adds what is new.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from act.simulation import TestCA
from tests.faults import operator
from tests.faults.courses import COURSES, OUTAGE_S, PATIENCE_S, Trouble, begin_weather
from tests.faults.processes import PEOPLE, Processes, members
from tests.faults.scene import LEASE_S, Scene
from tests.faults.verdict import judge

POINTS_FILE = Path(__file__).with_name("points.txt")
ACTIONS = ("die", "stall", "fail")
BACKENDS = ("sqlite", "mariadb")
STALL_S = 1.3 * LEASE_S
WITHIN_S = 400.0  # leases of seconds run out again and again on a machine with other work to do
PER_DAEMON = 6
PER_OPERATOR = 24  # each in another command
MOST_STALLS = 3  # one more, and a daemon takes itself for hung and starts again
LOST_AFTER_S = MOST_STALLS * STALL_S + 1.0  # whoever stalls, again and again, may hold an answer still
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


@dataclass(frozen=True)
class Convoy:
    """Cases that are struck in one run; all but their points is the same."""

    cases: tuple[Case, ...]

    def __str__(self) -> str:
        first = self.cases[0]
        if len(self.cases) == 1:
            return str(first)
        what = f"{first.point.course}/{first.action}/{first.weather}/{first.backend}"
        return f"{what} x {len(self.cases)} from {first.point.daemon}/{first.point.place}"

    @property
    def backend(self) -> str:
        return self.cases[0].backend


def points() -> list[Point]:
    """As written down."""
    return [Point(*line.split(" ", 2)) for line in POINTS_FILE.read_text().splitlines()]


def add_points(found: Iterable[Point]) -> None:
    """Write down those that are new."""
    known = {p.key: p for p in [*found, *points()]}
    lines = [f"{p.daemon} {p.place} {p.course}\n" for p in sorted(known.values())]
    POINTS_FILE.write_text("".join(lines))


def all_convoys(seed: int) -> list[Convoy]:
    """Everything, several points of all daemons in one run; in an order in which also a walk that is broken off has
    seen a fair sample."""
    return _convoys(chain(_cases(), _whole()), random.Random(seed))


def some_convoys(seed: int, n: int) -> list[Convoy]:
    """Every point with a kill on SQLite in good weather, several in one run; and n cases of the rest, each alone."""
    chance = random.Random(seed)
    plain, rest = [], []
    for case in _cases():
        (plain if (case.action, case.weather, case.backend) == ("die", "up", "sqlite") else rest).append(case)
    return _convoys(plain, chance) + [Convoy((case,)) for case in chance.sample(rest, min(n, len(rest)))]


def _cases() -> Iterator[Case]:
    for point in points():
        for backend in BACKENDS:
            for weather in COURSES[point.course].weathers:
                for action in ACTIONS:
                    yield Case(point, action, weather, backend)


def _whole() -> Iterator[Case]:
    """Kills at the points of the calm course, in the courses that are walked as a whole; but where a job may get lost,
    which whoever acts on it would wait for."""
    for course in (name for name, c in COURSES.items() if c.whole):
        for point in points():
            for backend in BACKENDS if point.course == "calm" else ():
                case = Case(replace(point, course=course), "die", "up", backend)
                if not case.may_lose:
                    yield case


def _convoys(cases: Iterable[Case], chance: random.Random) -> list[Convoy]:
    """Cases of the same course, action, weather and backend go together, a few of each daemon; those in which a job may
    get lost by themselves, so that the others are judged strictly."""
    groups: dict[tuple[str, str, str, str, bool], list[Case]] = {}
    for case in cases:
        kind = (case.point.course, case.action, case.weather, case.backend, case.may_lose)
        groups.setdefault(kind, []).append(case)
    convoys = []
    for group in groups.values():
        chance.shuffle(group)
        turns: Counter[str] = Counter()
        together: dict[int, list[Case]] = {}
        for case in group:
            most = MOST_STALLS if case.action == "stall" else PER_DAEMON
            most = PER_OPERATOR if case.point.daemon == operator.NAME else most
            together.setdefault(turns[case.point.daemon] // most, []).append(case)
            turns[case.point.daemon] += 1
        convoys += [Convoy(tuple(cases)) for cases in together.values()]
    chance.shuffle(convoys)
    return convoys


def record(directory: Path, ca: TestCA, url: str, course: str) -> list[Point]:
    """The points that are passed in a course, all daemons being what the master would start."""
    files = {name: directory / f"passed-{name}" for name in members(COURSES[course].plan.operated)}
    alone = {name: {"ACT_FAULT_RECORD": str(path)} for name, path in files.items()}
    _run(directory, ca, url, course, "up", alone, [directory / "never"], may_lose=COURSES[course].loses, meets=False)
    return [
        Point(name, place, course)
        for name, path in files.items()
        if path.exists()
        for place in sorted(set(path.read_text().split()))
    ]


def strike(convoy: Convoy, directory: Path, ca: TestCA, url: Callable[[], str]) -> None:
    """Run a convoy to its end and judge it; whom the fault did not meet goes alone, as it may be by chance that a
    daemon has nothing to do there. url: makes a new database."""
    first = convoy.cases[0]
    meets = first.weather == "up"
    missed = _strike(convoy, directory / "0", ca, url(), meets=meets and len(convoy.cases) == 1)
    if not meets:
        return
    for number, case in enumerate(missed, 1):
        late = _strike(Convoy((case,)), directory / str(number), ca, url(), meets=True)
        assert not late, f"the point was not passed: {case}"


def _strike(convoy: Convoy, directory: Path, ca: TestCA, url: str, *, meets: bool) -> list[Case]:
    """One run; returns the cases whose faults did not strike."""
    alone: dict[str, dict[str, str]] = {}
    for case in convoy.cases:
        once = directory / "struck" / case.point.daemon
        once.mkdir(parents=True, exist_ok=True)
        seconds = f":{STALL_S}" if case.action == "stall" else ""
        # while a daemon stalls past its lease, another of its kind takes over
        twins = case.action == "stall" and case.point.daemon not in PEOPLE
        for name in (case.point.daemon, f"{case.point.daemon}.2")[: 2 if twins else 1]:
            own = alone.setdefault(name, {"ACT_FAULT": "", "ACT_FAULT_ONCE": str(once)})
            own["ACT_FAULT"] += f" {case.point.place}:{case.action}{seconds}"
    marks = {case: directory / "struck" / case.point.daemon / case.point.place for case in convoy.cases}
    first = convoy.cases[0]
    passed = directory / "passed"
    _run(
        directory, ca, url, first.point.course, first.weather, alone, list(marks.values()),
        may_lose=any(case.may_lose for case in convoy.cases), meets=meets, passed=passed,
    )  # fmt: skip
    if new := set(passed.read_text().split()) - {p.place for p in points()}:
        raise AssertionError(f"run 'pytest tests/faults -k on_the_list --record-points' and commit points.txt: {new}")
    return [case for case, mark in marks.items() if not mark.exists()]


def _run(
    directory: Path, ca: TestCA, url: str, course_name: str, weather: str, alone: dict[str, dict[str, str]],
    struck: Sequence[Path], *, may_lose: bool, meets: bool, passed: Path | None = None,
) -> None:  # fmt: skip
    """meets: a fault has to come to pass. passed: where all points go that are passed."""
    course = COURSES[course_name]
    plan = replace(course.plan, call_s=PATIENCE_S) if weather == "late" else course.plan
    with Scene(directory, ca, url, plan) as scene:
        course.begin(scene)
        begin_weather(scene, weather)
        trouble = Trouble(scene, course, struck, TROUBLE_UP_S if meets else TROUBLE_S)
        recording = {} if passed is None else {"ACT_FAULT_RECORD": str(passed)}
        names = members(plan.operated)
        processes = Processes(directory, names, {**scene.environment, **recording}, alone)
        processes.start()
        try:
            _drive(scene, processes, trouble, struck if weather == "down" else ())
        finally:
            processes.stop()
        judge(scene, may_lose=may_lose)


def _drive(scene: Scene, processes: Processes, trouble: Trouble, outage_at: Sequence[Path]) -> None:
    """Let time pass until all is over."""
    end = time.monotonic() + WITHIN_S
    quiet_since = time.monotonic()
    while not (trouble.over() and scene.settled()):
        assert time.monotonic() < end, f"not over: {scene.left()} {scene.stories()}\n{processes.said()}"
        processes.tend()
        scene.end_rests()
        if trouble.over():
            scene.kill_parked()
        if any(mark.exists() for mark in outage_at):
            scene.outage(OUTAGE_S)
            outage_at = ()
        if any(scene.left().values()) or not scene.lost():
            quiet_since = time.monotonic()
        elif time.monotonic() > quiet_since + LOST_AFTER_S:
            scene.give_up_lost()
        time.sleep(0.1)

"""What the far sides do in a run, so that the tower also takes the ways that it takes in trouble only.

Every fault point is walked in the first course in which it is passed. The weather comes on top of a course.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from act.db.schema import delegations, proxies
from act_atlas.db import pandajobs
from act_atlas.panda import PandaServer, connect
from tests.faults import operated
from tests.faults.scene import FINAL, Plan, Scene, Want

SLOW_S = 0.05
OUTAGE_S = 1.0
PATIENCE_S = 1.0  # of the tower with a CE, where CEs are late; a busy machine must not be taken for one
LATE_S = 1.4
WEATHERS = ("up", "down", "slow", "late")


def _nothing(scene: Scene) -> None:
    """The far sides do what they should."""


@dataclass(frozen=True)
class Course:
    """begin: called before the tower starts; lasting: how CEs misbehave as long as the trouble lasts; later: called
    all the time until it returns True, which means that what it is for has happened. loses: jobs may get lost between
    PanDA and the tower. whole: daemons are killed in it at all points, those of the calm course too. weathers: in which
    it comes to its end in time.
    """

    begin: Callable[[Scene], None] = _nothing
    lasting: Sequence[Mapping[str, Any]] = ()
    later: Callable[[Scene], bool] | None = None
    plan: Plan = field(default_factory=Plan)
    loses: bool = False
    whole: bool = False
    weathers: Sequence[str] = WEATHERS


def _rules(*rules: Mapping[str, Any]) -> Callable[[Scene], None]:
    """The CEs misbehave, each rule once unless it says otherwise."""

    def begin(scene: Scene) -> None:
        for rule in rules:
            scene.all_faults({"times": 1, **rule})

    return begin


def _new(action: str, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": r"/jobs\?.*action=new", "action": action, **more}


def _lost_acquire(scene: Scene) -> None:
    scene.panda.faults.add({"path": "acquire_jobs", "action": "cut-after", "times": 1})


def _left_over(scene: Scene) -> None:
    """A tower that died has left an answer of PanDA's in the store."""
    client = connect(PandaServer(scene.panda.url, scene.ca.ca_dir))
    place = scene.directory / "store/intake/RUNNING/left-over"
    place.parent.mkdir(parents=True)
    place.write_bytes(client.fetch_jobs("RUNNING", 1, scheduler_id="act", node="tower"))
    client.close()


def _refused(scene: Scene) -> None:
    scene.order(Want("REFUSED", "ok", "failed", runs=0, log=False))


def _old_proxy(scene: Scene) -> bool:
    """Once the parked job has a delegation, its proxy has but an hour left; over when a renewed one is at a CE. The
    others may be over by then, and nothing would be left to be renewed.
    """
    with scene.parking.engine.lock:
        if not scene.parking.engine.jobs:
            return False
    older = {name: proxies.c[name] - 95 * 3600 for name in ("issued", "expires")}
    first = update(proxies).where(proxies.c.generation == 1).values(older)
    fresh = proxies.c.expires > time.time() + 90 * 3600

    def age(connection: Connection) -> Sequence[int]:
        connection.execute(first.where(fresh))
        return connection.scalars(select(delegations.c.generation)).all()

    found = scene.database.run("test", age)
    return any(generation > 1 for generation in found)


def _full_no_more(scene: Scene) -> bool:
    """A CE that was full has room again, once it has refused."""
    if not scene.ce.requests().get("POST /jobs?action=new"):
        return False
    scene.ce.max_total = None
    return True


def _told_to_speak(scene: Scene) -> bool:
    """Somebody wants the tower to report on jobs whose pilots do so themselves, again and again."""
    wanted = update(pandajobs).where(pandajobs.c.state == "running").values(due=0)
    scene.database.run("test", lambda c: c.execute(wanted))
    return all(s["status"] in FINAL for s in scene.stories().values() if s["queue"] == "MIXED")


def _long_job(scene: Scene) -> None:
    scene.order(Want("LONG", "ok", "failed", log=False))


def _lose_job(scene: Scene) -> bool:
    """The CE loses a job that would run for long, and all that stands for it."""
    with scene.ce.engine.lock:
        running = [j for j in scene.ce.engine.jobs.values() if j.state == "RUNNING" and j.queue == "long"]
        for job in running:
            job.epoch += 1  # its pilot is gone too: the tower has to speak for it
            scene.ce.lose(job.id)
    return bool(running)


COURSES = {
    "calm": Course(),
    "answer left over": Course(_left_over),
    "answer to create lost": Course(_rules(_new("cut-after", times=2))),  # of the tower's jobs, and of the person's
    "create failed": Course(_rules(_new("error-before"))),
    "create came late": Course(_rules(_new("late", seconds=6.0)), plan=Plan(call_s=PATIENCE_S)),
    "create unclear": Course(lasting=({"path": "action=info", "action": "cut-after"},)),
    "arming failed": Course(_rules({"method": "PUT", "path": "/session/", "action": "error-before"})),
    "staging failed": Course(plan=Plan(pilot_args="--sim-stagein-fails=1")),
    "answer to acquire lost": Course(_lost_acquire, loses=True),
    "refused": Course(_refused),
    "full": Course(later=_full_no_more, plan=Plan(ce_options={"max_total": 0})),
    "proxy renewed": Course(later=_old_proxy),
    "job lost": Course(_long_job, later=_lose_job),
    "garbage": Course(lasting=({"path": "action=status", "action": "garbage"},)),
    "told to speak": Course(later=_told_to_speak, plan=Plan(ce_options={"run_s": 3.0})),
    "operated": Course(operated.begin, later=operated.later, plan=operated.PLAN, whole=True, weathers=("up",)),
}


class Trouble:
    """What a course does while the tower runs. It lasts until the faults under test have met it, which the files
    ``struck`` tells (all of them), or for ``at_most_s``."""

    def __init__(self, scene: Scene, course: Course, struck: Sequence[Path], at_most_s: float) -> None:
        self._scene, self._struck, self._later = scene, struck, course.later
        self._waits = course is not COURSES["calm"]
        self._end = time.monotonic() + at_most_s
        self._rules = [(ce, ce.faults.add(rule)) for ce in scene.ces for rule in course.lasting]

    def over(self) -> bool:
        """Let it go on; True once it is over: only then the parked job is killed."""
        if self._later is not None:
            if not self._later(self._scene):
                return False
            self._later = None
        if self._waits and not all(p.exists() for p in self._struck) and time.monotonic() < self._end:
            return False
        self._waits = False
        while self._rules:
            ce, rule = self._rules.pop()
            ce.faults.remove(rule)
        return True


def late_rules() -> list[dict[str, Any]]:
    """Of each kind of call that has an effect, the CE answers the first when the caller has given up."""
    calls = (("POST", "action=new"), ("PUT", "/session/"), ("POST", "action=kill"), ("POST", "action=clean"),
             ("PUT", "/delegations/"))  # fmt: skip
    return [{"method": m, "path": p, "action": "late", "seconds": LATE_S, "times": 1} for m, p in calls]


def begin_weather(scene: Scene, weather: str) -> None:
    """What a kind of weather means from the start; an outage begins with the fault."""
    if weather == "slow":
        scene.all_faults({"path": "/rest", "action": "delay", "seconds": SLOW_S})
    if weather == "late":
        for rule in late_rules():
            scene.all_faults(rule)

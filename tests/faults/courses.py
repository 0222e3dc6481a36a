"""What the far sides do in a run, so that the tower also takes the ways that it takes in trouble only.

Every fault point is walked in the first course in which it is passed. The weather comes on top of a course.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select, update

from act.db.schema import delegations, proxies
from act_atlas.db import pandajobs
from act_atlas.panda import PandaServer, connect
from tests.faults.scene import FINAL, Scene, Want

SLOW_S = 0.05
OUTAGE_S = 1.0
PATIENCE_S = 1.0  # of the tower with a CE, where CEs are late; a busy machine must not be taken for one
LATE_S = 1.4
WEATHERS = ("up", "down", "slow", "late")


def _nothing(scene: Scene) -> None:
    """The far sides do what they should."""


@dataclass(frozen=True)
class Course:
    """begin: called before the tower starts; later: called all the time until it returns True, which means that what
    it is for has happened; only then the parked job is killed. loses: jobs may get lost between PanDA and the tower.
    """

    begin: Callable[[Scene], None] = _nothing
    later: Callable[[Scene], bool] | None = None
    pilot_args: str = ""
    ce_options: Mapping[str, Any] = field(default_factory=dict)
    call_s: float = 5.0
    loses: bool = False


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
    """Once there are delegations, their proxy has but an hour left; over when a renewed one is at a CE."""
    first = update(proxies).where(proxies.c.generation == 1).values(expires=proxies.c.expires - 95 * 3600)
    fresh = proxies.c.expires > time.time() + 90 * 3600
    with scene.database.engine.begin() as connection:
        found = connection.scalars(select(delegations.c.generation)).all()
        if found:
            connection.execute(first.where(fresh))
    return any(generation > 1 for generation in found)


def _full_no_more(scene: Scene) -> bool:
    """A CE that was full has room again, once it has refused."""
    if not scene.ce.requests().get("POST /jobs?action=new"):
        return False
    scene.ce.max_total = None
    return True


def _told_to_speak(scene: Scene) -> bool:
    """Somebody wants the tower to report on jobs whose pilots do so themselves, again and again."""
    with scene.database.engine.begin() as connection:
        connection.execute(update(pandajobs).where(pandajobs.c.state == "running").values(due=0))
    return all(s["status"] in FINAL for s in scene.stories().values() if s["queue"] == "MIXED")


def _lose_job(scene: Scene) -> bool:
    """The CE forgets a job that runs."""
    with scene.ce.engine.lock:
        running = [job for job in scene.ce.engine.jobs.values() if job.state == "RUNNING"]
        if running:
            scene.ce.lose(running[0].id)
            pandaid = int(running[0].panda_id)
            # the tower reports it failed, unless its pilot is faster
            scene.wanted[pandaid] = replace(scene.wanted[pandaid], end="finished failed", log=False)
    return bool(running)


COURSES = {
    "calm": Course(),
    "answer left over": Course(_left_over),
    "answer to create lost": Course(_rules(_new("cut-after"))),
    "create failed": Course(_rules(_new("error-before"))),
    "create came late": Course(_rules(_new("late", seconds=6.0)), call_s=PATIENCE_S),
    "create unclear": Course(_rules({"path": "action=info", "action": "cut-after", "times": 4})),
    "arming failed": Course(_rules({"method": "PUT", "path": "/session/", "action": "error-before"})),
    "staging failed": Course(pilot_args="--sim-stagein-fails=1"),
    "answer to acquire lost": Course(_lost_acquire, loses=True),
    "refused": Course(_refused),
    "full": Course(later=_full_no_more, ce_options={"max_total": 0}),
    "proxy renewed": Course(later=_old_proxy),
    "job lost": Course(later=_lose_job, ce_options={"run_s": 2.0}),
    "garbage": Course(_rules({"path": "action=status", "action": "garbage", "times": 6})),
    "told to speak": Course(later=_told_to_speak, ce_options={"run_s": 3.0}),
}


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

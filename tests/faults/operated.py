"""The course with an operator: a CE queue that is a black hole for a while, a CE that makes poison of jobs, and another
that is drained; see `operator` for what is done about it."""

from __future__ import annotations

from typing import Any

from act.db import causes, orders
from act.db.orders import What
from tests import truth
from tests.faults import operator, person
from tests.faults.person import Errand
from tests.faults.scene import FINAL, JOBS, Plan, Scene, Want

GUARD = "guard"
HOLE_JOBS = 8  # six make a black hole
PROBES = 2
CREATE_S = 0.7  # at the CE that makes poison: the guard has to look before all submissions are used up

PLAN = Plan(
    jobs=(
        *JOBS,
        Want("LEAVING", "ok", "finished"),
        Want("DOOMED", "ok", "failed", runs=0, log=False),
        Want("ILL", "ok", "finished"),
    ),
    errands=(
        *person.ERRANDS,
        *(Errand(f"user-hole-{n}", "hole", "--sim-exit=1", "donefailed") for n in range(HOLE_JOBS)),
        Errand("user-leaving", "parking", attempts=2),
        Errand("user-doomed", "parking", end="cancelled", runs=0),
        Errand("user-again", "parking", attempts=2),
        Errand("user-ill", "ill"),
    ),
    ce_options={"queues": ("default", "long", "hole")},
    operated=True,
    archive_after_s=2.0,
)
# Job of PanDA's, by queue, or of the person's -> what was done to it, and by whom; each exactly once.
DONE = {
    "LEAVING": ["requeue operator", "move operator"],
    "DOOMED": ["kill operator"],
    "ILL": ["quarantine guard", "move operator", "release operator"],
    "user-leaving": ["requeue operator", "move operator"],
    "user-doomed": ["kill operator"],
    "user-again": ["kill operator", "resubmit operator", "move operator"],
    "user-ill": ["quarantine guard", "move operator", "release operator"],
}
_VERBS = {e.split()[0] for events in DONE.values() for e in events}


def begin(scene: Scene) -> None:
    """Jobs come to the CE that makes poison at a walk."""
    scene.ill.faults.add({"path": r"/jobs\?.*action=new", "action": "delay", "seconds": CREATE_S})


def later(scene: Scene) -> bool:
    """The black hole is given good jobs, once the guard has seen that it is one, until it is none any more."""
    probed = [(r.event, r.who) for r in _history(scene) if r.why.startswith(What.PROBE)]
    stands = [r for r in scene.database.read("test", orders.in_force) if r.what == What.PROBE]
    if not probed:
        return False
    if stands:
        mended = [i for i, want in scene.wanted.items() if want.queue == "MENDED"]
        if all(scene.stories()[i]["status"] in FINAL for i in mended):
            truth.assert_all_explained(scene.environment)
            for _ in range(PROBES):
                scene.order(Want("MENDED", "ok", "finished"))
        return False
    return not operator.left(scene.directory)


def _history(scene: Scene) -> Any:
    return scene.database.read("test", lambda c: orders.history(c, limit=1000))[::-1]


def judge(scene: Scene) -> None:
    """What was ordered was done once, no order stands, it is told of all of that, and each error was counted once."""
    archived = scene.archived()
    told = person.got(scene.directory)
    for pandaid, want in scene.wanted.items():
        if want.queue in DONE:
            history = archived[pandaid].history
            events = [*history["job"]["events"], *(e for a in history["attempts"] for e in a["events"])]
            _judge_done(want.queue, [f"{e[2]} {e[4]}" for e in events])
            assert operator.WHY in truth.words(scene.environment, pandaid)
    for name in DONE.keys() & told.keys():
        _judge_done(name, told[name]["events"])
        assert operator.WHY in told[name]["explained"], told[name]
    failed = [e for e in scene.plan.errands if "--sim-exit" in e.arguments]
    errors = scene.database.read("test", lambda c: causes.listing(c, kind="cejob"))
    assert sum(e.count for e in errors if "wrong exit code" in e.text) == len(failed), errors
    assert scene.database.read("test", orders.in_force) == []
    given: dict[int, list[str]] = {}
    for row in _history(scene):
        given.setdefault(row.job_id, []).append(row.event)
    assert len(given) == 4, f"a drain, a pause, a limit, and of the guard's one job at a time: {given}"
    assert all(e[1::2] == [orders.RESUME] and len(e) == 2 for e in given.values()), (
        f"given and taken back once: {given}"
    )


def _judge_done(name: str, events: list[str]) -> None:
    """events: ``<event> <who>`` of a job and all its attempts. A kill is told of the job, or of its attempt."""
    people = (operator.NAME, GUARD)
    found = [e.partition("-")[0].partition(".")[0] for e in events if e.split()[0] in _VERBS]
    found = [e for e in found if e.split()[1] in people]
    assert sorted(found) == sorted(DONE[name]), f"{name}: {events}"

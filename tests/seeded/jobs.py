"""Jobs of PanDA and of people in all states, with attempts, events, specifications, and an archive."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from urllib.parse import urlencode

from act.db import specs
from act.model import InputFile, JobSpec
from tests.seeded import names, paths
from tests.seeded.names import Place

FIRST_PANDAID = 6_871_000_000
PROXY, USER_PROXY = 1, 3  # the first user's
HOUR, DAY = 3600.0, 86400.0
HOSTILE_EVERY = 25

# how many in a thousand, state of the PanDA job, of its attempt (None: it has none)
PANDA_MIX = (
    (40, "sent", None), (90, "starting", "tosubmit"), (3, "starting", "quarantined"), (5, "starting", "submitting"),
    (3, "starting", "created"), (130, "starting", "submitted"), (6, "starting", "holding"), (2, "starting", "torerun"),
    (470, "running", "running"), (2, "running", "failed"), (3, "running", "tofetch"), (40, "transferring", "finishing"),
    (10, "transferring", "finished"), (15, "tovalidate", "done"), (4, "toresubmit", "donefailed"),
    (4, "toclean", "donefailed"), (10, "finished", "done"), (6, "failed", "donefailed"), (90, "done", "archived"),
    (10, "done", "toclean"), (40, "donefailed", "archived"), (3, "tobekilled", "tocancel"),
    (3, "tobekilled", "cancelling"), (2, "cancelled", "cancelled"), (8, "donecancelled", "cancelled"),
    (1, "failed", "lost"),
)  # fmt: skip
CLIENT_MIX = (
    (10, "begun", None), (30, "sent", None), (150, "active", "tosubmit"), (150, "active", "submitted"),
    (350, "active", "running"), (20, "active", "finishing"), (200, "finished", "done"), (70, "failed", "donefailed"),
    (20, "cancelled", "cancelled"),
)  # fmt: skip
BROKEN = frozenset({"failed", "tofetch", "donefailed", "lost", "torerun"})
BEGAN = BROKEN | {"running", "finishing", "finished", "done", "toclean", "archived", "tocancel", "cancelling"}
LONGEST = {"running": DAY, "done": DAY, "donefailed": DAY, "sent": HOUR, "submitting": 60.0, "tofetch": HOUR / 2,
           "torerun": HOUR / 2}  # fmt: skip

Row = dict[str, Any]


@dataclass
class Batch:
    """Rows by the name of their table."""

    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append(values)


@dataclass(frozen=True)
class World:
    """What jobs are of. now: the moment it is made; db_id: of the database."""

    now: float
    db_id: str
    places: Sequence[Place]
    queues: Sequence[str]
    hostile: bool


@dataclass(frozen=True)
class Owner:
    """The application's side of a job."""

    kind: str
    app: str
    id: int
    share: str
    proxy_id: int
    candidates: Sequence[Place]


class Maker:
    """Makes jobs one by one, the same ones each time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(6)
        self.attempts = 0
        self.made = 0

    def batches(self, jobs: int, size: int = 2000) -> Iterator[Batch]:
        """So many jobs: of a hundred, 83 of PanDA, 12 of people, and five that are in the archive."""
        for begin in range(0, jobs, size):
            batch = Batch()
            for n in range(begin, min(begin + size, jobs)):
                part = n % 100
                self.made = n
                if part < 83:
                    self._panda(batch, n + 1)
                elif part < 95:
                    self._client(batch, n + 1)
                else:
                    self._archived(batch, n + 1)
            yield batch

    @property
    def _harm(self) -> str:
        """A hostile text for some jobs, "" for the others."""
        turn, rest = divmod(self.made, HOSTILE_EVERY)
        return names.HOSTILE[turn % len(names.HOSTILE)] if self.world.hostile and not rest else ""

    def _choice(self, mix: Sequence[tuple[int, str, str | None]]) -> tuple[str, str | None]:
        _, state, attempt = self.random.choices(mix, cum_weights=list(accumulate(w for w, _, _ in mix)))[0]
        return state, attempt

    def _ages(self, *states: str | None) -> tuple[float, float]:
        """(age of the job, time that it has been in its state), of a job with that state and an attempt with that."""
        longest = min(LONGEST.get(s, 4 * HOUR) for s in states if s is not None)
        in_state = self.random.random() ** 2 * longest
        return in_state + 300 + self.random.random() ** 2 * 2 * DAY, in_state

    def _panda(self, batch: Batch, number: int) -> None:
        world, rnd = self.world, self.random
        state, attempt_state = self._choice(PANDA_MIX)
        queue_number = int(rnd.random() ** 2 * len(world.queues))
        queue = world.queues[queue_number]
        age, in_state = self._ages(state, attempt_state)
        pandaid = FIRST_PANDAID + number * 3
        owner = Owner("pandajob", "panda", number, queue, PROXY, names.served(queue_number, list(world.places)))
        priority = rnd.choice((100, 500, 900, 1000))
        error = self._error() if attempt_state in BROKEN else None
        current = None
        retried = attempt_state not in (None, "archived") and not rnd.randrange(25)
        if retried:
            self._attempt(batch, owner, "archived", 1, priority, age, age / 2, self._error())
        if attempt_state is not None:
            current = self._attempt(batch, owner, attempt_state, 2 if retried else 1, priority, age, in_state, error)
        row = current or {}
        over = state.startswith("done")
        batch.add(
            "pandajobs", id=number, source="panda", pandaid=pandaid, queue=queue, label=rnd.choice(("managed", "user")),
            state=state, since=world.now - in_state, version=3, created=world.now - age,
            due=None if over else world.now + rnd.uniform(30, 1700),
            told=None if state == "sent" else "running" if state in ("running", "transferring") else "starting",
            told_at=world.now - rnd.uniform(0, 500), attempts=1 + retried if current else 0, attempt_nr=1 + retried,
            priority=priority, cores=rnd.choice((1, 8)), job=_dispatched(pandaid, queue, number), metadata={},
            cejob_id=row.get("id"), computing_element=row.get("ce"), node=row.get("node"),
            start_time=world.now - age / 2 if row.get("node") else None,
            end_time=world.now - in_state if over else None,
            error_code=9000 if error else None, error_diag=error, exit_code=1 if error else None,
        )  # fmt: skip
        self._story(batch, "pandajob", number, paths.PANDA[state], age, in_state, error or "")

    def _client(self, batch: Batch, number: int) -> None:
        rnd, now = self.random, self.world.now
        person = int(rnd.random() ** 2 * len(names.PEOPLE))
        state, attempt_state = self._choice(CLIENT_MIX)
        age, in_state = self._ages(state, attempt_state)
        arc = [p for p in self.world.places if p.flavour == "arc"]
        place = arc[number % len(arc)]
        owner = Owner("clientjob", "client", number, f"user-{person + 1}", USER_PROXY + person, [place])
        error = self._error() if attempt_state in BROKEN else None
        current = None
        if attempt_state is not None:
            current = self._attempt(batch, owner, attempt_state, 1, 50, age, in_state, error)
        name = self._harm or f"fit-{number % 97:02d}-{rnd.choice(('signal', 'background', 'toys'))}"
        batch.add(
            "clientjobs", id=number, user_id=person + 1, proxy_id=USER_PROXY + person, state=state,
            since=now - in_state, version=2, shown="" if state == "begun" else attempt_state or "tosubmit",
            jobname=name[:100], ces=[place.url], flavour="arc", language="xrsl",
            description=f'&(executable="run.sh")(jobname="{name}")', spec=_spec(name), stdout="stdout.txt", stderr="",
            cejob_id=current["id"] if current else None, attempts=1 if current else 0, created=now - age,
            modified=now - in_state, files=1, bytes=2048, error=error,
        )  # fmt: skip
        self._story(batch, "clientjob", number, paths.CLIENT[state], age, in_state, error or "")

    def _attempt(
        self, batch: Batch, owner: Owner, state: str, attempt: int, priority: int, age: float, in_state: float,
        error: str | None,
    ) -> Row:  # fmt: skip
        """An attempt with its candidates and events; some facts of it."""
        self.attempts += 1
        rnd, now, number = self.random, self.world.now, self.attempts
        placed = state not in ("tosubmit", "quarantined")
        place = owner.candidates[number % len(owner.candidates)]
        node = self._node(place) if state in BEGAN else None
        flavour = place.flavour
        token = f"act.{self.world.db_id}.{number}.1.{rnd.getrandbits(64):016x}"
        wall_s = int(rnd.uniform(30, 20000)) if state in BEGAN else None
        batch.add("jobspecs", id=number, spec=_spec(f"{owner.share}-{owner.id}"))
        batch.add(
            "cejobs", id=number, app=owner.app, appjob_id=owner.id, attempt=attempt, flavour=flavour, share=owner.share,
            priority=priority, proxy_id=owner.proxy_id, jobspec_id=number, state=state, since=now - in_state, version=5,
            seen_version=5, created=now - age + 60, ce_id=place.ce_id if placed else None,
            cequeue_id=place.id if placed else None, submission=int(placed), token=token if placed else None,
            ce_job_id=f"{rnd.getrandbits(48):012x}" if placed and state not in ("submitting",) else None,
            ce_state=_CE_STATES.get(state), exit_code=1 if error else 0 if state in ("done", "archived") else None,
            error=error, node=node, wall_s=wall_s, cpu_s=int(wall_s * 0.9) if wall_s else None,
            memory_mb=rnd.randrange(500, 4000) if wall_s else None, placed=now - age + 90 if placed else None,
            delegation_id=place.ce_id if placed and owner.app == "panda" else None,
        )  # fmt: skip
        if state != "archived":
            for p in owner.candidates:
                batch.add(
                    "candidates", cejob_id=number, cequeue_id=p.id, open=state == "tosubmit", proxy_id=owner.proxy_id,
                    share=owner.share, rank=-priority,
                )  # fmt: skip
        way = paths.BROKEN_ARCHIVED if state == "archived" and error else paths.ATTEMPT[state]
        self._story(batch, "cejob", number, way, age - 60, in_state, error or "")
        return {"id": number, "node": node, "ce": place.url}

    def _archived(self, batch: Batch, number: int) -> None:
        rnd, now = self.random, self.world.now
        queue = self.world.queues[number % len(self.world.queues)]
        good = rnd.random() < 0.8
        ended = now - DAY - rnd.random() * 20 * DAY
        state, error = ("done", None) if good else ("donefailed", self._error())
        self.attempts += 1
        steps = paths.walk("cejob", paths.ATTEMPT["archived"] if good else paths.BROKEN_ARCHIVED)
        events = [[ended - 8000 * (1 - s.gap), s.source, s.event, s.target, s.who, error or ""] for s in steps]
        own = paths.walk("pandajob", paths.PANDA[state])
        attempt = {"id": self.attempts, "attempt": 1, "flavour": "arc", "ce_job_id": f"{number:x}", "events": events}
        told = [[ended - 9000 * (1 - s.gap), s.source, s.event, s.target, s.who, ""] for s in own]
        pandaid = FIRST_PANDAID + number * 3
        job = {
            "id": number,
            "pandaid": pandaid,
            "attempt_nr": 1,
            "label": "managed",
            "told": "finished",
            "events": told,
        }
        if error:
            attempt |= {"error": error, "exit_code": 1}
            job |= {"error_code": 9000, "error_diag": error}
        batch.add(
            "archive", source="panda", external_id=str(pandaid), queue=queue, state=state,
            created=ended - 9000, ended=ended, history={"job": job, "attempts": [attempt], "outputs": []},
        )  # fmt: skip

    def _error(self) -> str:
        rnd = self.random
        return self._harm or rnd.choice(names.ERRORS).format(n=rnd.randrange(10000), m=rnd.randrange(60))

    def _node(self, place: Place) -> str:
        return self._harm or f"wn{self.random.randrange(400):03d}.{place.url.split('.')[1]}.example.org"

    def _story(self, batch: Batch, kind: str, number: int, way: str, age: float, in_state: float, error: str) -> None:
        begin, end = self.world.now - age, self.world.now - in_state
        for step in paths.walk(kind, way):
            why = error if error and step.target in BROKEN else _WHY.get(step.event, "")
            batch.add(
                "events", kind=kind, job_id=number, source=step.source, event=step.event, target=step.target,
                at=begin + max(end - begin, 1.0) * step.gap, who=step.who, why=why,
            )  # fmt: skip


_CE_STATES = {"submitted": "INLRMS", "holding": "HOLD", "running": "RUNNING", "finishing": "FINISHING",
              "finished": "FINISHED", "failed": "FAILED", "cancelling": "KILLING"}  # fmt: skip
_WHY = {"claim": "the best of its CE queues: 12 of 500 wait there", "quarantine": "8 submissions came to nothing",
        "putback": "the CE is full", "kill": "PanDA wants its end", "cancel": "PanDA wants its end"}  # fmt: skip


def _dispatched(pandaid: int, queue: str, number: int) -> str:
    """A job as PanDA hands it over, about 1.5 kB."""
    files = ",".join(f"EVNT.{number:08d}._{i:06d}.pool.root.1" for i in range(8))
    facts: Mapping[str, Any] = {
        "PandaID": pandaid, "prodSourceLabel": "managed", "computingSite": queue, "coreCount": 8, "minRamCount": 16000,
        "maxCpuCount": 86400, "currentPriority": 500, "attemptNr": 1, "transformation": "Sim_tf.py",
        "jobName": f"mc23_13p6TeV.{number:08d}.simul", "taskID": 40_000_000 + number // 100, "inFiles": files,
        "jobPars": f"--inputEVNTFile={files} --maxEvents=1000 --randomSeed={number} --AMITag=s4162 --simulator=FullG4",
    }  # fmt: skip
    return urlencode(facts)


def _spec(name: str) -> str:
    return specs.dump(JobSpec(
        name=name[:90], executable="runpilot2-wrapper.sh", arguments=("-q", name[:40], "-j", "managed"),
        environment=(("APFFID", "act"), ("APFCID", name[:40])), cores=8, memory_mb_total=16000, walltime_s=86400,
        inputs=(InputFile("pandaJobData.out", content="PandaID=1&prodSourceLabel=managed"),),
        fetch=("stdout.txt", "diagnose=errors"),
    ))  # fmt: skip

"""One run of a tower: simulated PanDA, simulated CEs, a handful of jobs, of a person's too, and all limits below a few
seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, select, update

from act import keys
from act.client.tables import clientjobs, clientusage
from act.db.engine import Database
from act.db.schema import archive, cejobs, delegations
from act.simulation import TestCA
from act.x509 import make_proxy
from act_arc.simulator import ArcSimulator, SimJob
from act_atlas.db import pandajobs
from act_atlas.simulator import CRIC_PATH, WRAPPER_PATH, Order, PandaSimulator, PretendPilot
from act_atlas.trial import configuration
from tests.faults import operator, person
from tests.faults.person import Errand

LEASE_S = 3.0
SENT_FOR_TOO_LONG_S = 31 * 60
FINAL = frozenset({"finished", "failed", "cancelled", "closed"})

CORE = """
<timeouts><connect_s>{call_s}</connect_s><read_s>{call_s}</read_s><call_s>{call_s}</call_s>
  <transfer_s>{call_s}</transfer_s></timeouts>
<leases><lease_s>{lease_s}</lease_s><settle_s>0.2</settle_s><margin_s>0.1</margin_s></leases>
<daemons><threads>4</threads><idle_s>0.03</idle_s></daemons>
<polling><status_s>0.1</status_s><missing_s>0.3</missing_s><sweep_s>1</sweep_s><silent_s>5</silent_s>
  <delegation_idle_s>0.5</delegation_idle_s><rerun_s>0.1</rerun_s><lag_s>0.1</lag_s></polling>
<breaker><failures>3</failures><open_s>0.2</open_s><max_open_s>0.5</max_open_s></breaker>
<users><ce name="one" url="{ce}" queue="default" flavour="arc"/>
  <ce name="parking" url="{parking}" queue="default" flavour="arc"/>
  {more_ces}
  <group name="people"><subject>{person}</subject></group></users>
<web><secret_file>state/web.key</secret_file></web>
"""
# What a black hole is, and what poison, among a few jobs; and where these are.
GUARD = """
<guard><window>8</window><least>6</least><bad>0.7</bad><probes>2</probes><submissions>2</submissions></guard>
"""
CES_TO_GUARD = """<ce name="hole" url="{ce}" queue="hole" flavour="arc"/>
  <ce name="ill" url="{ill}" queue="default" flavour="arc"/>"""
PROXIES = """<proxies>
<check_s>0.3</check_s><proxy><role>broken</role><source_cert>no-such-file</source_cert></proxy>"""
PANDA = """
<timeout_s>10</timeout_s><stats_s>0.5</stats_s><heartbeat_s>0.2</heartbeat_s><first_heartbeat_s>0.5</first_heartbeat_s>
<getjob_min_s>0.1</getjob_min_s><getjob_max_s>0.3</getjob_max_s><retry_s>0.3</retry_s>
<final_grace_s>0.5</final_grace_s><archive_after_s>{archive_after_s}</archive_after_s>
<transferring_after_s>0.2</transferring_after_s>
"""
STORAGES = """
<storages><removable>{storage}/</removable><total_s>1</total_s><retry_s>0.2</retry_s></storages>
<errors><max_attempts>2</max_attempts></errors>
"""


@dataclass(frozen=True)
class Want:
    """A job of the scene. end: PanDA's last word on it; runs: how often it is executed; log: its output comes back."""

    queue: str
    kind: str
    end: str
    runs: int = 1
    log: bool = True


# The pilot of RUNNING is killed by PanDA while it runs, PARKED waits at its CE until PanDA wants its end. STAGED is in
# NorduGrid mode; the second of its jobs reports an output that is not there, and gets two attempts.
JOBS = (
    Want("MIXED", "ok", "finished"),
    Want("MIXED", "fail", "failed"),
    Want("MIXED", "die", "failed"),
    Want("RUNNING", "fail", "cancelled", log=False),
    Want("PARKED", "ok", "cancelled", runs=0, log=False),
    Want("STAGED", "ok", "finished"),
    Want("STAGED", "missing-output", "failed", runs=2),
)


@dataclass(frozen=True)
class Plan:
    """What a scene is made of. jobs, errands: of PanDA, and of the person. pilot_args: of the queue RUNNING.

    call_s: how long the tower waits for a CE. operated: with an operator, a CE where no job ever comes to run, and a
    CE queue that may become a black hole. Ended jobs of PanDA stay for ``archive_after_s``.
    """

    jobs: Sequence[Want] = JOBS
    errands: Sequence[Errand] = person.ERRANDS
    pilot_args: str = ""
    ce_options: Mapping[str, Any] = field(default_factory=dict)
    call_s: float = 5.0
    operated: bool = False
    archive_after_s: float = 0.05


@dataclass
class Scene:
    """Everything below ``directory``, with the database at ``url``. A context manager; the tower is not part of it.

    wanted: PanDA id -> what is to become of the job.
    """

    directory: Path
    ca: TestCA
    url: str
    plan: Plan
    wanted: dict[int, Want] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.panda = PandaSimulator(self.ca, adder_s=0.05)
        self._pilot = PretendPilot(self.panda.board)
        options = {"run_s": 0.2, "on_start": self._begun, "on_end": self._pilot.on_end,
                   "on_output": self._pilot.output, **self.plan.ce_options}  # fmt: skip
        self.ce = ArcSimulator(self.directory / "ce1", self.ca, run="pretend", **options)
        self.parking = ArcSimulator(self.directory / "ce2", self.ca, run="pretend", queue_s=3600)
        # uploads come too late, always
        self.ill = ArcSimulator(self.directory / "ce3", self.ca, run="pretend", upload_timeout_s=0)
        self.ces = (self.ce, self.parking, *([self.ill] if self.plan.operated else []))
        self.database = Database(self.url, pool=2)

    def __enter__(self) -> Self:
        for server in (self.panda, *self.ces):
            server.start()
        for want in self.plan.jobs:
            self.order(want)
        self.environment = self._configure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ce in {*self.ces, self.ill}:
            ce.close()
        self.panda.stop()
        self.database.close()

    @property
    def storage(self) -> Path:
        """Where jobs of STAGED store their outputs."""
        return self.directory / "storage"

    def order(self, want: Want) -> None:
        """One more job."""
        (pandaid,) = self.panda.board.define(Order(want.queue, kind=want.kind))
        self.wanted[pandaid] = want

    def _begun(self, job: SimJob) -> None:
        """The pilot starts; PanDA wants the end of one that runs."""
        self._pilot.on_start(job)
        if job.panda_id and self.wanted[int(job.panda_id)].queue == "RUNNING":
            self.panda.board.kill(int(job.panda_id))

    def _configure(self) -> dict[str, str]:
        places = {"MIXED": (self.ce, "default"), "RUNNING": (self.ce, "default"), "PARKED": (self.parking, "default"),
                  "REFUSED": (self.ce, "no-such-queue"), "LONG": (self.ce, "long"),
                  "STAGED": (self.ce, "default"), "LEAVING": (self.parking, "default"),
                  "DOOMED": (self.parking, "default"), "ILL": (self.ill, "default"),
                  "MENDED": (self.ce, "hole")}  # fmt: skip
        storage = f"file://{self.storage}"
        entries = {
            n: configuration.cric_entry(n, [("ARC-CE", ce.url, q)], storage=storage if n == "STAGED" else "")
            for n, (ce, q) in places.items()
        }
        entries["RUNNING"]["params"] = {"pilot_args": self.plan.pilot_args}
        entries["LONG"]["params"] = {"pilot_args": "--sim-run=600"}
        self.panda.board.cric = entries
        cert, key = self.ca.user("tower")
        urls = {"ce": self.ce.url, "parking": self.parking.url, "ill": self.ill.url}
        core = CORE.format(call_s=self.plan.call_s, lease_s=LEASE_S, person=person.SUBJECT, **urls,
                           more_ces=CES_TO_GUARD.format(**urls) if self.plan.operated else "")  # fmt: skip
        texts = {
            "aCTConfigARC.xml": configuration.fill(
                configuration.CORE, database=self.url, ca_dir=self.ca.ca_dir, cert=cert, key=key, base=self.directory,
                extra=core + (GUARD if self.plan.operated else ""), work_dir=self.directory / "work",
            ).replace("<proxies>", PROXIES),
            "aCTConfigATLAS.xml": configuration.fill(
                configuration.ATLAS, server=self.panda.url, cache=self.panda.url, protocol="v1",
                extra=PANDA.format(archive_after_s=self.plan.archive_after_s),
                cric=self.panda.url + CRIC_PATH, wrapper=self.panda.url + WRAPPER_PATH, queues="",
                base=self.directory, more=STORAGES.format(storage=storage),
            ),
        }  # fmt: skip
        for name, text in texts.items():
            (self.directory / name).write_text(text)
        for name in ("state", "store", "storage"):
            (self.directory / name).mkdir()
        keys.make_key(self.directory / "state/proxy.key")
        keys.make_secret(self.directory / "state/web.key")
        cert, key = self.ca.user("alice")
        (self.directory / person.PROXY).write_bytes(make_proxy(cert.read_bytes(), key.read_bytes(), person.DAY_S))
        person.hand_out(self.directory, self.plan.errands)
        return {"ACTCONFIGARC": str(self.directory / "aCTConfigARC.xml"),
                "ACTCONFIGATLAS": str(self.directory / "aCTConfigATLAS.xml")}  # fmt: skip

    def all_faults(self, rule: Mapping[str, Any]) -> None:
        """All CEs misbehave."""
        for ce in self.ces:
            ce.faults.add(rule)

    def outage(self, seconds: float) -> threading.Thread:
        """All CEs go away for a while, in the background."""

        def away() -> None:
            for ce in self.ces:
                ce.stop()
            time.sleep(seconds)
            for ce in self.ces:
                ce.start()

        thread = threading.Thread(target=away)
        thread.start()
        return thread

    def stories(self) -> dict[int, dict[str, Any]]:
        """What PanDA knows of each job."""
        return self.panda.board.describe()

    def lost(self) -> list[int]:
        """Jobs that PanDA has handed over, or so it thinks, and of which the tower knows nothing; [] while answers of
        PanDA's wait in the store."""
        if self.left()["intake"]:
            return []
        sent = [i for i, story in self.stories().items() if story["status"] == "sent"]
        known = select(pandajobs.c.pandaid).where(pandajobs.c.pandaid.in_(sent))
        with self.database.engine.connect() as connection:
            return sorted(set(sent) - set(connection.scalars(known)))

    def give_up_lost(self) -> None:
        """PanDA has waited long enough for jobs that nobody tells it of."""
        self.panda.board.clock.forward(SENT_FOR_TOO_LONG_S)

    def kill_parked(self) -> None:
        """PanDA wants the end of the parked job, once it has heard of it and the CE has it."""
        with self.parking.engine.lock:
            there = {int(job.panda_id) for job in self.parking.engine.jobs.values() if job.panda_id}
        for pandaid, want in self.wanted.items():
            if want.queue == "PARKED" and pandaid in there and self.panda.board.status(pandaid) == ("starting", 1):
                self.panda.board.kill(pandaid)

    def end_rests(self) -> None:
        """The minutes are over after which the tower tries again to remove what could not be removed."""
        resting = (clientjobs.c.state == "toclean") & clientjobs.c.claimed_until.is_not(None)
        if self.database.read("test", lambda c: c.execute(select(clientjobs.c.id).where(resting)).all()):
            self.database.run("test", lambda c: c.execute(update(clientjobs).where(resting).values(claimed_until=None)))

    def settled(self) -> bool:
        """PanDA knows the end of all jobs, and the tower and the CEs have nothing left to do."""
        if not all(story["status"] in FINAL for story in self.stories().values()):
            return False
        return not any(self.left().values())

    def left(self) -> dict[str, Any]:
        """What is not over yet, by the place it is in."""
        found: dict[str, Any] = {"person": int(not person.is_done(self.directory))}
        if self.plan.operated:
            found["operator"] = operator.left(self.directory)
        with self.database.engine.connect() as connection:
            for table in (pandajobs, clientjobs, cejobs, delegations):
                found[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
        for number, ce in enumerate(self.ces, 1):
            with ce.engine.lock:
                found[f"ce{number}"] = len(ce.engine.jobs)
        answers = (self.directory / "store").glob("intake/*/*")
        found["intake"] = len([p for p in answers if not p.name.startswith(".")])
        return found

    def executions(self, by: str) -> Counter[str]:
        """How often jobs were executed at all CEs. by: "executions" for names there, or "executions_by_panda_id"."""
        found: Counter[str] = Counter()
        for ce in self.ces:
            found.update(ce.state()[by])
        return found

    def counted(self) -> list[tuple[int, ...]]:
        """What people have in the tower, as it counts: jobs, files, bytes."""
        with self.database.engine.connect() as connection:
            return [(r.jobs, r.files, r.bytes) for r in connection.execute(select(clientusage))]

    def archived(self) -> dict[int, Any]:
        """PanDA id -> row of the archive."""
        with self.database.engine.connect() as connection:
            return {int(r.external_id): r for r in connection.execute(select(archive))}

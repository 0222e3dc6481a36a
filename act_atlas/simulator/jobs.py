"""Jobs of the simulated PanDA: what is ordered, what is dispatched, what is remembered."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from act_atlas.pilot_nordugrid import TROUBLES

NULL = "NULL"
INPUT_FIELDS = ("inFiles", "dispatchDblock", "dispatchDBlockToken", "prodDBlocks", "prodDBlockToken", "realDatasetsIn",
                "GUID", "checksum", "fsize", "scopeIn", "ddmEndPointIn")  # fmt: skip
NULL_FIELDS = ("jobDefinitionID", "destinationSE", "transferType", "sourceSite", "jobsetID", "reqID", "nucleus")
FINAL = frozenset({"finished", "failed", "cancelled", "closed"})

# What the stand-in pilot makes of a job, by kind; the job's own numbers are filled in. The last are for NorduGrid mode:
# what is wrong with the report that the pilot leaves behind.
KINDS = {
    "ok": "--sleep {seconds:g} --exit 0",
    "fail": "--sleep {seconds:g} --exit {exit_code}",
    "die": "--sleep {seconds:g} --exit {exit_code} --die",
    "vanish": "--sleep {seconds:g} --exit 0 --die",
    "silent": "--sleep {seconds:g} --exit 0 --no-heartbeat",
    "incomplete": "--sleep {seconds:g} --exit 0 --incomplete",
    **{kind: f"--sleep {{seconds:g}} --exit 0 --heartbeat {kind}" for kind in TROUBLES},
}


@dataclass(frozen=True)
class Order:
    """Jobs to be defined. ``fields`` override what is dispatched, ``omit`` names fields that are left out.

    kind: one of KINDS; seconds: how long each job takes; pandaid: of the first job, 0 for the next free one.
    """

    queue: str
    count: int = 1
    kind: str = "ok"
    seconds: float = 1.0
    exit_code: int = 65
    label: str = "managed"
    priority: int = 1000
    attempt_nr: int = 1
    pandaid: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    omit: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of job '{self.kind}' (known: {', '.join(KINDS)})")

    @property
    def resource_type(self) -> str:
        """As PanDA sorts jobs by cores and memory."""
        if "resource_type" in self.fields:
            return str(self.fields["resource_type"])
        wanted = (self.fields.get("coreCount", 1), self.fields.get("minRamCount", 2000))
        cores, memory = (value if isinstance(value, int) else 1 for value in wanted)  # some tests order nonsense
        return ("MCORE" if cores > 1 else "SCORE") + ("_HIMEM" if memory > 2000 * cores else "")

    @property
    def job_pars(self) -> str:
        """Arguments of the stand-in pilot's payload."""
        return KINDS[self.kind].format(seconds=self.seconds, exit_code=self.exit_code)


@dataclass(frozen=True)
class Report:
    """A final report that the Adder has not yet dealt with."""

    attempt_nr: int
    status: str
    outputs: str
    due: float


@dataclass(slots=True)
class SimJob:
    """One job and its story. ``history``: (time, status, by whom). Times are of the simulator's clock."""

    id: int
    order: Order
    modified: float
    status: str = "activated"
    commands: list[str] = field(default_factory=list)
    report: Report | None = None
    reported: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    history: list[tuple[float, str, str]] = field(default_factory=list)
    updates: Counter[str] = field(default_factory=Counter)
    executions: list[str] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        """Whether somebody asked for its end."""
        return "tobekilled" in self.commands

    @property
    def command(self) -> str:
        """What heartbeats are answered."""
        return ",".join(self.commands) or NULL

    def describe(self) -> dict[str, Any]:
        """Everything, for tests and people."""
        return {
            "pandaid": self.id,
            "queue": self.order.queue,
            "kind": self.order.kind,
            "attempt_nr": self.order.attempt_nr,
            "status": self.status,
            "command": self.command,
            "modified": self.modified,
            "reported": asdict(self.report) if self.report else self.reported,
            "values": self.values,
            "history": self.history,
            "updates": dict(self.updates),
            "executions": self.executions,
        }


def dispatched(job: SimJob, payload_extra: str = "") -> dict[str, Any]:
    """The fields of the job as they are handed out, numbers as numbers."""
    order = job.order
    fields = _fields(job)
    if payload_extra and "jobPars" not in order.fields:
        fields["jobPars"] += f" {payload_extra}"
    fields |= order.fields
    return {name: value for name, value in fields.items() if name not in order.omit}


def _fields(job: SimJob) -> dict[str, Any]:
    """All fields that are always there; what concerns inputs is empty."""
    order, number = job.order, f"{job.id:08d}"
    output, log = f"HITS.{number}._000001.pool.root.1", f"log.{number}._000001.job.log.tgz"
    dataset, scope = f"mc23_13p6TeV.{number}.simul", "mc23_13p6TeV"
    return {
        **dict.fromkeys(INPUT_FIELDS, ""), **dict.fromkeys(NULL_FIELDS, NULL),
        "StatusCode": 0, "PandaID": job.id, "attemptNr": order.attempt_nr, "taskID": 1000 + job.id // 1000,
        "prodSourceLabel": order.label, "processingType": "simul", "currentPriority": order.priority,
        "swRelease": "Atlas-25.0.40", "homepackage": "AnalysisTransforms", "transformation": "Sim_tf.py",
        "cmtConfig": "x86_64-el9-gcc13-opt", "jobPars": order.job_pars, "jobName": f"{dataset}.{job.id}",
        "cloud": "ND", "prodUserID": "/DC=org/O=act/CN=Test User",
        "outFiles": f"{output},{log}", "logFile": log, "logGUID": str(uuid.UUID(int=job.id)),
        "scopeOut": scope, "scopeLog": scope, "realDatasets": f"{dataset},{dataset}.log",
        "destinationDblock": f"{dataset}_sub1,{dataset}.log_sub2", "destinationDBlockToken": "NULL,NULL",
        "dispatchDBlockTokenForOut": "NULL,NULL", "fileDestinationSE": f"{order.queue},{order.queue}",
        "ddmEndPointOut": "TEST_DATADISK,TEST_DATADISK",
        "coreCount": 1, "minRamCount": 2000, "maxDiskCount": 1000, "maxCpuCount": 3600, "maxWalltime": 7200,
        "resource_type": order.resource_type, "ioIntensity": None, "ioIntensityUnit": None, "nSent": 0,
    }  # fmt: skip


def text_time(when: float) -> str:
    """A time as PanDA writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when))

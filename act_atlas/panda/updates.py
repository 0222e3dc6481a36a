"""Updates that the tower sends about a job, and their fields as data.

The server refuses a whole update for one unknown name or one value of the wrong type, so everything is brought into
shape here: texts are cut, numbers cast, and a value that cannot be is left out rather than the update lost.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

log = logging.getLogger(__name__)

Value = str | int | float


class Kind(Enum):
    """What a field takes."""

    INT = "int"
    NUMBER = "int or float"
    TEXT = "text"
    TIME = "epoch seconds, sent as UTC text"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an update. limit: bytes of text kept, 0 for no limit; bits of an INT."""

    name: str
    legacy: str
    kind: Kind = Kind.TEXT
    limit: int = 0


_MEMORY = ("rss", "vmem", "swap", "pss")
_IO = ("rchar", "wchar", "rbytes", "wbytes")

FIELDS: Mapping[str, Field] = {
    f.name: f
    for f in (
        Field("job_id", "jobId", Kind.INT, 63),
        Field("job_status", "state"),
        Field("attempt_nr", "attemptNr", Kind.INT, 31),
        Field("site_name", "siteName"),
        Field("node", "node", limit=128),
        Field("scheduler_id", "schedulerID"),
        Field("pilot_id", "pilotID", limit=200),
        Field("batch_id", "batchID", limit=80),
        Field("start_time", "startTime", Kind.TIME),
        Field("end_time", "endTime", Kind.TIME),
        Field("trans_exit_code", "transExitCode", Kind.INT, 31),
        Field("pilot_error_code", "pilotErrorCode", Kind.INT, 31),
        Field("pilot_error_diag", "pilotErrorDiag", limit=500),
        Field("exe_error_code", "exeErrorCode", Kind.INT, 31),
        Field("exe_error_diag", "exeErrorDiag", limit=500),
        Field("job_sub_status", "jobSubStatus", limit=80),
        Field("core_count", "coreCount", Kind.INT, 31),
        Field("mean_core_count", "meanCoreCount", Kind.INT, 31),
        Field("job_metrics", "jobMetrics", limit=500),
        Field("cpu_consumption_time", "cpuConsumptionTime", Kind.INT, 31),
        Field("cpu_consumption_unit", "cpuConsumptionUnit", limit=128),
        Field("cpu_conversion_factor", "cpuConversionFactor", Kind.NUMBER),
        Field("cpu_architecture_level", "cpu_architecture_level", limit=20),
        Field("pilot_timing", "pilotTiming", limit=100),
        Field("n_events", "nEvents", Kind.INT, 63),
        Field("n_input_files", "nInputFiles", Kind.INT, 31),
        *(Field(f"{p}_{m}", f"{p}{m.upper()}", Kind.NUMBER) for p in ("max", "avg") for m in _MEMORY),
        *(Field(f"{p}_{m}", f"{p}{m.upper()}", Kind.NUMBER) for p in ("tot", "rate") for m in _IO),
        Field("corrupted_files", "corruptedFiles"),
        Field("grid", "grid", limit=50),
        Field("source_site", "sourceSite", limit=36),
        Field("destination_site", "destinationSite", limit=36),
        Field("stdout", "stdout"),
        Field("pilot_log", "pilotLog"),
        Field("job_output_report", "xml"),
        Field("meta_data", "metaData"),
    )
}


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """One heartbeat or final report; what is None is not sent. Times are epoch seconds.

    job_status: starting, running, transferring, holding, finished or failed. A final report without attempt_nr would
    be dropped by the server, hence it is no option. batch_id: leave it to the pilot if there is one. measurements:
    any other field of `FIELDS`, as the pilot tells them.
    """

    job_id: int
    job_status: str
    attempt_nr: int
    site_name: str | None = None
    scheduler_id: str | None = None
    pilot_id: str | None = None
    batch_id: str | None = None
    node: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    core_count: int | None = None
    job_metrics: str | None = None
    job_sub_status: str | None = None
    pilot_error_code: int | None = None
    pilot_error_diag: str | None = None
    exe_error_code: int | None = None
    exe_error_diag: str | None = None
    trans_exit_code: int | None = None
    pilot_log: str | None = None
    job_output_report: str | None = None
    meta_data: str | None = None
    measurements: Mapping[str, Value] = field(default_factory=dict)

    def encode(self) -> dict[str, Value]:
        """The update under the names and types of v1."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "measurements"}
        encoded: dict[str, Value] = {}
        for name, value in {**self.measurements, **{k: v for k, v in own.items() if v is not None}}.items():
            fitted = fit(FIELDS[name], value) if name in FIELDS else None
            if fitted is None:
                log.warning("job %s: %s=%.100r is no value PanDA takes; left out", self.job_id, name, value)
            else:
                encoded[name] = fitted
        return encoded

    def encode_legacy(self) -> dict[str, str]:
        """The update under the names of the legacy interface, where everything is text."""
        return {FIELDS[name].legacy: str(value) for name, value in self.encode().items()}


def fit(field: Field, value: Value) -> Value | None:
    """The value as the server takes it, or None."""
    if field.kind is Kind.TEXT:
        text = str(value).replace("\0", "").encode("utf-8", "replace")
        return (text[: field.limit] if field.limit else text).decode("utf-8", "ignore")
    try:
        number = float(value) if not isinstance(value, int) else value
    except ValueError:
        return None
    if isinstance(value, bool) or (isinstance(number, float) and not math.isfinite(number)):
        return None
    if field.kind is Kind.NUMBER:
        return number
    if field.kind is Kind.TIME:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(number)) if 0 <= number < 1e11 else None
    rounded = round(number)
    return rounded if abs(rounded) < 2**field.limit else None

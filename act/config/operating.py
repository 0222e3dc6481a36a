"""What operators look at: the report and its figures over time, alarms, metrics, and the guard against black holes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from act.states import MAX_SUBMISSIONS
from act.xmlconfig import ConfigPath, Count, Network, Seconds, Section


class Report(Section):
    """The daemon ``report``: figures over time, causes of errors, and a page that any web server may show.

    html_file: kept fresh, where it is given. every_s: how often. minutes_h, hours_d, days_d: how long figures by minute
    (in hours), by hour and by day (in days) are kept. causes_d: how long an error that does not come again is kept.
    """

    html_file: ConfigPath | None = None
    every_s: Seconds = 60
    minutes_h: Count = 48
    hours_d: Count = 60
    days_d: Count = 1100
    causes_d: Count = 30


class Alarms(Section):
    """What is worth waking somebody for, where it is a matter of degree.

    silent_s: a daemon or host that says nothing. ce_down_s: a CE that does not answer. credential_h: a credential that
    is not renewed and has less left. clock_s: a clock that goes wrong. database_s: how long the database may take for
    a small question. disk_mb, disk_percent: room and share of room that must be free where the tower writes.
    """

    silent_s: Seconds = 45
    ce_down_s: Seconds = 30
    credential_h: float = Field(12, gt=0)
    clock_s: Seconds = 30
    database_s: Seconds = 1
    disk_mb: Count = 1000
    disk_percent: float = Field(2, ge=0, lt=100)


class Guard(Section):
    """The daemon ``guard``. A CE queue is a black hole when of the last ``window`` attempts that ended there within
    ``within_s``, at least ``least`` and the share ``bad`` failed after less than ``short_s`` of running. It then gets
    one job at a time until ``probes`` in a row were good. An attempt that was at CEs ``submissions`` times and ended
    there without having been allowed to run is quarantined.
    """

    disabled: bool = False
    window: Count = 20
    within_s: Seconds = 3600
    least: Count = 10
    bad: float = Field(0.8, gt=0, le=1)
    short_s: Seconds = 180
    probes: Count = 2
    submissions: int = Field(8, gt=0, lt=MAX_SUBMISSIONS)

    @model_validator(mode="after")
    def _fits(self) -> Guard:
        if self.least > self.window:
            raise ValueError("least must not be more than window")
        return self


class Metrics(Section):
    """Prometheus. Served by ``actctl web`` at /metrics; textfile: written too, for its node exporter.

    allow: the addresses (or networks) that may ask; see also ``web/forwarder``.
    """

    disabled: bool = False
    textfile: ConfigPath | None = None
    allow: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")


class LogFile(Section):
    """A file of the log beside stderr, for each process: ``{path}/{process}.log``, rotated."""

    directory: ConfigPath = Path("var/log")
    max_mb: Count = 50
    keep: Count = 5

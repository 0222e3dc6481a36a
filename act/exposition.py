"""What Prometheus is told: what the processes of this host counted, and what the database says of the whole tower.

`GAUGES` are those of the database, of the master and of this host's daemons; the counts are in `act.metrics`. All of
them are told in docs/metrics.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection

from act import __version__, files, metrics
from act.alarms import ask
from act.config import CoreConfig
from act.db import credentials, figures, hosts, meta, orders, survey
from act.db.engine import Database
from act.errors import DatabaseBusy
from act.figures import QUEUE, SLOTS, TOWER
from act.interfaces import Application, plugins
from act.master import read_status
from act.states import CEJOB, DEADLINES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MB = 1_000_000

# Name -> what it says, and its labels.
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "act_build_info": ("Always 1; the version is a label.", ("version",)),
    "act_master_up": ("Whether the master of this host runs.", ()),
    "act_daemon_up": ("Whether a process of this host runs, by the word of its master.", ("daemon",)),
    "act_daemon_restarts": ("How often the master has started it again.", ("daemon",)),
    "act_database_up": ("Whether the database answers.", ()),
    "act_database_seconds": ("How long it took for a small question just now.", ()),
    "act_daemon_silent_seconds": ("For how long a process has not reported in the database.", ("host", "daemon")),
    "act_submission_stopped": ("Whether nothing at all is submitted, until an operator has looked.", ()),
    "act_attempts": ("Attempts by state and CE; those without a CE wait for one.", ("ce", "state")),
    "act_attempts_oldest_seconds": ("For how long the oldest attempt has been in its state.", ("state",)),
    "act_attempts_deadline_seconds": ("For how long an attempt may be in a state.", ("state",)),
    "act_jobs": ("Jobs of an application by queue and state.", ("app", "queue", "state")),
    "act_queue_slots": ("Cores of the jobs of a queue that run.", ("app", "queue")),
    "act_app_figure": ("What else an application says of itself.", ("app", "key")),
    "act_order": ("Orders in force: the value of a limit, else 1.", ("kind", "name", "queue", "what")),
    "act_breaker_open": ("Whether a host leaves a CE alone because it failed.", ("ce", "host")),
    "act_proxy_expires_timestamp_seconds": ("When a proxy runs out.", ("role",)),
    "act_token_expires_timestamp_seconds": ("When the token for a CE runs out.", ("ce",)),
    "act_host_silent_seconds": ("For how long a host has not reported.", ("host",)),
    "act_host_clock_skew_seconds": ("The host's clock minus the database's.", ("host",)),
    "act_host_database_seconds": ("How long the database took for a small question of this host.", ("host",)),
    "act_host_load": ("Load of a host, by CPU.", ("host",)),
    "act_host_disk_free_bytes": ("Room that is free where the tower writes.", ("host", "path")),
    "act_host_disk_size_bytes": ("Size of that file system.", ("host", "path")),
    "act_alarm": ("What somebody has to look at.", ("name", "severity", "about")),
}  # fmt: skip


class _Gauges:
    """All gauges, those without a value too, so that each scrape has the same names; one value for the same labels."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in GAUGES}

    def set(self, name: str, value: float, *labels: str) -> None:
        self._values[name][labels] = value

    def __iter__(self) -> Iterator[Metric]:
        for name, (text, labels) in GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=labels)
            for of, value in self._values[name].items():
                family.add_metric(of, value)
            yield family


class _Told:
    """A collector that gives what is there."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def render(database: Database, config: CoreConfig) -> bytes:
    """All metrics in Prometheus' text format. A database that does not answer is told by ``act_database_up``."""
    gauges = _Gauges()
    gauges.set("act_build_info", 1, __version__)
    _tell_master(gauges, config)
    try:
        begun = time.perf_counter()
        database.read("clock", meta.clock)
        gauges.set("act_database_seconds", time.perf_counter() - begun)
        tower = database.snapshot("metrics", lambda c: _tower(c, config))
    except DatabaseBusy:
        gauges.set("act_database_up", 0)
    else:
        gauges.set("act_database_up", 1)
        for name, value, *labels in tower:
            gauges.set(name, value, *labels)
    metrics.save()  # what this process counted is not old either
    registry = CollectorRegistry()
    registry.register(_Told([*gauges, *metrics.collected(config.paths.metrics_dir)]))
    return generate_latest(registry)


def write_textfile(database: Database, config: CoreConfig) -> None:
    """Put all metrics where the node exporter looks, if that is configured. Raises OSError."""
    if config.metrics.textfile is not None:
        files.write_file(config.metrics.textfile, render(database, config), 0o644, durable=False)


_Value = tuple[str, float, *tuple[str, ...]]  # name, value, labels


def _tell_master(gauges: _Gauges, config: CoreConfig) -> None:
    status = read_status(config.paths.run_dir)
    gauges.set("act_master_up", status is not None)
    for daemon in status["daemons"] if status is not None else ():
        gauges.set("act_daemon_up", daemon["state"] == "running", daemon["name"])
        gauges.set("act_daemon_restarts", daemon["restarts"], daemon["name"])


def _tower(connection: Connection, config: CoreConfig) -> list[_Value]:
    """What the database says, of one moment."""
    applications: dict[str, Application] = plugins("act.app")
    found: list[_Value] = [("act_submission_stopped", meta.stopped(connection) is not None)]
    found += _attempts(connection, config)
    for name, application in applications.items():
        found += _jobs(connection, name, application)
    found += _places(connection)
    found += _credentials(connection, {proxy.role for proxy in config.proxies.proxy})
    found += _hosts(connection)
    for alarm in ask.ask(connection, config, applications=applications.values()):
        found.append(("act_alarm", 1, alarm.name, alarm.severity, alarm.about))
    return found


def _attempts(connection: Connection, config: CoreConfig) -> Iterator[_Value]:
    urls = {0: ""} | {row.id: row.url for row in survey.ces_listed(connection)}
    by_place: Counter[tuple[str, str]] = Counter()  # a CE may be known by several ways to it
    for ce_id, states in survey.states_by_ce(connection).items():
        by_place.update({(urls[ce_id], state): n for state, n in states.items() if state not in CEJOB.final})
    for place, n in by_place.items():
        yield "act_attempts", n, *place
    oldest = figures.oldest(connection)
    deadlines = {state: d.seconds for state, d in DEADLINES.items()}
    deadlines |= {d.state: d.seconds for d in config.deadlines.deadline}
    for state, seconds in deadlines.items():
        yield "act_attempts_oldest_seconds", oldest.get(state, 0.0), state
        yield "act_attempts_deadline_seconds", seconds, state


def _jobs(connection: Connection, name: str, application: Application) -> Iterator[_Value]:
    """Users are people: how many jobs each has is for the pages only."""
    for f in application.operations.figures(connection):
        if f.scope == QUEUE and f.key == SLOTS:
            yield "act_queue_slots", f.value, name, f.name
        elif f.scope == QUEUE:
            yield "act_jobs", f.value, name, f.name, f.key
        elif f.scope == TOWER:
            yield "act_app_figure", f.value, name, f.key


def _places(connection: Connection) -> Iterator[_Value]:
    """CEs, and what is ordered of them and of others."""
    urls = {row.id: row.url for row in survey.ces_listed(connection)}
    breakers = survey.breakers_listed(connection)
    shut = {(urls[row.ce_id], row.host) for row in breakers if row.open_until is not None}
    for place in {(urls[row.ce_id], row.host) for row in breakers}:
        yield "act_breaker_open", place in shut, *place
    for row in orders.in_force(connection):
        value = 1 if row.value is None else row.value
        yield "act_order", value, row.kind, row.name, row.queue, row.what


def _credentials(connection: Connection, roles: Collection[str]) -> Iterator[_Value]:
    """The tower's own; those of people are theirs."""
    for role, row in credentials.by_role(connection).items():
        if role in roles:
            yield "act_proxy_expires_timestamp_seconds", row.expires, role
    for ce, row in credentials.all_tokens(connection).items():
        yield "act_token_expires_timestamp_seconds", row.expires, ce


def _hosts(connection: Connection) -> Iterator[_Value]:
    for row in meta.daemon_rows(connection):
        yield "act_daemon_silent_seconds", row.age_s, row.host, row.name
    for seen in hosts.all_of(connection):
        yield "act_host_silent_seconds", seen.age_s, seen.host
        yield "act_host_clock_skew_seconds", seen.facts.clock_skew_s, seen.host
        yield "act_host_database_seconds", seen.facts.database_s, seen.host
        yield "act_host_load", seen.facts.load, seen.host
        for disk in seen.facts.disks:
            yield "act_host_disk_free_bytes", disk.free_mb * _MB, seen.host, disk.path
            yield "act_host_disk_size_bytes", disk.total_mb * _MB, seen.host, disk.path

"""Drive N jobs through tower and simulators on MariaDB and print what that took.

``python -m bench --jobs 1000`` (``make bench``). Writes the same figures to bench/latest.json: jobs_per_s, sql_per_job,
http_per_job, latency_s {median, p99}, rss_mb and cpu_s {daemon: n}.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from act.cli import show
from act.db.engine import Database
from act.db.schema import daemons, events
from act_atlas.db import pandajobs
from act_atlas.trial import TrialCE, World
from bench.processes import of_tower, used
from tests.services.mariadb import MariaDB

RESULT = Path(__file__).parent / "latest.json"
IDLE_JOBS = 15
FINAL = {"finished", "failed", "cancelled", "closed"}
CORE = """
  <polling><status_s>5</status_s><submit_batch>100</submit_batch></polling>
  <limits><max_waiting>5000</max_waiting></limits>
"""
PANDA = "<minjobs>5000</minjobs>"


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--run-s", type=float, default=5.0, help="how long each job pretends to run")
    parser.add_argument("--nordugrid", action="store_true", help="the tower speaks for the pilots, and checks outputs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="act-bench-") as name, MariaDB() as server:
        server.create_database("act")
        figures = _measure(Path(name), server.url("act"), options.jobs, options.run_s, options.nordugrid)
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    _print(figures)
    return 0


def _measure(directory: Path, database: str, jobs: int, run_s: float, nordugrid: bool) -> dict[str, Any]:
    with World(directory) as world:
        world.panda = told = world.start("bench.far_side", "--dir", str(directory), "--run-s", str(run_s))
        ces = [TrialCE("ARC-CE", url, "default") for url in told["ces"]]
        storage = {"BENCH": f"file://{directory}/storage"} if nordugrid else {}
        env = world.configure({"BENCH": ces}, database=database, core=CORE, panda=PANDA, storage=storage)
        db = Database(database)
        subprocess.run([_actctl(), "init", "--directory", str(directory)], env=env, check=True, capture_output=True)
        with _tower(env, directory) as master:
            _wait(world, world.order("BENCH", count=1, seconds=0), 120)  # everything is warm
            idle = _latencies(db, world, _one_by_one(world))
            before = _counters(db, world, ces)
            started = time.time()
            ids = world.order("BENCH", count=jobs, seconds=0)
            _wait(world, ids, 60 + jobs)
            took = time.time() - started
            time.sleep(12)  # the daemons tell their numbers every ten seconds
            after = _counters(db, world, ces)
            loaded = _latencies(db, world, ids)
            work = used(of_tower(directory / "run", master))
            sql = {name: round((n - before["sql"].get(name, 0)) / jobs, 2) for name, n in after["sql"].items()}
        db.close()
    return {
        "jobs": jobs,
        "mode": "NorduGrid" if nordugrid else "true pilot",
        "seconds": round(took, 1),
        "jobs_per_s": round(jobs / took, 1),
        "sql_per_job": round(sum(sql.values()), 2),
        "sql_per_job_by_daemon": sql,
        "http_per_job": round((after["http"] - before["http"]) / jobs, 2),
        "latency_s": {"median": _round(idle, 0.5), "p99": _round(idle, 0.99)},
        "latency_loaded_s": {"median": _round(loaded, 0.5), "p99": _round(loaded, 0.99)},
        "rss_mb": {name: w.peak_mb for name, w in work.items()},
        "cpu_s": {name: w.cpu_s for name, w in work.items()},
    }


@contextmanager
def _tower(env: Mapping[str, str], directory: Path) -> Iterator[int]:
    with (directory / "master.log").open("w") as log:
        process = subprocess.Popen([_actctl(), "run"], env=dict(env), stderr=log, stdout=log)
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _actctl() -> str:
    return str(Path(sys.executable).with_name("actctl"))


def _one_by_one(world: World) -> list[int]:
    """Single jobs for a tower that has nothing else to do."""
    ids = []
    for _ in range(IDLE_JOBS):
        ids += world.order("BENCH", count=1, seconds=0)
        time.sleep(1.7)  # out of step with the daemons' pauses
    _wait(world, ids, 120)
    return ids


def _wait(world: World, ids: list[int], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.5)
        counts = world.call("GET", "/_sim/summary")["jobs"]
        if sum(counts.get(s, 0) for s in FINAL) >= max(ids) - FIRST_ID + 1:
            return
    raise SystemExit(f"the jobs did not end in {seconds:.0f} s: {counts}")


FIRST_ID = 6000000001


def _counters(db: Database, world: World, ces: list[TrialCE]) -> dict[str, Any]:
    """SQL statements by daemon; requests that reached PanDA and the CEs."""
    sql = {r.name: r.statements for r in db.read("counters", lambda c: c.execute(select(daemons)).all())}
    states = [world.call("GET", "/_sim/state", base=ce.url.removesuffix("/arex")) for ce in ces]
    states.append(world.call("GET", "/_sim/state"))
    requests = [n for s in states for route, n in s["requests"].items() if "/_sim" not in route]
    return {"sql": sql, "http": sum(requests)}


def _latencies(db: Database, world: World, ids: list[int]) -> list[float]:
    """From activated at PanDA to accepted by a CE, in s."""
    stories = world.stories()
    query = (
        select(pandajobs.c.pandaid, events.c.at)
        .join(events, events.c.job_id == pandajobs.c.cejob_id)
        .where(events.c.kind == "cejob", events.c.event == "accepted")
    )
    accepted = {r.pandaid: r.at for r in db.read("latency", lambda c: c.execute(query).all())}
    return sorted(accepted[i] - stories[i]["history"][0][0] for i in ids if i in accepted)


def _round(values: list[float], part: float) -> float:
    return round(statistics.quantiles(values, n=100, method="inclusive")[round(part * 100) - 1], 2)


def _print(figures: Mapping[str, Any]) -> None:
    rows = [
        ("jobs per second", figures["jobs_per_s"]),
        ("SQL statements per job", figures["sql_per_job"]),
        ("HTTP calls per job", figures["http_per_job"]),
        ("latency activated to accepted, idle tower: median, s", figures["latency_s"]["median"]),
        ("... p99, s", figures["latency_s"]["p99"]),
        ("latency under this load: median, s", figures["latency_loaded_s"]["median"]),
    ]
    click.echo(f"{figures['jobs']} jobs in {figures['mode']} mode in {figures['seconds']} s")
    show.table("Tower", ("figure", "value"), rows)
    sql = figures["sql_per_job_by_daemon"]
    table = [(name, mb, figures["cpu_s"][name], sql.get(name, "")) for name, mb in figures["rss_mb"].items()]
    show.table("Processes", ("daemon", "peak MB", "CPU s", "SQL per job"), table)


if __name__ == "__main__":
    sys.exit(main())

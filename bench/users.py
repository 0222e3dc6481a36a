"""Submit many jobs with one ``actcli sub`` to a whole tower on MariaDB, list many, and get many; print what it took.

``python -m bench.users --jobs 1000 --listed 10000 --fetched 200``. The tower, its web server and actcli are the real
ones; the jobs have a small input file each, and only pretend to run, at two simulated CEs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import func, select

from act.cli import show
from act.cli.user.config import session
from act.client.identity import Gate
from act.client.jobs import Jobs
from act.client.model import Filter, NewJob, Submitted
from act.client.tables import clientjobs
from act.config import load_core
from act.daemons import registry
from act.db.engine import Database, chunks
from act.storage import Store
from act_atlas.demo.scientist import Scientist
from act_atlas.trial import Tower, World
from bench.processes import children, of_tower, used
from tests.services.mariadb import MariaDB

CORE = """
  <polling><status_s>5</status_s><submit_batch>100</submit_batch></polling>
  <limits><max_waiting>5000</max_waiting></limits>
"""
ENDED = {"done"}
JOB = """(&
  (jobname = "bench-{n}") (executable = "/bin/sort") (arguments = "data.txt")
  (inputfiles = ("data.txt" "data{n}.txt")) (outputfiles = ("out.txt" ""))
  (stdout = "stdout.txt") (join = "yes") (walltime = "5 minutes") (memory = "500"))
"""
LISTED = '&(jobname = "listed-{n}")(executable = "/bin/true")(stdout = "stdout.txt")(walltime = "5 minutes")'
TRIES = 3


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.users", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--listed", type=int, default=10_000)
    parser.add_argument("--fetched", type=int, default=200)
    parser.add_argument("--run-s", type=float, default=5.0, help="how long each job pretends to run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="act-bench-") as name, MariaDB() as server:
        server.create_database("act")
        with _bench(Path(name), server.url("act"), options.run_s) as bench:
            bench.submit(options.jobs)
            bench.get(options.fetched)
            bench.tell_processes()
            bench.tower.stop()
            bench.list(options.listed)
    return 0


@contextmanager
def _bench(directory: Path, database: str, run_s: float) -> Iterator[Bench]:
    """A tower that works, with its web server, and a scientist with a session."""
    with World(directory) as world:
        world.start_panda()
        for name in ("ce1", "ce2"):
            world.start_ce(name, "--run", "pretend", "--run-s", str(run_s))
        scientist = Scientist(world, world.ces, None)
        people = scientist.configuration().replace("<processes>1</processes>", "")  # as many as by default
        tower = world.tower(world.configure({"BENCH": world.ces}, database=database, core=CORE + people))
        tower.start()
        scientist.begin(tower)
        db = Database(database)
        try:
            yield Bench(world, scientist, tower, db)
        finally:
            db.close()


@dataclass
class Bench:
    """What is measured, one method each; all print what they found."""

    world: World
    scientist: Scientist
    tower: Tower
    db: Database

    def submit(self, n: int) -> None:
        """One ``actcli sub``; then wait until all jobs have ended."""
        for i in range(n):
            (self.scientist.directory / f"data{i}.txt").write_text(f"{i}\n")
        (self.scientist.directory / "jobs.xrsl").write_text("+" + "".join(JOB.format(n=i) for i in range(n)))
        statements, begun = self._statements(), time.monotonic()
        seconds, peak_mb = self._actcli("sub", "jobs.xrsl")
        rate = (self._statements() - statements) / n
        while (ended := self._ended()) < n:
            if time.monotonic() > begun + 60 + n:
                raise SystemExit(f"{n - ended} jobs have not ended")
            time.sleep(0.2)
        through = time.monotonic() - begun
        _say(f"sub: {n} jobs accepted in {seconds:.1f} s, {n / seconds:.0f} jobs/s; actcli: {peak_mb:.0f} MB; "
             f"{rate:.1f} SQL statements per job, the daemons' included")  # fmt: skip
        _say(f"tower: {n} jobs through all of it in {through:.1f} s, {n / through:.1f} jobs/s")

    def get(self, n: int) -> None:
        """One ``actcli get`` of jobs that have ended."""
        seconds, peak_mb = self._actcli("get", f"1-{n}", "--directory", "results")
        files = sum(1 for p in (self.scientist.directory / "results").rglob("*") if p.is_file())
        _say(f"get: {n} jobs, {files} files in {seconds:.1f} s; actcli: {peak_mb:.0f} MB")

    def list(self, n: int) -> None:
        """Jobs with attempts that wait, as many as are missing to ``n``; then all are listed. The daemons are down."""
        self._fill(n)
        servers = {str(pid): pid for pid in self._servers().values()}
        for _ in range(TRIES):
            before = sum(u.cpu_s for u in used(servers).values())
            begun = time.monotonic()
            jobs, size = self._listed(n)
            seconds = time.monotonic() - begun
            cpu_s = sum(u.cpu_s for u in used(servers).values()) - before
            _say(f"list: {jobs} jobs, {size / 1e6:.1f} MB in {seconds:.2f} s, {cpu_s:.2f} s of the server's CPU")
        seconds, peak_mb = self._actcli("stat", "--all", "--format", "json")
        _say(f"stat: all of them in {seconds:.2f} s; actcli: {peak_mb:.0f} MB")

    def tell_processes(self) -> None:
        """Memory and time of every process of the tower."""
        assert self.tower.pid is not None
        found = used(of_tower(self.tower.directory / "run", self.tower.pid) | self._servers())
        rows = [(name, u.peak_mb, u.cpu_s) for name, u in found.items()]
        show.table("Processes", ("name", "peak MB", "CPU s"), rows)

    def _servers(self) -> dict[str, int]:
        """Name -> pid of the web server's processes."""
        pids = [
            pid for pid in children(os.getpid()) if b"web" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        ]
        (master,) = pids
        return {"web": master} | {f"web.{n}": pid for n, pid in enumerate(children(master), 1)}

    def _actcli(self, *arguments: str) -> tuple[float, float]:
        """Run a command; (seconds, its peak resident MB)."""
        command = ["sh", "-c", '. ./actcli.sh && exec actcli "$@"', "sh", *arguments]
        begun = time.monotonic()
        with (self.scientist.directory / "actcli.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self.scientist.directory, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"actcli {arguments}: {(self.scientist.directory / 'actcli.log').read_text()[-2000:]}")
        return time.monotonic() - begun, usage.ru_maxrss / 1024

    def _ended(self) -> int:
        query = select(func.count()).select_from(clientjobs).where(clientjobs.c.shown.in_(ENDED))
        return int(self.db.read("ended", lambda c: c.execute(query).scalar_one()))

    def _statements(self) -> int:
        """That the database has executed by now."""
        row = self.db.read("statements", lambda c: c.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Questions'").one())
        return int(row[1])

    def _fill(self, n: int) -> None:
        """Put jobs into the tower, as its web server would, and give them attempts."""
        config = load_core(Path(self.tower.environment["ACTCONFIGARC"]))
        caller = Gate(config, self.db).caller(f"Bearer {self._token()}")
        jobs = Jobs(config, self.db, Store(config.paths.store_dir))
        missing = range(n - len(jobs.find(caller, Filter(), limit=n)))
        for part in chunks(missing):
            answers = jobs.submit(caller, [NewJob(LISTED.format(n=i), "xrsl", (), ()) for i in part])
            if not all(isinstance(a, Submitted) for a in answers):
                raise SystemExit(f"not submitted: {answers[0]}")
        waiting = select(func.count()).select_from(clientjobs).where(clientjobs.c.state == "sent")
        daemon = registry.build("client2arc", config)
        while self.db.read("waiting", lambda c: c.execute(waiting).scalar_one()):
            daemon.once()
        daemon.daemon.close()
        daemon.context.close()

    def _listed(self, n: int) -> tuple[int, int]:
        """How many jobs one call lists, and the bytes of its answer."""
        trust = ssl.create_default_context(cafile=str(self.world.ca.ca_cert))
        port = int(self.scientist.url.rpartition(":")[2])
        connection = http.client.HTTPSConnection("localhost", port, context=trust, timeout=60)
        try:
            connection.request("GET", f"/api/v1/jobs?limit={n}", headers={"Authorization": f"Bearer {self._token()}"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise SystemExit(f"no list: {answer.status} {body[:500]!r}")
        return len(json.loads(body)["jobs"]), len(body)

    def _token(self) -> str:
        found = session(self.scientist.url, {"XDG_DATA_HOME": str(self.scientist.directory / ".local")})
        assert found is not None
        return found.token


def _say(text: str) -> None:
    click.echo(f"{text} (load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    sys.exit(main())

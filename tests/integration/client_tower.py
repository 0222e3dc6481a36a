"""The daemons of people's jobs over a real database and a fake CE; each pass is made by hand."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sqlalchemy import Connection, insert, select

from act import keys
from act.client import db
from act.client.identity import Caller
from act.client.jobs import Jobs
from act.client.model import Begun, Confirmed, Filter, JobRow
from act.client.tables import clientjobs, clientusage
from act.client.tables_people import users
from act.config import CORE_FILE, CoreConfig, load_core
from act.daemons.context import Context
from act.daemons.registry import all_daemons
from act.daemons.runner import Runner
from act.db.engine import AnyRow, Database, inserted_id, now
from act.storage import Store
from tests.fakes import Site
from tests.kit import Rows
from tests.power import Power
from tests.tower import TEMPLATE, FakeContext, pass_time
from tests.truth import assert_all_explained

URLS = ("https://ce1.example.org:443/arex", "https://ce2.example.org:443/arex")
CONFIG = """
<config>
  <database><url>{url}</url></database>
  <paths>
    <state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir><work_dir>work</work_dir>
  </paths>
  <proxies><key_file>proxy.key</key_file></proxies>
  <users>
    <begun_s>600</begun_s><keep_days>2</keep_days><max_file_mb>1</max_file_mb><max_inputs>3</max_inputs>
    <max_description_kb>10</max_description_kb>
    <ce name="one" url="{ce1}" queue="grid" flavour="arc"/>
    <ce name="two" url="{ce2}" queue="grid" flavour="arc"/>
    <ce name="pool" url="ce3.example.org:9619" flavour="condor"/>
    <group name="all"><issuer>/CN=CA</issuer>{quota}</group>
    <group name="few"><subject>/CN=few</subject><ce>one</ce></group>
  </users>
  <web><secret_file>web.key</secret_file></web>
  {extra}
</config>
"""
QUOTA = "<quota><max_jobs>{}</max_jobs><max_files>{}</max_files><max_mb>{}</max_mb></quota>"
JSON = '{"name": "NAME", "executable": "run.sh", "inputs": [{"name": "run.sh"}]}'
PLAIN = '{"name": "NAME", "executable": "/bin/true"}'
DAEMONS = ("client2arc", "submitter-arc", "status-arc", "fetcher-arc", "canceller-arc", "cleaner-arc", "clientstatus")
MakeClientTower = Callable[..., "ClientTower"]


class ClientTower(Rows):
    """`once("client2arc")` is what ``actctl daemon client2arc --once`` does."""

    def __init__(
        self, directory: Path, url: str, *, quota: str = "", extra: str = "", ces: Sequence[str] = URLS
    ) -> None:
        directory.mkdir(exist_ok=True)
        path = directory / CORE_FILE
        path.write_text(CONFIG.format(url=escape(url), ce1=ces[0], ce2=ces[1], quota=quota, extra=extra))
        self.directory = directory
        self.config: CoreConfig = load_core(path)
        self.environment = {"ACTCONFIGARC": str(path), "ACTCONFIGATLAS": str(TEMPLATE)}
        keys.make_key(self.config.proxies.key_file)
        super().__init__(Database(url))
        self.sites = [Site(u, Power()) for u in ces]
        for site in self.sites:
            site.files = {"stdout.txt": b"hello\n"}
        self.store = Store(self.config.paths.store_dir)
        self.jobs = Jobs(self.config, self.db, self.store)
        self._context = self.context()
        self.power = Power()  # of what hangs on it
        self.ran: dict[str, int] = {}  # token of a submission -> how often its payload was executed
        self.callers: list[Caller] = []

    def context(self) -> Context:
        """What daemons work with; the CEs are fakes."""
        return FakeContext(self.config, self.sites)

    # -- people ----------------------------------------------------------------------------------------------------

    def caller(self, *groups: str, credential: bool = True, pem: bytes = b"pem") -> Caller:
        """Somebody new. pem: the credential that this one has left."""
        number = len(self.callers) + 1
        name = f"/CN=user{number}"
        row = {"issuer": "/CN=CA", "subject": name, "digest": f"{number:064}", "created": now(), "seen": now()}
        user_id = self.db.run("test", lambda c: inserted_id(c.execute(insert(users).values(**row))))
        sealed = keys.seal(pem, self.config.proxies.key_file)
        proxy_id = self.proxy(f"user-{user_id}-x", sealed) if credential else None
        self.callers.append(
            Caller(user_id, "/CN=CA", name, frozenset(groups or ("all",)), proxy_id, time.time() + 3600, "s")
        )
        return self.callers[-1]

    def begun(self, caller: Caller, n: int = 1, **more: Any) -> list[int]:
        """Jobs without anything."""
        return [b.id for b in self.jobs.begin(caller, [()] * n, **more) if isinstance(b, Begun)]

    def upload(self, caller: Caller, job: int, name: str = "run.sh", content: bytes = b"#!/bin/sh\n") -> None:
        self.jobs.upload(caller, job, name, io.BytesIO(content))

    def sent(self, caller: Caller, n: int = 1, name: str = "job", *, ces: Sequence[str] = ("one",)) -> list[int]:
        """Confirmed jobs, with their program."""
        ids = [b.id for b in self.jobs.begin(caller, [ces] * n) if isinstance(b, Begun)]
        for i in ids:
            self.upload(caller, i)
        answers = self.jobs.confirm(caller, [(i, JSON.replace("NAME", name), "json") for i in ids])
        assert all(isinstance(a, Confirmed) for a in answers), answers
        return ids

    def active(self, caller: Caller, n: int = 1) -> list[int]:
        """Jobs whose attempts are at the CE, and run."""
        ids = self.sent(caller, n)
        self.once("client2arc", "submitter-arc")
        self.tick()
        return ids

    # -- time ------------------------------------------------------------------------------------------------------

    def once(self, *names: str) -> int:
        """One pass of each daemon, just started; how many jobs moved."""
        moved = 0
        for name in names:
            entry = all_daemons()[name]
            daemon = entry.load()(self._context, name, entry.flavour)
            try:
                moved += Runner(daemon, threads=2, lane_deadline_s=60).once()
            finally:
                daemon.close()
        return moved

    def pass_time(self, seconds: float) -> None:
        pass_time(self.db, seconds)

    def tick(self) -> None:
        """Jobs at the sites go one step on, and the tower hears of it."""
        self.tick_sites()
        self.pass_time(61)
        self.once("status-arc", "fetcher-arc", "clientstatus")

    def settle(self, rounds: int = 12, *, seconds: float = 61, until: Callable[[], bool] = lambda: False) -> None:
        """Everything goes on, for so many rounds, or until something is so."""
        for _ in range(rounds):
            if until():
                return
            self.pass_time(seconds)
            self.once(*DAEMONS)
            self.tick_sites()

    def tick_sites(self) -> None:
        """Jobs at the sites go one step on."""
        for site in self.sites:
            site.tick()
            self.ran |= {j.name.rsplit("act.", 1)[1]: j.runs for j in site.jobs.values() if j.runs}

    def restart(self) -> None:
        """The machine is up again after a crash: nothing is left of the old processes."""
        self.power.restore()
        self._context.close()
        self._context = self.context()

    def say(self, job: int, state: str, **more: Any) -> None:
        """The CE says this of the job's attempt, and the tower hears of it."""
        ce_job_id = self.attempt(job).ce_job_id
        there = next(site.jobs[ce_job_id] for site in self.sites if ce_job_id in site.jobs)
        there.state = state
        for name, value in more.items():
            setattr(there, name, value)
        for _ in range(3):
            self.pass_time(61)
            self.once("status-arc", "fetcher-arc", "clientstatus")

    # -- looking ---------------------------------------------------------------------------------------------------

    def row(self, job: int) -> AnyRow:
        """A job as the database has it."""
        return self.db.read("test", lambda c: db.get(c, [job], whole=True))[job]

    def attempt(self, job: int) -> AnyRow:
        """Its current attempt."""
        return self.get(self.row(job).cejob_id)

    def shown(self, caller: Caller, *jobs: int) -> list[str]:
        """What its owner sees."""
        return [r.shown for r in self.jobs.find(caller, Filter(ids=jobs))]

    def all(self, caller: Caller) -> list[JobRow]:
        return self.jobs.find(caller, Filter())

    def assert_counted(self) -> None:
        """What counts against quotas is the sum over all jobs."""

        def work(c: Connection) -> None:
            for usage in c.execute(select(clientusage)):
                rows = c.execute(select(clientjobs).where(clientjobs.c.user_id == usage.user_id)).all()
                sums = (len(rows), sum(r.files for r in rows), sum(r.bytes for r in rows))
                assert (usage.jobs, usage.files, usage.bytes) == sums

        self.db.read("test", work)

    def assert_explained(self) -> None:
        """Every job's explanation names who acts next, and when something happens at the latest."""
        assert_all_explained(self.environment)

    def close(self) -> None:
        self._context.close()
        self.db.close()

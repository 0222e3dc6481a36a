"""The daemons of PanDA over a real database, a simulated PanDA and a fake CE; each pass is made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from act import keys
from act.config import load_core
from act.daemons.registry import all_daemons
from act.daemons.runner import Runner
from act.db.engine import AnyRow, Database
from act.simulation import TestCA
from act_atlas import db
from act_atlas.simulator import CRIC_PATH, WRAPPER_PATH, Order, PandaSimulator
from act_atlas.trial import configuration
from tests.fakes import Site
from tests.kit import Rows
from tests.power import Power
from tests.tower import FakeContext, pass_time

QUEUE = "ARC-TEST"
ARC_CE = ("ARC-CE", "https://ce1.example.org:443/arex")
SETTINGS = "<retry_s>60</retry_s><final_grace_s>300</final_grace_s><archive_after_s>60</archive_after_s>"


class PandaTower(Rows):
    """`once("getjob")` is what ``actctl daemon getjob --once`` does. Attempts go to a fake CE."""

    def __init__(
        self, directory: Path, template: Path, ca: TestCA, panda: PandaSimulator, *, atlas: str = "",
        facts: Mapping[str, Any] | None = None, ce: tuple[str, str] = ARC_CE, core: str = "",
    ) -> None:  # fmt: skip
        """core, atlas: further XML elements of the files; facts: what CRIC says of the queue besides; ce: its CE."""
        self.panda, self.directory = panda, directory
        shutil.copy(template, directory / "act.db")
        super().__init__(Database(f"sqlite:///{directory / 'act.db'}"))
        flavour, url = ce
        self.site = Site(url, Power())
        entry = configuration.cric_entry(QUEUE, [(flavour, url, "default")])
        panda.board.cric = {QUEUE: {**entry, **(facts or {})}}
        self.environment = self._configure(ca, core, atlas)
        self._context = FakeContext(load_core(directory / "aCTConfigARC.xml"), [self.site])

    def _configure(self, ca: TestCA, more_core: str, more_atlas: str) -> dict[str, str]:
        cert, key = ca.user("tower")
        core = configuration.fill(
            configuration.CORE, database=self.db.url, ca_dir=ca.ca_dir, cert=cert, key=key, base=self.directory,
            extra=more_core, work_dir=self.directory / "work",
        )  # fmt: skip
        atlas = configuration.fill(
            configuration.ATLAS, server=self.panda.url, cache=self.panda.url, protocol="v1", extra=SETTINGS,
            cric=self.panda.url + CRIC_PATH, wrapper=self.panda.url + WRAPPER_PATH, queues="", base=self.directory,
        ).replace("</config>", f"{more_atlas}</config>")  # fmt: skip
        names = {"ACTCONFIGARC": ("aCTConfigARC.xml", core), "ACTCONFIGATLAS": ("aCTConfigATLAS.xml", atlas)}
        for name, text in names.values():
            (self.directory / name).write_text(text)
        keys.make_key(self.directory / "state/proxy.key")
        return {variable: str(self.directory / name) for variable, (name, _) in names.items()}

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
        """So much time, for the database and for PanDA."""
        pass_time(self.db, seconds)
        self.panda.board.clock.forward(seconds)

    def order(self, count: int = 1, **order: Any) -> list[int]:
        """Jobs that PanDA has for the queue."""
        return self.panda.board.define(Order(QUEUE, count=count, **order))

    def job(self, pandaid: int) -> AnyRow:
        """The tower's row of a job."""
        row = self.db.read("t", lambda c: db.find(c, pandaid))
        assert row is not None
        return row

    def known(self, pandaid: int) -> str:
        """What PanDA says of a job."""
        found = self.panda.board.status(pandaid)
        assert found is not None
        return found[0]

    def taken(self, **order: Any) -> int:
        """A job that has been acquired."""
        (pandaid,) = self.order(**order)
        self.once("getjob")
        return pandaid

    def submitted(self, **order: Any) -> int:
        """A job whose attempt is at the CE."""
        pandaid = self.taken(**order)
        self.once("panda2arc", "heartbeat", "submitter-arc", "pandastatus")
        return pandaid

    def say(self, pandaid: int, state: str, **more: Any) -> None:
        """The CE says this of the job's attempt, and the tower hears of it."""
        there = self.site.jobs[self.get(self.job(pandaid).cejob_id).ce_job_id]
        there.state = state
        for name, value in more.items():
            setattr(there, name, value)
        self.pass_time(61)
        self.once("status-arc", "fetcher-arc", "pandastatus", "fetcher-arc", "pandastatus")

    def close(self) -> None:
        """Close all connections."""
        self._context.close()
        self.db.close()

"""A tower in one process: the real daemons over a real database, with fake CEs. Each pass is made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sqlalchemy import Double, update

from act import keys
from act.config import CoreConfig, load_core
from act.daemons.base import Daemon
from act.daemons.context import Context
from act.daemons.registry import PER_FLAVOUR, Entry
from act.daemons.runner import Runner
from act.db.engine import Database
from act.db.schema import metadata
from tests.fakes import FakeFactory, Site
from tests.kit import Rows
from tests.power import Power

FLAVOUR = "fake"
CONFIG = """
<config>
  <database><url>{url}</url></database>
  <paths>
    <state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir><work_dir>work</work_dir>
  </paths>
  <proxies><key_file>proxy.key</key_file></proxies>
  {extra}
</config>
"""
TEMPLATE = Path(__file__).parents[1] / "etc" / "aCTConfigATLAS.xml"
BY_NAME = ("submitter", "reconciler", "status", "canceller", "fetcher", "cleaner")


class FakeContext(Context):
    """A context whose CEs are fakes."""

    def __init__(self, config: CoreConfig, sites: Sequence[Site]) -> None:
        super().__init__(config)
        self._fakes: Any = FakeFactory(sites)

    def factory(self, flavour: str) -> Any:
        return self._fakes


class Tower(Rows):
    """Daemons by name: `once("status")` is what ``actctl daemon status-fake --once`` does."""

    def __init__(self, directory: Path, url: str, sites: Sequence[Site], extra: str = "") -> None:
        path = directory / "aCTConfigARC.xml"
        path.write_text(CONFIG.format(url=escape(url), extra=extra))
        self.config = load_core(path)
        self.environment = {"ACTCONFIGARC": str(path), "ACTCONFIGATLAS": str(TEMPLATE)}
        self.sites = sites
        self.directory = directory
        keys.make_key(self.config.proxies.key_file)
        super().__init__(Database(url))
        self.proxy_id = self.renew_proxy(b"first")
        self.places = [self._place(site) for site in sites]
        self._context = FakeContext(self.config, sites)

    def _place(self, site: Site) -> int:
        return self.place(site.url.split("/")[2].partition(".")[0])

    def renew_proxy(self, pem: bytes) -> int:
        """A new proxy for the role "production"."""
        return self.proxy(sealed=keys.seal(pem, self.config.proxies.key_file))

    def submit(self, n: int = 1, places: Sequence[int] | None = None, **changes: Any) -> list[int]:
        """Attempts that wait for their CE."""
        return self.attempts(n, places or self.places[:1], self.proxy_id, **changes)

    def daemon(self, kind: str) -> Daemon:
        """A daemon that has just been started."""
        return Entry(kind, PER_FLAVOUR[kind], FLAVOUR).load()(self._context, f"{kind}-{FLAVOUR}", FLAVOUR)

    def once(self, *kinds: str) -> int:
        """One pass of each, over all their lanes; how many jobs moved."""
        return sum(Runner(self.daemon(k), threads=2, lane_deadline_s=60).once() for k in kinds)

    def restart(self) -> None:
        """The machine is up again after a crash: nothing is left of the old processes."""
        for site in self.sites:
            site.power.restore()
        self._context.close()
        self._context = FakeContext(self.config, self.sites)

    def pass_time(self, seconds: float) -> None:
        """As if so much time had gone by for the database."""
        pass_time(self.db, seconds)

    def settle(
        self, rounds: int = 12, kinds: Sequence[str] = BY_NAME, *, seconds: float = 700, until: Sequence[int] = ()
    ) -> None:
        """Let daemons and sites work on, with all leases and pauses over each time, until these have finished."""
        for _ in range(rounds):
            if until and set(self.states(until)) == {"finished"}:
                return
            self.pass_time(seconds)
            self.once(*kinds)
            for site in self.sites:
                site.tick()

    def runs(self) -> list[int]:
        """How often each attempt was executed, in order of its id."""
        by_token: dict[int, int] = {}
        for site in self.sites:
            for job in site.jobs.values():
                number = int(job.name.rsplit("act.", 1)[1].split(".")[1])
                by_token[number] = by_token.get(number, 0) + job.runs
        return [by_token[i] for i in sorted(by_token)]

    def close(self) -> None:
        """Close all connections."""
        self._context.close()
        self.db.close()


def pass_time(database: Database, seconds: float) -> None:
    """Put all times in a database back, but for those of events and those by clocks of others."""

    def shift(connection: Any) -> None:
        for table in metadata.sorted_tables:
            times = [c for c in table.c if isinstance(c.type, Double) and c.name not in ("expires", "at")]
            if times:
                connection.execute(update(table).values({c: c - seconds for c in times}))

    database.run("test", shift)


def make_tower(directory: Path, template: Path, sites: int = 1, extra: str = "", power: Power | None = None) -> Tower:
    """A tower with an SQLite database of its own."""
    path = directory / "act.db"
    shutil.copy(template, path)
    power = power or Power()
    made = [Site(f"https://ce{n + 1}.example.org/arex", power) for n in range(sites)]
    return Tower(directory, f"sqlite:///{path}", made, extra)

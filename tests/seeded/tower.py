"""A directory with the configuration, keys and files of the seeded tower, over a database on any server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from sqlalchemy import Connection, insert, text

from act import keys
from act.config import load_core
from act.db import logins, meta, migrate
from act.db.engine import Database, chunks
from act.db.schema import metadata
from act.storage import Store
from act_atlas.cric import LAST_GOOD
from act_atlas.joblog import joblog_name
from act_atlas.trial.configuration import cric_entry
from tests.seeded import names, operating
from tests.seeded.jobs import Batch, Maker, World

CORE = """<config>
  <database><url>{url}</url></database>
  <paths><state_dir>state</state_dir><store_dir>store</store_dir><run_dir>run</run_dir><work_dir>work</work_dir></paths>
  <proxies>
    <key_file>state/proxy.key</key_file>
    <proxy><role>production</role><source_cert>robot.pem</source_cert><source_key>robot.key</source_key></proxy>
    <proxy><role>pilot</role><source_cert>robot.pem</source_cert><source_key>robot.key</source_key></proxy>
  </proxies>
  <users>
    <ce name="oslo" url="{place}" queue="grid" flavour="arc"/>
    <group name="people"><subject>{person}</subject></group>
  </users>
  <web><bind>127.0.0.1:0</bind><secret_file>state/web.key</secret_file><processes>{processes}</processes>{web}</web>
</config>
"""
ATLAS = """<config>
  <cric><url></url></cric>
  <joblog><dir>joblog</dir><urlprefix>https://logs.example.org</urlprefix></joblog>
</config>
"""
CRIC_TYPES = {"arc": "ARC-CE", "condor": "HTCONDOR-CE"}
LOG = "2026-11-21 10:00:00 | INFO | pilot.py | job {number}: {harm}\n"


@dataclass(frozen=True)
class Size:
    """How much. minutes_h: hours of figures by the minute."""

    jobs: int
    minutes_h: float = 48.0


class SeededTower:
    """Fills a migrated or empty database and writes what a web server needs beside it.

    hostile: some names and texts are of people who mean harm. web: further elements of ``<web>``.
    """

    def __init__(
        self, directory: Path, url: str, size: Size, *, hostile: bool = True, web: str = "", processes: int = 1
    ) -> None:
        self.directory, self.db = directory, Database(url)
        migrate.upgrade(self.db)
        places, queues = names.places(hostile), names.queues(hostile)
        self.world = World(time.time(), self.db.read("test", meta.identity), places, queues, hostile)
        self.file, self.atlas_file = directory / "aCTConfigARC.xml", directory / "aCTConfigATLAS.xml"
        self.file.write_text(
            CORE.format(
                url=escape(url),
                place=escape(places[0].url, {'"': "&quot;"}),
                web=web,
                processes=processes,
                person=escape(names.subject(0, hostile)),
            )
        )
        self.atlas_file.write_text(ATLAS)
        self.config = load_core(self.file)
        keys.make_key(self.config.proxies.key_file)
        keys.make_secret(self.config.web.secret_file)
        self._write_catalogue()
        for batch in self._batches(size):
            self._put(batch)
        if not self.db.embedded:
            self._analyse()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find the configuration."""
        return {"ACTCONFIGARC": str(self.file), "ACTCONFIGATLAS": str(self.atlas_file)}

    def freshen(self) -> None:
        """Daemons, hosts and CEs have given their sign of life just now."""
        self.db.run("test", lambda c: [c.execute(text(s)) for s in operating.fresh(time.time())])

    def login_link(self, *, operator: bool, name: str = "eva") -> str:
        """The path, below the pages, of a link that lets somebody in."""
        code = self.db.run("test", lambda c: logins.make(c, name, operator=operator, for_s=3600))
        return f"/login?code={code}"

    def publish_logs(self, rowid: int) -> int:
        """Log files of a PanDA job, with harm in them where there is any about; its PanDA id."""
        query = metadata.tables["pandajobs"].select().where(metadata.tables["pandajobs"].c.id == rowid)
        row = self.db.read("test", lambda c: c.execute(query).one())
        joblog = Store(self.directory / "joblog")
        harm = names.HOSTILE[0] if self.world.hostile else "setup is ok"
        for ending in ("out", "err", "log", "jdl"):
            with joblog.write(joblog_name(row, ending)) as out:
                out.write(LOG.format(number=row.pandaid, harm=harm).encode() * 50)
        return int(row.pandaid)

    def close(self) -> None:
        """Close all connections."""
        self.db.close()

    def _batches(self, size: Size) -> Iterable[Batch]:
        yield operating.around(self.world)
        yield from Maker(self.world).batches(size.jobs)
        yield from operating.figures(self.world, size.minutes_h)

    def _put(self, batch: Batch) -> None:
        def write(connection: Connection) -> None:
            for table in metadata.sorted_tables:
                for part in chunks(batch.rows.get(table.name, [])):
                    connection.execute(insert(table), part)

        self.db.run("seed", write)

    def _write_catalogue(self) -> None:
        """What CRIC said last."""
        entries = {}
        for number, queue in enumerate(self.world.queues):
            ways = [(CRIC_TYPES[p.flavour], p.url, p.queue) for p in names.served(number, list(self.world.places))]
            entries[queue] = cric_entry(queue, ways)
        place = self.config.paths.store_dir / "cric" / LAST_GOOD
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(entries))

    def _analyse(self) -> None:
        tables = ", ".join(f"`{t.name}`" for t in metadata.sorted_tables)
        with self.db.engine.connect() as connection:
            connection.execute(text(f"ANALYZE TABLE {tables}")).all()

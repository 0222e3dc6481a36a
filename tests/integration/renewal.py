"""The proxy daemon over a real database, with sources of proxies and tokens to choose."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from sqlalchemy import update

from act import keys
from act.config import CoreConfig, load_core
from act.daemons.base import Lane
from act.daemons.context import Context
from act.daemons.proxy import ProxyRenewal
from act.daemons.runner import Runner
from act.db import ces, credentials
from act.db.engine import AnyRow
from act.db.schema import proxies
from act.simulation import TestCA
from tests.kit import Rows

CERTIFICATE = "<source_cert>{cert}</source_cert><source_key>{key}</source_key>"
PRODUCTION = f"<proxy><role>production</role>{CERTIFICATE}</proxy>"
PILOT = "<proxy><role>pilot</role><directory>{dir}/proxies</directory></proxy>"


class Renewal(Rows):
    """The proxy daemon over a real database. extra: elements of aCTConfigARC.xml; {dir} is its directory."""

    def __init__(self, directory: Path, url: str, ca: TestCA, proxies: str, extra: str = "") -> None:
        self.directory = directory
        self.cert, self.key = ca.user("robot")
        self.file = directory / "aCTConfigARC.xml"
        text = f"""<config><database><url>{escape(url)}</url></database><ca_dir>{ca.ca_dir}</ca_dir>
            <timeouts connect_s="3" read_s="3" call_s="5"/>
            <proxies><key_file>proxy.key</key_file>{proxies}</proxies>{extra}</config>"""
        self.file.write_text(text.format(dir=directory, cert=self.cert, key=self.key))
        self.config: CoreConfig = load_core(self.file)
        self.context = Context(self.config)
        super().__init__(self.context.db)
        keys.make_key(self.config.proxies.key_file)

    def once(self) -> int:
        """One pass of a daemon that has just been started."""
        return Runner(ProxyRenewal(self.context, "proxy"), threads=2, lane_deadline_s=60).once()

    def row(self, role: str = "production") -> AnyRow:
        return self.db.read("t", lambda c: credentials.by_role(c))[role]

    def lane(self, url: str, role: str = "production") -> Lane:
        """A CE seen with the credential of a role."""
        ce_id = self.ce_of(self.db.run("t", lambda c: ces.ensure(c, "arc", url, "default")))
        return Lane(ce_id, self.row(role).id)

    def token(self, url: str) -> AnyRow:
        return self.db.read("t", lambda c: credentials.all_tokens(c))[url]

    def pem(self, role: str = "production") -> bytes:
        return self.context.proxy_for(role).pem

    def age(self, share: float, role: str = "production") -> None:
        """As if this share of the life of a role's proxy were over."""
        row = self.row(role)
        by = share * (row.expires - row.issued)
        older = update(proxies).where(proxies.c.role == role)
        self.db.run("t", lambda c: c.execute(older.values(issued=row.issued - by, expires=row.expires - by)))

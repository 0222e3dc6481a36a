"""What a daemon works with: configuration, database, store, and CEs opened with the right credential."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from act import faults, keys
from act.config import CE as CESettings
from act.config import CoreConfig
from act.daemons.cecalls import CECalls
from act.db import ces, credentials
from act.db.engine import AnyRow, Database
from act.db.orders import plain
from act.errors import CEUnreachable, CredentialError, StorageUnavailable
from act.interfaces import CEFactory, ComputeElement, plugin
from act.model import CEAddress, Proxy
from act.storage import Store

if TYPE_CHECKING:
    from act.daemons.base import Lane


class Context:
    """Shared by the lanes of one process. Made after forking, closed at the end."""

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.host = socket.gethostname()
        self.db = Database(config.database.connect_url(), pool=config.daemons.threads + 4)
        self.store = faults.port("store", Store(config.paths.store_dir), StorageUnavailable)
        self.calls = CECalls()
        self._ces: dict[Lane, tuple[tuple[int, int], ComputeElement]] = {}
        self._proxies: dict[int, tuple[int, Proxy]] = {}
        self._well: set[int] = set()  # CEs whose breaker has been told so by this process
        self._used: set[Lane] = set()
        self._lock = threading.Lock()
        self._places: dict[int, tuple[str, str]] = {}

    def ce(self, lane: Lane) -> ComputeElement:
        """The CE of a lane, bound to the lane's credential as it is now. Only one thread works on a lane.

        Raises CredentialError if the proxy, or the token where the CE takes one, cannot be read or has run out.
        """
        self._used.add(lane)
        row, credential, token = self.db.read("ce", lambda c: self._of_lane(c, lane))
        generation = (credential.generation, token.generation if token is not None else 0)
        with self._lock:
            known = self._ces.get(lane)
        if known is not None and known[0] == generation:
            return known[1]
        self.forget_ce(lane)
        opened = self._open(row, credential, token)
        with self._lock:
            self._ces[lane] = (generation, opened)
        return opened

    def look_at_ce(self, row: Any, proxy_id: int) -> ComputeElement:
        """A CE opened for one look: whoever asks closes it. row: as of ``ces``, where it need not be yet.

        Raises CredentialError like `ce`. May be called by several threads.
        """
        return self._open(row, *self.db.read("ce", lambda c: self._credentials(c, row.url, proxy_id)))

    def _open(self, row: Any, credential: AnyRow, token: AnyRow | None) -> ComputeElement:
        address, proxy = self.address(row), self.proxy(credential)
        if token is not None:
            proxy = replace(proxy, token=self._unsealed(token.token).decode())
        told = self.calls.of(row.id, address.flavour, row.url)
        return faults.port("ce", self.factory(address.flavour)(address, proxy, self.store), CEUnreachable, told=told)

    def _of_lane(self, connection: Connection, lane: Lane) -> tuple[AnyRow, AnyRow, AnyRow | None]:
        """Rows of a lane: its CE, and the credentials."""
        ce = ces.get(connection, lane.ce_id)
        return ce, *self._credentials(connection, ce.url, lane.proxy_id)

    def _credentials(self, connection: Connection, url: str, proxy_id: int) -> tuple[AnyRow, AnyRow | None]:
        """The proxy, and the token if the CE is configured to take one; what is shown to the CE is usable."""
        proxy = credentials.get(connection, proxy_id)
        if self.config.ces.at(url).token is None:
            _check_usable(proxy, f"proxy of role '{proxy.role}'")
            return proxy, None
        token = credentials.token(connection, url.rstrip("/"))
        if token is None:
            raise CredentialError(f"there is no token for {url} yet: 'actctl daemon proxy --once' tells why")
        _check_usable(token, f"token for {url}")
        return proxy, token

    def forget_ce(self, lane: Lane) -> None:
        """Close the lane's connection; the next `ce` opens a new one."""
        with self._lock:
            known = self._ces.pop(lane, None)
        if known is not None:
            known[1].close()

    def proxy(self, row: Any) -> Proxy:
        """A row of ``proxies`` with its PEM unsealed."""
        known = self._proxies.get(row.id)
        if known is None or known[0] != row.generation:
            known = (row.generation, Proxy(row.id, row.role, row.identity, self._unsealed(row.pem), row.expires))
            self._proxies[row.id] = known
        return known[1]

    def _unsealed(self, sealed: bytes) -> bytes:
        return keys.unseal(sealed, self.config.proxies.key_file) if sealed else b""

    def proxy_for(self, role: str) -> Proxy:
        """The proxy of a role. CredentialError if there is none, or it has run out."""
        row = self.db.read("proxy", lambda c: credentials.by_role(c).get(role))
        if row is None:
            raise CredentialError(f"there is no proxy for role '{role}' yet: configure it in proxies/proxy")
        _check_usable(row, f"proxy of role '{role}'")
        known = self._proxies.get(row.id)
        if known is not None and known[0] == row.generation:
            return known[1]
        return self.proxy(self.db.read("proxy", lambda c: credentials.get(c, row.id)))

    def settings(self, ce_id: int) -> CESettings:
        """What the operator's configuration says of a CE."""
        return self.config.ces.at(self._where([ce_id])[ce_id][0])

    def reached(self, ce_ids: Collection[int]) -> set[int]:
        """Those of the CEs that this host can speak to: not what is behind a submit point of another host."""
        where = self._where(ce_ids)
        return {i for i in ce_ids if self.config.ces.reached_from(self.host, where[i][1])}

    def ces_at(self, ce_ids: Collection[int], urls: Collection[str]) -> set[int]:
        """Those of the CEs that have one of these URLs, without a slash at their end."""
        where = self._where(ce_ids)
        return {i for i in ce_ids if plain(where[i][0]) in urls}

    def _where(self, ce_ids: Collection[int]) -> dict[int, tuple[str, str]]:
        """CE -> URL and submit point, which never change; what is new is read in one query."""
        if new := set(ce_ids) - self._places.keys():
            self._places |= self.db.read("places", lambda c: ces.places(c, new))
        return self._places

    def factory(self, flavour: str) -> CEFactory:
        """The plugin of a CE type."""
        found: CEFactory = plugin("act.ce", flavour)
        return found

    def address(self, row: Any) -> CEAddress:
        """A row of ``ces`` with the time limits and options from the configuration."""
        t = self.config.timeouts
        return CEAddress(
            ce_id=row.id,
            flavour=row.flavour,
            url=row.url,
            ca_dir=self.config.ca_dir,
            submit_point=row.submit_point,
            work_dir=self.config.paths.work_dir,
            connect_s=t.connect_s,
            read_s=t.read_s,
            total_s=t.call_s,
            transfer_s=t.transfer_s,
            options=self.config.ces.options(row.url, row.submit_point),
        )

    def was_used(self, lane: Lane) -> bool:
        """Whether `ce` was called for the lane since the last time this was asked."""
        used = lane in self._used
        self._used.discard(lane)
        return used

    def must_tell_well(self, ce_id: int) -> bool:
        """True once after trouble (or the start): the breaker has to hear that the CE answers."""
        with self._lock:
            if ce_id in self._well:
                return False
            self._well.add(ce_id)
            return True

    def note_trouble(self, ce_id: int) -> None:
        """The CE failed us."""
        with self._lock:
            self._well.discard(ce_id)

    def close(self) -> None:
        """Give back all connections."""
        for lane in list(self._ces):
            self.forget_ce(lane)
        self.db.close()


def _check_usable(row: AnyRow, name: str) -> None:
    """A credential that has run out is not even shown to anybody."""
    if row.expires > time.time():
        return
    why = f"; it cannot be renewed: {row.error}" if row.error else ""
    if not row.expires:
        raise CredentialError(f"there is no {name}: {row.error}")
    raise CredentialError(f"the {name} ran out at {datetime.fromtimestamp(row.expires, UTC):%Y-%m-%d %H:%M} UTC{why}")

"""proxy: gets the proxies of all configured roles and the tokens of CEs, and renews them in time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from act import faults, keys, voms
from act.config import ProxySource, TokenSource
from act.daemons.base import Daemon, Key
from act.daemons.context import Context
from act.daemons.credentials.sources import HOUR_S, Sources
from act.db import credentials
from act.db.engine import AnyRow
from act.errors import CredentialError, SourceUnreachable

log = logging.getLogger(__name__)

TOKEN_RENEWED_BELOW = 0.5  # of its life
LOOKS_IN_A_LIFE = 8  # a short-lived credential is looked at so often, check_s or not
BETTER_S = 1.0  # what does not live longer than the one in use is no renewal


class ProxyRenewal(Daemon):
    """A lane is a role or the URL of a CE. A credential that cannot be renewed keeps its old one while that lasts."""

    kind = "proxy"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._sources = faults.port("credentials", Sources(context.config), SourceUnreachable)
        self._proxies = {source.role: source for source in context.config.proxies.proxy}
        self._tokens = {ce.url.rstrip("/"): ce.token for ce in context.config.ces.ce if ce.token is not None}
        self._look_at: dict[Key, float] = {}
        self._told: set[str] = set()
        self._failed: dict[Key, str] = {}

    def lanes(self) -> Sequence[Key]:
        return [*self._proxies, *self._tokens]

    def work(self, lane: Key) -> int:
        if time.monotonic() < self._look_at.get(lane, 0.0):
            return 0
        self._failed.pop(lane, None)
        row = self._row(lane)
        if lane in self._proxies:
            renewed = self._renew_proxy(self._proxies[lane], row)
        else:
            renewed = self._renew_token(str(lane), self._tokens[str(lane)], row)
        row = self._row(lane)
        life_s = row.expires - row.issued if row is not None and row.expires else math.inf
        pause_s = min(self.context.config.proxies.check_s, life_s / LOOKS_IN_A_LIFE)
        self._look_at[lane] = time.monotonic() + max(self.idle_s, pause_s)
        return renewed

    def troubles(self) -> Sequence[str]:
        """The credentials that are not as they should be, and why."""
        return list(self._failed.values())

    def _row(self, lane: Key) -> AnyRow | None:
        read = credentials.by_role if lane in self._proxies else credentials.all_tokens
        return self.db.read("credential", lambda c: read(c).get(str(lane)))

    def _renew_proxy(self, source: ProxySource, row: AnyRow | None) -> int:
        """Renew the proxy of a role if it is time, or if it is not what the configuration wants. 1 if renewed.

        A directory is looked into each time, as something else decides when there is a new one; so is a token's file.
        """
        role, key_file = source.role, self.context.config.proxies.key_file
        fits = row is not None and (not source.fqan or voms.short(source.fqan) in row.fqans.split("\n"))
        if fits and source.directory is None and not _due(row, source.renew_below_h / source.lifetime_h):
            return 0
        try:
            made = self._sources.proxy(source)
            sealed = keys.seal(made.pem, key_file)
        except (CredentialError, SourceUnreachable) as error:
            return self._give_up(
                role, f"the proxy of role '{role}'", error, lambda c, why: credentials.set_error(c, role, why)
            )
        same = row is not None and (row.identity, row.fqans) == (made.identity, "\n".join(made.fqans))
        if same and not _better(row, made.expires):
            return 0  # the source itself runs out, or nobody has renewed it
        self.db.run("proxy", lambda c: credentials.store(c, role, made.identity, sealed, made.expires, made.fqans))
        self._tell(f"role '{role}' has a new proxy", made.expires, source)
        return 1

    def _renew_token(self, url: str, source: TokenSource, row: AnyRow | None) -> int:
        """The same for the token of a CE."""
        if source.file is None and not _due(row, TOKEN_RENEWED_BELOW):
            return 0
        try:
            made = self._sources.token(source)
            sealed = keys.seal(made.value.encode(), self.context.config.proxies.key_file)
        except (CredentialError, SourceUnreachable) as error:
            return self._give_up(
                url, f"the token for {url}", error, lambda c, why: credentials.set_token_error(c, url, why)
            )
        if row is not None and row.identity == made.identity and not _better(row, made.expires):
            return 0
        self.db.run("token", lambda c: credentials.store_token(c, url, made.identity, sealed, made.expires))
        log.info("there is a new token for %s, good for %.0f min", url, (made.expires - time.time()) / 60)
        return 1

    def _give_up(self, lane: str, what: str, error: Exception, write: Callable[[Any, str], None]) -> int:
        self._failed[lane] = f"{what} cannot be renewed: {error}"
        log.error("%s", self._failed[lane])
        self.db.run("proxy-error", lambda c: write(c, str(error)))
        return 0

    def _tell(self, what: str, expires: float, source: ProxySource) -> None:
        granted_h = (expires - time.time()) / HOUR_S
        log.info("%s, good for %.1f h", what, granted_h)
        if source.directory is None and granted_h < 0.9 * source.lifetime_h and source.role not in self._told:
            self._told.add(source.role)
            below_h = granted_h * source.renew_below_h / source.lifetime_h
            log.warning(
                "role '%s' gets %.1f h where %.1f h were asked for: renewed when less than %.1f h are left",
                source.role, granted_h, source.lifetime_h, below_h,
            )  # fmt: skip


def _due(row: AnyRow | None, below: float) -> bool:
    """Whether less than this fraction of a credential's life is left.

    Of the life that it was granted: a server may give less than it was asked for, and every look would renew else.
    """
    if row is None or row.error is not None:
        return True
    return bool(row.expires - time.time() < below * (row.expires - row.issued))


def _better(row: AnyRow | None, expires: float) -> bool:
    """Whether a new credential is worth taking in the place of the old one."""
    return row is None or row.error is not None or expires > row.expires + BETTER_S

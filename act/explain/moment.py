"""The tower at one moment: what holds for all jobs alike, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from act.config import CoreConfig
from act.db import credentials, hosts, meta, orders
from act.db.engine import AnyRow
from act.db.orders import Standing
from act.explain.credential import unrenewed, unusable
from act.explain.hosts import ills
from act.explain.story import Hold, Trouble, Turn, Why
from act.explain.words import span

LATELY_S = 600.0


@dataclass(frozen=True)
class Moment:
    """Facts that go with the database's time ``now``.

    beats: rows of ``daemons``. proxies: rows of ``proxies`` by number, tokens: rows of
    ``tokens`` by the URL of their CE, both without secrets. enabled: the daemons that the
    configuration of this host starts; None for who is told of one job and nothing else. master: what
    the master of this host says of them, by name. orders: in force. seen: what hosts said of themselves.
    """

    now: float
    config: CoreConfig
    stopped: str | None = None
    beats: Sequence[AnyRow] = ()
    proxies: Mapping[int, AnyRow] = field(default_factory=dict)
    tokens: Mapping[str, AnyRow] = field(default_factory=dict)
    enabled: Collection[str] | None = ()
    master: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    orders: Standing = field(default_factory=Standing)
    seen: Sequence[hosts.Seen] = ()

    @classmethod
    def read(
        cls,
        connection: Connection,
        config: CoreConfig,
        enabled: Collection[str] | None,
        master: Mapping[str, Any] | None,
    ) -> Moment:
        """Of an open snapshot. master: as `act.master.read_status` gives it."""
        told = {d["name"]: d for d in master["daemons"]} if master else {}
        return cls(
            now=meta.clock(connection),
            config=config,
            stopped=meta.stopped(connection),
            beats=meta.daemon_rows(connection),
            proxies={r.id: r for r in credentials.by_role(connection).values()},
            tokens=credentials.all_tokens(connection),
            enabled=frozenset(enabled) if enabled is not None else None,
            master=told,
            orders=orders.standing(connection),
            seen=hosts.all_of(connection),
        )

    def processes(self, daemon: str) -> list[AnyRow]:
        """What all processes of a daemon last said of themselves; those of a kind are numbered after a '.'."""
        return [b for b in self.beats if b.name.partition(".")[0] == daemon]

    def hosts(self, daemon: str) -> set[str]:
        """Where the daemon runs."""
        return {b.host for b in self._alive(daemon)}

    def _alive(self, daemon: str) -> list[AnyRow]:
        """Its processes that gave a sign of life lately; the others do not run, or as good as."""
        return [b for b in self.processes(daemon) if b.age_s <= self.config.alarms.silent_s]

    def turn(self, daemon: str, does: str, far: str = "") -> Turn:
        """It is this daemon's turn; whether it runs, in words."""
        if alive := self._alive(daemon):
            places = " and ".join(dict.fromkeys(b.host for b in alive))
            word = f"it runs on {places}, last word {span(min(b.age_s for b in alive))} ago"
            return Turn(daemon, does, far, True, word)
        return Turn(daemon, does, far, False, self._silence(daemon))

    def _silence(self, daemon: str) -> str:
        """Why a daemon may not run, as far as this host knows."""
        last = min(self.processes(daemon), key=lambda b: b.age_s, default=None)
        if last is None:
            word = "no process of it has ever reported"
        else:
            word = f"no word from it for {span(last.age_s)}, the last from host {last.host}"
        for name, told in self.master.items():
            if name.partition(".")[0] == daemon and told["state"] not in ("running", "starting"):
                word += f"; the master here says: {told['state']}"
                word += f", ended last: {told['last_end']}" if told["last_end"] else ""
        if self.enabled is None:
            return word
        if daemon not in self.enabled:
            word += "; the configuration of this host does not start it"
        elif not self.master:
            word += "; no master runs on this host: 'actctl run'"
        return word

    def idle(self, turn: Turn) -> tuple[Hold, ...]:
        """What holds a job back whose daemon does not run."""
        if turn.runs:
            return ()
        return (Hold(Why.DAEMON, f"{turn.daemon} does not run: {turn.word}", then="it goes on"),)

    def once(self, daemon: str) -> str:
        """What has to be added to a thing that the daemon will do: nothing, if it runs."""
        return "" if self.hosts(daemon) else f" (once {daemon} runs)"

    def lately(self, daemon: str) -> tuple[Trouble, ...]:
        """The daemon's own last errors, if they are of now, and what is wrong where it runs; neither need be about the
        job."""
        if self.enabled is None:
            return ()
        own = [
            Trouble(f"{b.name} on {b.host}: {b.error}", b.error_at)
            for b in self.processes(daemon)
            if b.error and self.now - b.error_at < LATELY_S
        ]
        around = [s for s in self.seen if s.host in self.hosts(daemon)]
        return (*own, *(Trouble(ill.text, s.at) for s in around for ill in ills(s, self.config.alarms)))

    def credential(self, proxy_id: int, url: str) -> tuple[Hold, ...]:
        """What is wrong with a credential itself: the proxy, or the token where the CE with this URL takes one."""
        return self._usable(*self._shown(proxy_id, url))

    def credential_of(self, role: str) -> tuple[Hold, ...]:
        """What is wrong with the proxy of a role, which there may not be yet."""
        row = next((p for p in self.proxies.values() if p.role == role), None)
        return self._usable(row, f"proxy of role '{role}'")

    def renewal(self, proxy_id: int, url: str) -> tuple[Trouble, ...]:
        """That a credential which still can be used cannot be renewed."""
        row, name = self._shown(proxy_id, url)
        text = unrenewed(row, name, self.now) if row is not None and row.expires > self.now else ""
        return (Trouble(text),) if text else ()

    def _shown(self, proxy_id: int, url: str) -> tuple[AnyRow | None, str]:
        """What a CE is shown, and its name."""
        if self.config.ces.at(url).token is not None:
            return self.tokens.get(url.rstrip("/")), f"token for {url}"
        return self.proxies.get(proxy_id), f"proxy of role '{self.role(proxy_id)}'"

    def _usable(self, row: AnyRow | None, name: str) -> tuple[Hold, ...]:
        text = unusable(row, name, self.now)
        return (Hold(Why.CREDENTIAL, text),) if text else ()

    def role(self, proxy_id: int) -> str:
        """The name of a credential."""
        row = self.proxies.get(proxy_id)
        return str(row.role) if row is not None else f"credential {proxy_id}"

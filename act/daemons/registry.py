"""All daemons of this installation: those of the core for every CE type, and those that applications bring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from act import metrics
from act.config import CoreConfig
from act.daemons.base import Daemon
from act.daemons.context import Context
from act.daemons.runner import Runner
from act.errors import ConfigError
from act.interfaces import plugins

log = logging.getLogger(__name__)

PER_FLAVOUR = {
    "submitter": "act.daemons.submitter:Submitter",
    "status": "act.daemons.status:Status",
    "fetcher": "act.daemons.fetcher:Fetcher",
    "canceller": "act.daemons.canceller:Canceller",
    "cleaner": "act.daemons.cleaner:Cleaner",
    "reconciler": "act.daemons.reconciler:Reconciler",
}
ONCE = {"proxy": "act.daemons.proxy:ProxyRenewal", "report": "act.daemons.report:Report",
        "guard": "act.daemons.guard:Guard"}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A daemon that can be started: its class as "module:Class", and the CE type it serves ("" for none)."""

    name: str
    target: str
    flavour: str = ""

    def load(self) -> type[Daemon]:
        """Import the class."""
        module, _, name = self.target.partition(":")
        found: type[Daemon] = getattr(import_module(module), name)
        return found


def all_daemons() -> dict[str, Entry]:
    """Every daemon by name, those of CE types included that cannot be spoken to from here."""
    entries = [Entry(name, target) for name, target in ONCE.items()]
    for flavour in sorted(e.name for e in entry_points(group="act.ce")):
        entries += [Entry(f"{kind}-{flavour}", target, flavour) for kind, target in PER_FLAVOUR.items()]
    for application in plugins("act.app").values():
        daemons: Mapping[str, str] = application.daemons()
        flavours: Mapping[str, str] = application.flavours()
        entries += [Entry(name, target, flavours.get(name, "")) for name, target in daemons.items()]
    return {e.name: e for e in entries}


def missing() -> dict[str, str]:
    """CE type -> why it cannot be spoken to from here; only those that cannot."""
    return {flavour: why for flavour, factory in plugins("act.ce").items() if (why := factory.missing())}


def enabled(config: CoreConfig) -> dict[str, tuple[Entry, int]]:
    """Name -> (daemon, number of processes), without those that are disabled or cannot work here. ConfigError for
    unknown names."""
    known, absent = all_daemons(), missing()
    settings = {d.name: d for d in config.daemons.daemon}
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(f"daemons/daemon: unknown {', '.join(unknown)} (known: {', '.join(sorted(known))})")
    return {
        name: (entry, settings[name].processes if name in settings else 1)
        for name, entry in known.items()
        if not (name in settings and settings[name].disabled) and entry.flavour not in absent
    }


def build(name: str, config: CoreConfig) -> Runner:
    """A daemon ready to run in this process. A number after '.' tells several processes of one kind apart."""
    entry = all_daemons().get(name.partition(".")[0])
    if entry is None:
        raise ConfigError(f"there is no daemon '{name}' (known: {', '.join(sorted(all_daemons()))})")
    daemon = entry.load()(Context(config), name, entry.flavour)
    return Runner(daemon, threads=config.daemons.threads, lane_deadline_s=config.leases.lease_s)


def target(config: CoreConfig) -> Callable[[str, Callable[[], None], Callable[[], bool]], int]:
    """What the master calls in a child: runs the named daemon until told to stop."""

    def run(name: str, beat: Callable[[], None], stopping: Callable[[], bool]) -> int:
        if not config.metrics.disabled:
            metrics.begin(config.paths.metrics_dir, name)
        runner = build(name, config)
        try:
            return runner.run(beat, stopping)
        finally:
            runner.daemon.close()
            runner.context.close()
            metrics.save()

    return run

"""All looks at a tower, put together: configuration first, then what the database knows, then the rest side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from act.config import CoreConfig, load_core
from act.daemons import registry
from act.daemons.context import Context
from act.doctor import ces, credentials, daemons, database, facts, host, sidebyside, trust, web
from act.doctor.check import Check, Examination, Verdict, bad, good, unchecked
from act.errors import DatabaseBusy
from act.interfaces import plugins
from act.master import read_status

THREADS = 16
SPARE_S = 1.0  # calls end so much before the look does, so that their own error is told


@dataclass(frozen=True)
class Bounds:
    """deadline_s: of one look; threads: how many looks at a time."""

    deadline_s: float = 20.0
    threads: int = THREADS


def examine(check_config: Callable[[], Sequence[str]], bounds: Bounds) -> list[Check]:
    """Every check of the tower. check_config: reads all configuration, returns the files' names."""

    def run(*examinations: Examination) -> list[Check]:
        return sidebyside.run(examinations, threads=bounds.threads, deadline_s=bounds.deadline_s)

    found = run(Examination("configuration", lambda: [good("configuration", ", ".join(check_config()))]))
    if any(c.verdict is not Verdict.GOOD for c in found):
        return [*found, unchecked("all else", "the configuration cannot be used", "correct it first")]
    config, opened = _hasty(load_core(), bounds.deadline_s), list[Context]()

    def open_database() -> Iterable[Check]:
        opened.append(Context(config))
        return ()

    found += run(Examination("database", open_database))
    if not opened:
        return [*found, unchecked("all else", "the database cannot be opened", "mend that first")]
    try:
        return found + _all(config, opened[0], run)
    finally:
        opened[0].close()


def _all(config: CoreConfig, context: Context, run: Callable[..., list[Check]]) -> list[Check]:
    known = list[facts.Facts]()

    def ask() -> Iterator[Check]:
        try:
            yield (schema := database.schema(context.db))
            if schema.verdict is Verdict.BAD:
                return
            known.append(facts.read(context.db))
            yield from database.connection(context.db, known[0])
        except DatabaseBusy as error:
            todo = "does the server run? are database/url and the password right?"
            yield bad("database", str(error), todo)

    first = run(Examination("database", ask))
    if known:
        return first + run(*_local(config, context), *_knowing(config, context, known[0]))
    what = "proxies, tokens, CEs, daemons, applications"
    rest = unchecked(what, "what the database knows cannot be read", "mend the database first")
    return [*first, *run(*_local(config, context)), rest]


def _hasty(config: CoreConfig, deadline_s: float) -> CoreConfig:
    """The configuration with calls that end before a look is over."""
    most = max(deadline_s - SPARE_S, deadline_s / 2)
    limits = config.timeouts
    shorter = {name: min(getattr(limits, name), most) for name in ("connect_s", "read_s", "call_s", "transfer_s")}
    return config.model_copy(update={"timeouts": limits.model_copy(update=shorter)})


def _local(config: CoreConfig, context: Context) -> list[Examination]:
    """What can be seen without the database."""
    file = Path(str(context.db.url.database)) if context.db.embedded else None
    found = [*host.examinations(config, file), Examination("CA directory", lambda: trust.look(config))]
    found += credentials.sources(config, time.time())
    if config.web.certificate is not None or config.users.group:
        found.append(Examination("web server", lambda: web.look(config, config.timeouts.call_s)))
    return found


def _knowing(config: CoreConfig, context: Context, known: facts.Facts) -> Iterator[Examination]:
    """What takes facts of the database."""
    processes = _processes(config)
    yield Examination("database use", lambda: database.use(config, processes, context.db.embedded, known))
    yield Examination("submission", lambda: host.no_alarm(known.stopped))
    yield Examination("daemons", lambda: daemons.look(
        context.host, processes, known.daemons, known.now, read_status(config.paths.run_dir),
        config.alarms.silent_s))  # fmt: skip
    yield Examination("proxies", lambda: credentials.proxies(config, known))
    yield Examination("tokens", lambda: credentials.tokens(config, known))
    yield from ces.examinations(context, known, registry.missing())
    for application in plugins("act.app").values():
        yield from application.operations.doctor(context)


def _processes(config: CoreConfig) -> Mapping[str, int]:
    return {name: processes for name, (_, processes) in registry.enabled(config).items()}

"""Check many files on several storages: a lane for each host, in bulks; print files/s and memory.

``python -m bench.validation --files 10000 --hosts 5 [--scheme root] [--daemon]``. The hosts are XRootD servers on this
machine. With ``--daemon`` the real validator does it, on a private MariaDB, for jobs with ten outputs each.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
from sqlalchemy import Connection, func, select

from act import keys
from act.config import load_core
from act.daemons import registry
from act.db import migrate
from act.db.engine import Database
from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.db.outputs import CHECK, LeftBehind, NewOutput, store_reports
from act_atlas.db.tables import outputs, pandajobs
from act_atlas.replicas import Checked, Replica, Storages, host_of, open_storage, scheme_of
from act_atlas.trial import configuration
from tests.services.mariadb import MariaDB
from tests.services.xrootd import XRootD

SIZE = 10_000
PER_JOB = 10
SETTINGS = Storages()


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.validation", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--hosts", type=int, default=5)
    parser.add_argument("--scheme", choices=["davs", "root", "roots"], default="davs")
    parser.add_argument("--daemon", action="store_true", help="the whole validator with a database")
    options = parser.parse_args()
    if reason := XRootD.installed():
        raise SystemExit(reason)
    each = options.files // options.hosts
    with ExitStack() as stack:
        ca = TestCA(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = (path.read_bytes() for path in ca.user("bench"))
        proxy = make_proxy(certificate, key, 3600)
        servers = [stack.enter_context(XRootD(ca.ca_dir, *ca.host(rsa=True))) for _ in range(options.hosts)]
        for server in servers:
            server.fill((f"file{n}", _content(n)) for n in range(each))
        if options.daemon:
            tower = _Tower(stack, ca)
            tower.fill(servers, options.scheme, each)
        before = _peak_mb()
        started = time.monotonic()
        if options.daemon:
            found = tower.validate()
        else:
            with ThreadPoolExecutor(options.hosts) as lanes:
                found = sum(lanes.map(lambda s: _lane(s, options.scheme, each, proxy, ca.ca_dir), servers), Counter())
        took = time.monotonic() - started
    click.echo(f"{each * options.hosts} files on {options.hosts} hosts ({options.scheme}): {took:.1f} s, "
               f"{each * options.hosts / took:.0f} files/s")  # fmt: skip
    click.echo(f"answers: {', '.join(f'{n} {what}' for what, n in found.items())}")
    click.echo(f"peak memory: {_peak_mb():.0f} MB, {_peak_mb() - before:.0f} MB of it for the files; "
               f"largest child: {_peak_mb(resource.RUSAGE_CHILDREN):.0f} MB")  # fmt: skip
    return 0


class _Tower:
    """As much of a tower as a validator needs."""

    def __init__(self, stack: ExitStack, ca: TestCA) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="act-bench-")))
        server = stack.enter_context(MariaDB())
        server.create_database("act")
        cert, key = ca.user("bench")
        values = {"database": server.url("act"), "ca_dir": ca.ca_dir, "cert": cert, "key": key, "base": directory,
                  "work_dir": directory / "work", "extra": "", "queues": "", "protocol": "v1", "cric": "",
                  "wrapper": "", **dict.fromkeys(("server", "cache"), "https://localhost:1")}  # fmt: skip
        for name, variable, text in (("aCTConfigARC.xml", "ACTCONFIGARC", configuration.CORE),
                                     ("aCTConfigATLAS.xml", "ACTCONFIGATLAS", configuration.ATLAS)):  # fmt: skip
            (directory / name).write_text(configuration.fill(text, **values))
            os.environ[variable] = str(directory / name)
        keys.make_key(directory / "state/proxy.key")
        self._config = load_core()
        self._db = Database(server.url("act"))
        stack.callback(self._db.close)
        migrate.upgrade(self._db)
        proxy = registry.build("proxy", self._config)
        proxy.once()
        proxy.context.close()

    def fill(self, servers: Sequence[XRootD], scheme: str, files: int) -> None:
        """Jobs that wait for their outputs to be looked at."""
        for number, server in enumerate(servers):
            made = [NewOutput(f"file{n}", server.url(scheme, f"file{n}"), server.host, SIZE,
                                 f"{zlib.adler32(_content(n)):08x}") for n in range(files)]  # fmt: skip
            ids = range(number * files + 1, (number + 1) * files + 1, PER_JOB)
            left = [LeftBehind(i, None, "", made[n * PER_JOB : (n + 1) * PER_JOB], CHECK) for n, i in enumerate(ids)]
            self._db.run("fill", partial(_put, ids, left))

    def validate(self) -> Counter[str]:
        """Run the validator until all jobs have finished."""
        states = select(pandajobs.c.state, func.count()).group_by(pandajobs.c.state)

        def done() -> bool:
            return {s for s, _ in self._db.read("done", lambda c: c.execute(states).all())} == {"finished"}

        runner = registry.build("validator", self._config)
        runner.run(lambda: None, done)
        runner.context.close()
        findings = select(outputs.c.finding, func.count()).group_by(outputs.c.finding)
        return Counter(dict(self._db.read("found", lambda c: c.execute(findings).all())))


def _put(ids: Sequence[int], left: Sequence[LeftBehind], connection: Connection) -> None:
    now = time.time()
    shared = {"source": "panda", "queue": "Q", "label": "", "state": "tovalidate", "since": now, "created": now,
              "attempt_nr": 1, "priority": 0, "cores": 1, "job": "", "metadata": {}, "truepilot": False}  # fmt: skip
    connection.execute(pandajobs.insert().values(**shared), [{"id": i, "pandaid": i} for i in ids])
    store_reports(connection, left)


def _lane(server: XRootD, scheme: str, files: int, proxy: bytes, ca_dir: Path) -> Counter[str]:
    """All files of one host, in bulks; what was found, counted."""
    found: Counter[str] = Counter()
    url = server.url(scheme, "")
    storage = open_storage(host_of(url), scheme_of(url), SETTINGS, proxy, ca_dir)
    for bulk in _bulks(server, scheme, files):
        for answer in storage.check(bulk).values():
            found[answer.finding if isinstance(answer, Checked) else f"unavailable: {answer}"] += 1
    storage.close()
    return found


def _bulks(server: XRootD, scheme: str, files: int) -> Iterator[list[Replica]]:
    for start in range(0, files, SETTINGS.batch):
        numbers = range(start, min(start + SETTINGS.batch, files))
        contents = ((n, _content(n)) for n in numbers)
        yield [Replica(server.url(scheme, f"file{n}"), SIZE, f"{zlib.adler32(c):08x}") for n, c in contents]


def _content(number: int) -> bytes:
    return str(number).encode().ljust(SIZE, b"x")


def _peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())

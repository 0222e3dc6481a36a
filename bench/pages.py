"""How long the server takes for each page of a large tower, and how large the pages are.

``python -m bench.pages --jobs 100000 --database mariadb`` (or ``sqlite``) fills a tower with 20 CEs, 30 queues and that
many jobs, serves it with ``actctl web`` and asks for each page several times over one connection.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import click

from act.pages.render import ROOT
from tests.integration.web_server import WebServer
from tests.seeded import SeededTower, Size
from tests.seeded.pages import pages
from tests.services.mariadb import MariaDB

TIMES = 7
MOST_S, MOST_KB = 1.0, 300.0


@dataclass(frozen=True)
class Figure:
    """One page: the median and the longest time, and its size as it is sent."""

    name: str
    median_s: float
    longest_s: float
    kb: float

    @property
    def good(self) -> bool:
        return self.longest_s < MOST_S and self.kb < MOST_KB


def main() -> int:
    """Arguments -> exit code: 1 where a page takes too long or is too large."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--database", choices=("mariadb", "sqlite"), default="mariadb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="act-bench-") as name, _database(options.database, Path(name)) as url:
        tower = SeededTower(Path(name), url, Size(options.jobs))
        with WebServer(tower.file, Path(), **tower.environment) as server:
            cookie = _log_in(tower, server.port)
            figures = [_measure(tower, server.port, cookie, *page) for page in pages(tower).items()]
        tower.close()
    click.echo(f"{options.jobs} jobs, {options.database}\n{'page':20} {'median ms':>10} {'longest ms':>10} {'kB':>7}")
    for f in figures:
        bad = "" if f.good else "  TOO MUCH"
        click.echo(f"{f.name:20} {f.median_s * 1000:10.0f} {f.longest_s * 1000:10.0f} {f.kb:7.1f}{bad}")
    return 0 if all(f.good for f in figures) else 1


@contextmanager
def _database(kind: str, directory: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{directory}/act.db"
        return
    with MariaDB() as server:
        server.create_database("act")
        yield server.url("act")


def _log_in(tower: SeededTower, port: int) -> str:
    """The cookie of an operator, who sees the most."""
    code = tower.login_link(operator=True).partition("code=")[2]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{ROOT}/login", urlencode({"code": code}), headers)
    cookie = connection.getresponse().headers["Set-Cookie"].partition(";")[0]
    connection.close()
    return cookie


def _measure(tower: SeededTower, port: int, cookie: str, name: str, path: str) -> Figure:
    tower.freshen()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took, size = [], 0
    for _ in range(TIMES):
        begin = time.monotonic()
        connection.request("GET", f"{ROOT}{path}", headers={"Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        took.append(time.monotonic() - begin)
        size = len(body)
        if answer.status != 200:
            sys.exit(f"{name} {path}: {answer.status}")
    connection.close()
    return Figure(name, statistics.median(took), max(took), size / 1000)


if __name__ == "__main__":
    sys.exit(main())

"""Check many files on several storages as the validator does: a lane for each host, in bulks; print files/s and memory.

``python -m bench.validation --files 10000 --hosts 5 [--scheme root]``. The hosts are XRootD servers on this machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click

from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.replicas import Checked, Replica, Storages, host_of, open_storage, scheme_of
from tests.services.xrootd import XRootD

SIZE = 10_000
SETTINGS = Storages()


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.validation", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--hosts", type=int, default=5)
    parser.add_argument("--scheme", choices=["davs", "root", "roots"], default="davs")
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
        before = _peak_mb()
        started = time.monotonic()
        with ThreadPoolExecutor(options.hosts) as lanes:
            found = sum(lanes.map(lambda s: _lane(s, options.scheme, each, proxy, ca.ca_dir), servers), Counter())
        took = time.monotonic() - started
    click.echo(f"{each * options.hosts} files on {options.hosts} hosts ({options.scheme}): {took:.1f} s, "
               f"{each * options.hosts / took:.0f} files/s")  # fmt: skip
    click.echo(f"answers: {', '.join(f'{n} {what}' for what, n in found.items())}")
    click.echo(f"peak memory: {_peak_mb():.0f} MB, {_peak_mb() - before:.0f} MB of it for the files; "
               f"largest child: {_peak_mb(resource.RUSAGE_CHILDREN):.0f} MB")  # fmt: skip
    return 0


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

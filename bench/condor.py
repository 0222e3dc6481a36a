"""Give many jobs to one real schedd through the adapter, poll them, and end them; print jobs/s and seconds.

``python -m bench.condor --jobs 10000``. The schedd is condorA of the test grid (tests/grid), which is brought up if it
is down. The jobs stay on hold, so that nothing but the schedd works.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from act.db.engine import chunks
from act.errors import ActError
from act.interfaces import ComputeElement
from act.model import CEAddress, CEStatus, Created, InputFile, JobSpec, Proxy, Submission
from act.storage import Store
from act_condor.ce import factory
from tests.grid.control import Grid

SPEC = JobSpec(
    name="bench", executable="/bin/true", walltime_s=3600, memory_mb_total=2000, priority=50,
    arguments=("-q", "BENCH", "-j", "managed", "--pilot-user", "ATLAS", "--url", "https://panda.example.org"),
    environment=(("PANDA_JSID", "bench"), ("GTAG", "https://tower.example.org/jobs/bench.out")),
    inputs=(InputFile("pandaJobData.out", content="PandaID=1&" * 200),), stdout="bench.out", stderr="bench.err",
)  # fmt: skip
POLLS = 3


def main() -> int:
    """Arguments -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.condor", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs: int = parser.parse_args().jobs
    grid = Grid()
    if reason := grid.installed() or factory.missing():
        raise SystemExit(reason)
    was_up = grid.running("condorA")
    grid.up("condorA")
    try:
        with _ce(grid) as ce:
            _measure(ce, jobs)
    finally:
        if not was_up:
            grid.down("condorA")
    return 0


@contextmanager
def _ce(grid: Grid) -> Iterator[ComputeElement]:
    """condorA's own pool, as a tower sees it."""
    pool = grid.pool("condorA")
    options = {"route": "pool", "owner": "gridatlas", "condor_config": str(grid.client_config("proxy")),
               "submit_collector": pool.collector}  # fmt: skip
    proxy = Proxy(proxy_id=1, role="", identity="bob", pem=grid.proxy("bob.pilot").read_bytes())
    with grid.share("gridatlas") as work_dir:
        address = CEAddress(ce_id=1, flavour="condor", url=pool.collector, ca_dir=grid.ca_dir, options=options,
                            submit_point=pool.schedd, work_dir=work_dir)  # fmt: skip
        ce = factory(address, proxy, Store(work_dir))
        try:
            yield ce
        finally:
            ce.close()


def _measure(ce: ComputeElement, jobs: int) -> None:
    delegation = ce.delegate()
    started = time.monotonic()
    ids = [i for part in chunks(range(jobs), ce.batch) for i in _create(ce, delegation, part)]
    took = time.monotonic() - started
    click.echo(f"create: {len(ids)} jobs in {took:.1f} s, {len(ids) / took:.0f} jobs/s")
    for _ in range(POLLS):
        started = time.monotonic()
        found = [s for part in chunks(ids, ce.status_batch) for s in ce.status(part).values()]
        known = sum(isinstance(s, CEStatus) for s in found)
        click.echo(f"poll: {known} jobs in {time.monotonic() - started:.2f} s")
    for what, bulk in (("kill", ce.kill), ("clean", ce.clean)):
        started = time.monotonic()
        for part in chunks(ids, ce.batch):
            bulk(part)
        click.echo(f"{what}: {len(ids)} jobs in {time.monotonic() - started:.1f} s")


def _create(ce: ComputeElement, delegation: str, numbers: Sequence[int]) -> list[str]:
    submissions = [Submission(n, f"act.bench.{n}.1.{secrets.token_hex(8)}", SPEC, "default") for n in numbers]
    answers = ce.create(submissions, delegation)
    made = [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
    if len(made) != len(answers):
        raise ActError(f"{len(answers) - len(made)} jobs were refused: {answers[0]}")
    return made


if __name__ == "__main__":
    sys.exit(main())

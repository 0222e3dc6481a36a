"""The test grid's HTCondor pools: the ways of a tower into them, what of its jobs is there, and taking one away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from act.db.engine import AnyRow
from act_atlas.demo.picture import Picture
from act_atlas.trial import TrialCE
from tests.acceptance.trial import LOOK_S, Trial
from tests.grid.control import Grid

LEAVE_S = 30  # a schedd looks every few seconds for removed jobs that may leave
# Three ways into HTCondor, for the tower they are three CEs: through condorA's schedd to condorB, straight to condorB's
# own, and into condorA itself. {config}: of HTCondor's clients; {a}, {b}: collectors.
GRID_CE, DIRECT_CE, POOL_CE = "localhost:{b}", "127.0.0.1:{b}", "localhost:{a}"
CONDOR = f"""<ces>
<submit_point name="condorA@grid.test"><flavour>condor</flavour><option name="owner" value="gridprod"/>
  <option name="condor_config" value="{{config}}"/><option name="submit_collector" value="localhost:{{a}}"/>
  <option name="hold_release_after_s" value="15"/></submit_point>
<ce url="{GRID_CE}"><option name="schedd" value="condorB@grid.test"/></ce>
<ce url="{POOL_CE}"><option name="route" value="pool"/></ce>
<ce url="{DIRECT_CE}"><direct>true</direct><option name="schedd" value="condorB@grid.test"/>
  <option name="condor_config" value="{{config}}"/><option name="collector" value="localhost:{{b}}"/>
  <option name="hold_release_after_s" value="15"/></ce>
</ces>"""


class Pools:
    """What a tower must know of the test grid's pools, and its CEs there."""

    def __init__(self, grid: Grid) -> None:
        ports = {n: grid.pool(f"condor{n.upper()}").collector.rpartition(":")[2] for n in ("a", "b")}
        self.settings = CONDOR.format(config=grid.client_config("proxy"), **ports)
        self.grid, self.direct, self.pool = (
            TrialCE("HTCONDOR-CE", url.format(**ports), "default") for url in (GRID_CE, DIRECT_CE, POOL_CE)
        )


def left_in_queues(trial: Trial, *pools: str) -> list[str]:
    """Tokens of a tower's jobs that schedds have, some time after they should have left."""
    assert trial.grid is not None
    return tokens_in_queues(trial.grid, trial.observer.identity, *pools)


def tokens_in_queues(grid: Grid, identity: str, *pools: str) -> list[str]:
    """The same, of the tower whose database has this identity."""
    mark = f"act.{identity}."
    end = time.monotonic() + LEAVE_S
    while True:
        tokens = " ".join(grid.run(name, "condor_q", "-all", "-af", "ActToken") for name in pools).split()
        left = [token for token in tokens if token.startswith(mark)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(LOOK_S)


def jobs_at(trial: Trial, pool: str, picture: Picture, constraint: str = "true") -> dict[int, str]:
    """Jobs of which the pool's schedd has such an ad -> what it calls them."""
    assert trial.grid is not None
    said = trial.grid.run(pool, "condor_q", "-all", "-constraint", constraint, "-af:j", "ActToken").splitlines()
    pandaids = {a.id: pandaid for pandaid, job in picture.jobs.items() for a in job.attempts}
    found = {}
    for job, token in (line.split() for line in said):
        of, _, number = token.partition(".")[2].partition(".")  # act.<database>.<attempt>.<submission>.<nonce>
        if of == trial.observer.identity:
            found[pandaids[int(number.partition(".")[0])]] = job
    return found


def attempt(picture: Picture, pandaid: int) -> AnyRow:
    """The latest of a job."""
    return picture.jobs[pandaid].attempts[-1]


@contextmanager
def away(grid: Grid, pool: str, seconds: float) -> Iterator[None]:
    """A pool that is shut down, so that what runs there is lost, and started again after so long or longer."""
    end = time.monotonic() + seconds
    grid.down(pool)
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        grid.up(pool)

"""A whole tower in real processes, between a simulated PanDA and simulated or real CEs, for the acceptance tests."""

from __future__ import annotations

import fcntl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from act.errors import DatabaseBusy
from act_atlas.demo.mix import Kind
from act_atlas.demo.picture import Observer, Picture
from act_atlas.trial import Tower, TrialCE, World
from tests.grid.control import Grid
from tests.truth import assert_all_explained

LOOK_S = 0.5
# Everything as in production, but in a hurry.
CORE = """<daemons><idle_s>0.3</idle_s>{daemons}</daemons>
<leases><lease_s>{lease_s}</lease_s><settle_s>1</settle_s><margin_s>1</margin_s></leases>
<polling><status_s>1</status_s><missing_s>3</missing_s><sweep_s>5</sweep_s><silent_s>60</silent_s>
  <delegation_idle_s>{idle_delegation_s}</delegation_idle_s><rerun_s>{rerun_s}</rerun_s><lag_s>10</lag_s></polling>
<breaker><failures>{failures}</failures><open_s>2</open_s><max_open_s>4</max_open_s></breaker>
<timeouts><connect_s>3</connect_s><read_s>{read_s}</read_s><call_s>{call_s}</call_s>
  <transfer_s>{transfer_s}</transfer_s></timeouts>"""
NUMBERS: dict[str, float] = {
    "lease_s": 60,
    "read_s": 10,
    "call_s": 15,
    "transfer_s": 30,
    "idle_delegation_s": 4,
    "failures": 2,
    "rerun_s": 3,
}
ATLAS = "<storages><total_s>5</total_s></storages>"
PANDA = """<getjob_min_s>1</getjob_min_s><getjob_max_s>3</getjob_max_s><stats_s>10</stats_s><minjobs>100</minjobs>
<retry_s>5</retry_s><heartbeat_s>10</heartbeat_s><final_grace_s>10</final_grace_s>"""


class Trial:
    """A world and its tower; a context manager that stops both. grid: of the real CEs, where there are any; work_dir:
    a directory that they see too, of the account that the tower's jobs are mapped to there."""

    def __init__(self, directory: Path, grid: Grid | None = None, work_dir: Path | None = None) -> None:
        self.grid = grid
        self.world = World(directory, grid.ca_dir if grid else None, work_dir)
        self.kinds: dict[int, Kind] = {}
        self.core_file = directory / "aCTConfigARC.xml"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and hasattr(self, "tower"):
                with suppress(DatabaseBusy):  # some tests have taken their database away by now
                    assert_all_explained(self.tower.environment, limit=20)
        finally:
            if hasattr(self, "observer"):
                self.observer.close()
            self.world.__exit__()

    def real_ces(self, *names: str) -> list[TrialCE]:
        """CEs of the test grid."""
        assert self.grid is not None
        return [TrialCE("ARC-CE", self.grid.ce(name).url, "fork") for name in names]

    def set_up(
        self, queues: Mapping[str, Sequence[TrialCE]], *, database: str = "sqlite:///act.db", daemons: str = "",
        more: str = "", atlas: str = ATLAS, storage: Mapping[str, str] | None = None, **numbers: float,
    ) -> Tower:  # fmt: skip
        """Configure and set up the tower. numbers: instead of those of NUMBERS; daemons: further elements of that
        section; more, atlas: further sections of the core's file and of the application's. storage: queue in NorduGrid
        mode -> base URL of what it reads and writes."""
        if not self.world.panda:
            self.world.start_panda("--adder", "1")
        credential = self.grid.user_cert("alice") if self.grid else None
        core = CORE.format(daemons=daemons, **NUMBERS | numbers) + more
        environment = self.world.configure(
            queues, credential=credential, database=database, core=core, panda=PANDA, atlas=atlas, storage=storage
        )
        self.tower = self.world.tower(environment)
        self.observer = Observer(self.world, self.core_file)
        return self.tower

    def order(self, kind: Kind, count: int = 1) -> list[int]:
        """Have jobs of a kind defined at PanDA."""
        ids = self.world.order(kind.queue, **{"count": count, **kind.order})
        self.kinds |= dict.fromkeys(ids, kind)
        return ids

    def look(self) -> Picture:
        """All jobs that were ordered, as they are now."""
        return self.observer.look(self.kinds)

    def wait(self, what: str, done: Callable[[Picture], bool], within_s: float) -> Picture:
        """Look until ``done``; AssertionError with where things are, and what the tower said, if it does not come."""
        end = time.monotonic() + within_s
        while True:
            picture = self.look()
            if done(picture):
                return picture
            where = f"in {within_s} s not {what}: {where_all_are(picture)}\n{self.tower.said()}"
            assert time.monotonic() < end, where
            time.sleep(LOOK_S)

    def kill_at_panda(self, *pandaids: int) -> None:
        """Somebody asks PanDA for the end of jobs."""
        self.world.call("POST", "/_sim/kill", {"pandaids": list(pandaids)})

    def explained(self, pandaid: int) -> str:
        """What the operator is told of a job, as one line."""
        return " ".join(self.tower.actctl("explain", str(pandaid)).stdout.split())

    def settle(self, within_s: float) -> Picture:
        """Until all jobs are over everywhere and nothing of them is left at any CE."""
        picture = self.wait("settled", lambda p: p.settled, within_s)
        end = time.monotonic() + 30
        while left := self.observer.left_at_ces():
            assert time.monotonic() < end, f"still at CEs: {left}"
            time.sleep(LOOK_S)
        return picture

    @contextmanager
    def daemon(self, name: str) -> Iterator[None]:
        """A daemon in the foreground, outside of the master."""
        with (self.world.directory / f"{name}.log").open("wb") as log:
            process = self.tower.spawn("daemon", name, log=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(30)

    def simulator(self, ce: TrialCE) -> Mapping[str, Any]:
        """What a simulated CE knows."""
        state: Mapping[str, Any] = self.world.call("GET", "/_sim/state", base=base_of(ce))
        return state

    def disturb(self, ce: TrialCE, method: str, what: str, body: Any = None) -> None:
        """Tell the controls of a simulated CE something."""
        self.world.call(method, f"/_sim/{what}", body, base=base_of(ce))


def base_of(ce: TrialCE) -> str:
    """Where the controls of a simulated CE are."""
    return ce.url.removesuffix(urlsplit(ce.url).path)


def where_all_are(picture: Picture) -> str:
    """For people who wonder what hangs."""
    lines = [f"{picture.delegations} delegations"]
    for pandaid, job in picture.jobs.items():
        if not job.settled:
            row = job.row.state if job.row is not None else "-"
            attempts = [f"{a.id} {a.state} {a.ce_job_id} wish={a.wish} {a.error or ''}" for a in job.attempts]
            lines.append(f"{pandaid}: PanDA {job.panda['status']}, tower {row}, attempts {attempts}")
    return "\n".join(lines)


@contextmanager
def sole_use(name: str) -> Iterator[None]:
    """Nobody else disturbs this CE meanwhile."""
    with Path(tempfile.gettempdir(), f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

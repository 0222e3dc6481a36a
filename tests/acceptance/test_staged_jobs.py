"""NorduGrid mode on real CEs and a real storage: CEs stage, pilots talk to nobody, the tower does the rest."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from act.config import load_core
from act.db import credentials
from act.db.engine import Database
from act_atlas.demo.mix import DONE, FAILED, KILLED, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from act_atlas.pandajob import PandaJob
from act_atlas.trial.configuration import SCOPE
from tests.acceptance.trial import Trial
from tests.grid import proxies
from tests.grid.control import Grid
from tests.needs import need
from tests.services.mariadb import MariaDB
from tests.services.xrootd import XRootD

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

PILOTED, STAGED, ELSEWHERE = "PILOTED", "STAGED", "ELSEWHERE"
INPUTS = {f"EVNT.{n}.pool.root": f"input {n}\n".encode() * 1000 for n in range(3)}
LATE = {"EVNT.late.pool.root": b"late\n"}
BY_INPUT = {"inputs": INPUTS, "seconds": 1}
SHAPES = [
    Kind("inputs", STAGED, "finished", DONE, BY_INPUT),
    Kind("no inputs", STAGED, "finished", DONE, {"seconds": 1}),
    Kind("8 cores", STAGED, "finished", DONE, {**BY_INPUT, "fields": {"coreCount": 8, "minRamCount": 16000}}),
    Kind("true pilot", PILOTED, "finished", DONE, {"seconds": 1}),
]
TROUBLED = [
    Kind("wrong checksum", STAGED, "failed", FAILED, {**BY_INPUT, "kind": "wrong-checksum"}, runs=2),
    Kind("missing output", STAGED, "failed", FAILED, {**BY_INPUT, "kind": "missing-output"}, runs=2),
    Kind("no output in the report", STAGED, "failed", FAILED, {"kind": "incomplete", "seconds": 1}, runs=2),
    Kind("report absent", STAGED, "failed", FAILED, {"kind": "absent", "seconds": 1}),
    Kind("report truncated", STAGED, "failed", FAILED, {"kind": "truncated", "seconds": 1}),
    Kind("report of 100 MB", STAGED, "failed", FAILED, {"kind": "huge", "seconds": 1}),
    Kind("report nested", STAGED, "failed", FAILED, {"kind": "nested", "seconds": 1}),
    Kind("report of another job", STAGED, "failed", FAILED, {"kind": "wrong-job", "seconds": 1}),
    Kind("report from hell", STAGED, "finished", DONE, {"kind": "hell", "seconds": 1}),
    Kind("payload fails", STAGED, "failed", FAILED, {"kind": "fail", "exit_code": 65, "seconds": 1}),
    Kind("input that never comes", STAGED, "failed", FAILED, {"inputs": {"EVNT.never.pool.root": b"x"}}, runs=0),
    Kind("killed while it runs", STAGED, "cancelled", KILLED, {"seconds": 600}, killed=True),
]
LATE_INPUT = Kind("input that comes late", STAGED, "finished", DONE, {"inputs": LATE, "seconds": 1})
# Where the outputs of these are only the CE knew.
UNKNOWN = ("absent", "truncated", "huge", "nested", "wrong-job")
RAN_OUT = "the proxy of role 'pilot' ran out"
OVER = ("toclean", "cancelled", "donecancelled")
STAGING_OUT = Kind("killed while staging out", ELSEWHERE, "cancelled", KILLED, {"seconds": 1}, killed=True)
RUNNING_OUT = Kind("its proxy runs out in the queue", STAGED, "finished", DONE, {**BY_INPUT, "label": "user"})
RUNNING_OUT_JOBS = 3
WAITING = [["submitted"]] * RUNNING_OUT_JOBS
# Staging fails too while the storage is away; without a proxy nobody tells the CE to try it again.
LEFT_ALONE = (["submitted"], ["torerun"])
OUTAGE_S = 120.0
LIFE_S, RENEWED_S = 75.0, 20.0  # of proxies for users' jobs
SETTINGS = """<storages>{removable}<retry_s>2</retry_s><read_s>5</read_s><total_s>20</total_s></storages>
<errors><max_attempts>2</max_attempts></errors>"""


class Servers:
    """Real storage elements that the grid's CEs trust."""

    def __init__(self, stack: ExitStack, grid: Grid) -> None:
        need(XRootD.installed())
        self.stack, self._grid = stack, grid
        self.all: list[XRootD] = []

    def start(self) -> XRootD:
        certificates = self._grid.root / "certs"
        server = XRootD(self._grid.ca_dir, certificates / "host-cert.pem", certificates / "host-key.pem")
        self.all.append(self.stack.enter_context(server))
        return server

    @property
    def settings(self) -> str:
        return SETTINGS.format(removable="".join(f"<removable>{base(s)}/</removable>" for s in self.all))


@pytest.fixture
def storages() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, Grid())


def base(server: XRootD) -> str:
    return server.url("davs", "atlas")


def put(server: XRootD, inputs: dict[str, bytes]) -> None:
    server.fill((f"atlas/{SCOPE}/{name}", content) for name, content in inputs.items())


def test_50_jobs_in_both_modes_with_real_staging(
    real_trial: Callable[..., Trial], mariadb: MariaDB, storages: Servers
) -> None:
    mariadb.create_database("staged")
    trial = real_trial("ce1", "ce2")
    server, other = storages.start(), storages.start()
    put(server, INPUTS)
    ces = trial.real_ces("ce1", "ce2")
    tower = trial.set_up(
        {PILOTED: ces, STAGED: ces, ELSEWHERE: ces[:1]}, database=mariadb.url("staged"), atlas=storages.settings,
        storage={STAGED: base(server), ELSEWHERE: base(other)}, call_s=60, read_s=60, lease_s=90, rerun_s=60,
    )  # fmt: skip
    renewal = act_with_attributes(trial, storages.stack)
    for kind in (*TROUBLED, LATE_INPUT, STAGING_OUT):
        trial.order(kind)
    for n in range(50 - RUNNING_OUT_JOBS - len(trial.kinds)):
        trial.order(SHAPES[n % len(SHAPES)])
    other.freeze()
    tower.start()
    let_an_input_come_late(trial, server)
    kill_while_it_runs(trial)
    trial.wait("about to be looked at", lambda p: len(unchecked(p)) > 1, 300)
    with outage(server):
        told = f"StorageUnavailable: storage {server.host}"
        trial.wait("held up by the storage", lambda _: told in tower.log.read_text(errors="replace"), 60)
        kill_while_it_stages_out(trial)
        queued = let_proxies_run_out(trial, renewal)
    assert_only_these_are_held_up(trial, queued)
    renewal.start()
    other.thaw()
    picture = trial.settle(300)
    assert tower.stop() == 0
    assert list(complaints(picture, trial.kinds)) == []
    assert list(wrong_on_storage(trial, picture, server)) == []
    assert not [p for p in other.data.rglob("*") if p.is_file()]
    told = attributes(trial)
    assert "/atlas/Role=production" in told["production"]
    assert "/atlas/Role=pilot" in told["pilot"]
    assert {a.proxy_id for job in picture.jobs.values() for a in job.attempts} == {1, 2}


def let_an_input_come_late(trial: Trial, server: XRootD) -> None:
    """After staging has failed for want of it."""
    (late,) = of_kind(trial, LATE_INPUT)
    trial.wait("failed once in staging", lambda p: any(e.event == "stagefailed" for e in p.jobs[late].events), 300)
    put(server, LATE)


def kill_while_it_runs(trial: Trial) -> None:
    running = [i for i, kind in trial.kinds.items() if kind.killed and kind is not STAGING_OUT]
    trial.wait("running", lambda p: all(p.jobs[i].panda["status"] == "running" for i in running), 300)
    trial.kill_at_panda(*running)


def kill_while_it_stages_out(trial: Trial) -> None:
    (leaving,) = of_kind(trial, STAGING_OUT)
    trial.wait("staging out", lambda p: any(a.state == "finishing" for a in p.jobs[leaving].attempts), 300)
    trial.kill_at_panda(leaving)


def let_proxies_run_out(trial: Trial, renewal: Renewal) -> list[int]:
    """Users' jobs, which wait in queues of CEs when nobody renews their proxies any more. The operator is told."""
    jobs = trial.order(RUNNING_OUT, RUNNING_OUT_JOBS)
    trial.wait("in the CEs' queues", lambda p: states(p, jobs) == WAITING, 60)
    renewal.stop()
    trial.wait("without a proxy", lambda _: all(RAN_OUT in trial.explained(i) for i in jobs), 2 * LIFE_S)
    return jobs


def assert_only_these_are_held_up(trial: Trial, pandaids: Sequence[int]) -> None:
    """Jobs of other roles go on to their ends, while these are left as they are at the CEs."""
    (leaving,) = of_kind(trial, STAGING_OUT)
    trial.wait("killed", lambda p: p.jobs[leaving].row is not None and p.jobs[leaving].row.state in OVER, 300)
    others = [i for i, kind in trial.kinds.items() if kind.order.get("label") != "user" and i != leaving]
    picture = trial.wait("held up alone", lambda p: all(p.jobs[i].settled for i in others), 300)
    assert [s for s in states(picture, pandaids) if s not in LEFT_ALONE] == []


def of_kind(trial: Trial, kind: Kind) -> list[int]:
    return [i for i, one in trial.kinds.items() if one is kind]


def states(picture: Picture, pandaids: Sequence[int]) -> list[list[str]]:
    """The states of the attempts of some jobs."""
    return [[a.state for a in picture.jobs[i].attempts] for i in pandaids]


def unchecked(picture: Picture) -> list[int]:
    """Jobs whose outputs are on the storage, and have not been looked at."""
    states = {i: job.row.state for i, job in picture.jobs.items() if job.row is not None and not job.row.truepilot}
    ended = {i for i, job in picture.jobs.items() if any(a.state in ("finished", "done") for a in job.attempts)}
    return [i for i, state in states.items() if state in ("running", "transferring", "tovalidate") and i in ended]


@contextmanager
def outage(server: XRootD) -> Iterator[None]:
    """The storage is gone for minutes: staging, and looks at outputs, fail again and again."""
    end = time.monotonic() + OUTAGE_S
    server.kill()
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        server.start()


class Renewal:
    """Somebody else, who renews the short-lived proxies of a role in time, until told to stop."""

    def __init__(self, path: Path, certs: Path, proxy: str) -> None:
        self._path, self._certs, self._proxy = path, certs, proxy
        self._stopped = threading.Event()

    def start(self) -> None:
        """Renew from now on; there is a proxy at once."""
        self._renew()
        self._stopped.clear()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(RENEWED_S):
            self._renew()

    def _renew(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_bytes(proxies.fresh(self._certs, self._proxy, timedelta(seconds=LIFE_S)))
        new.replace(self._path)


def act_with_attributes(trial: Trial, stack: ExitStack) -> Renewal:
    """Somebody else renews proxies with VOMS attributes: one for production, another, short-lived, for users' jobs."""
    assert trial.grid is not None
    directory = trial.world.directory / "proxies"
    directory.mkdir()
    source = f"<directory>{directory}</directory><voms>atlas</voms>"
    roles = ("production", "pilot")
    sources = "".join(f'<proxy role="{r}">{source}<fqan>/atlas/Role={r}</fqan></proxy>' for r in roles)
    text = trial.core_file.read_text()
    trial.core_file.write_text(re.sub(r"<proxy>.*</proxy>", sources, text, flags=re.DOTALL))
    (directory / "production.pem").write_bytes(trial.grid.proxy("alice.prod").read_bytes())
    renewal = Renewal(directory / "pilot.pem", trial.grid.root / "certs", "bob.pilot")
    renewal.start()
    stack.callback(renewal.stop)
    return renewal


def attributes(trial: Trial) -> dict[str, str]:
    """Role -> attributes of its proxy, as the tower has read them."""
    database = Database(load_core(trial.core_file).database.connect_url())
    found = database.read("proxies", credentials.by_role)
    database.close()
    return {role: row.fqans for role, row in found.items()}


def wrong_on_storage(trial: Trial, picture: Picture, server: XRootD) -> Iterator[str]:
    """The outputs of jobs that finished are there, of others there is nothing.

    That PanDA has heard of each output is shown by its verdict: it fails a job with an incomplete report.
    """
    there = {p.name for p in server.data.rglob("*") if p.is_file()}
    for pandaid, job in picture.jobs.items():
        kind = trial.kinds[pandaid]
        if kind.queue == STAGED and kind.order.get("kind") not in UNKNOWN and job.row is not None:
            outputs = set(PandaJob.parse(job.row.job).names("outFiles"))
            if there & outputs != (outputs if kind.panda == "finished" else set()):
                yield f"{pandaid} ({kind.what}): on the storage are {there & outputs or 'no outputs'} of {outputs}"

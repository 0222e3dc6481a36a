"""NorduGrid mode on real CEs and a real storage: CEs stage, pilots talk to nobody, the tower does the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

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
    Kind("a user's", STAGED, "finished", DONE, {**BY_INPUT, "label": "user"}),
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
OVER = ("toclean", "cancelled", "donecancelled")
STAGING_OUT = Kind("killed while staging out", ELSEWHERE, "cancelled", KILLED, {"seconds": 1}, killed=True)
OUTAGE_S = 25.0  # more than ten times retry_s
SETTINGS = """<storages>{removable}<retry_s>2</retry_s><read_s>5</read_s><total_s>20</total_s></storages>
<errors><max_attempts>2</max_attempts></errors>"""


class Servers:
    """Real storage elements that the grid's CEs trust."""

    def __init__(self, stack: ExitStack, grid: Grid) -> None:
        need(XRootD.installed())
        self._stack, self._grid = stack, grid
        self.all: list[XRootD] = []

    def start(self) -> XRootD:
        certificates = self._grid.root / "certs"
        server = XRootD(self._grid.ca_dir, certificates / "host-cert.pem", certificates / "host-key.pem")
        self.all.append(self._stack.enter_context(server))
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
        storage={STAGED: base(server), ELSEWHERE: base(other)}, call_s=60, read_s=60, lease_s=90, rerun_s=15,
    )  # fmt: skip
    act_with_attributes(trial)
    for kind in (*TROUBLED, LATE_INPUT, STAGING_OUT):
        trial.order(kind)
    for n in range(50 - len(trial.kinds)):
        trial.order(SHAPES[n % len(SHAPES)])
    other.freeze()
    tower.start()
    running = [i for i, kind in trial.kinds.items() if kind.killed and kind is not STAGING_OUT]
    (late,) = (i for i, kind in trial.kinds.items() if kind is LATE_INPUT)
    (leaving,) = (i for i, kind in trial.kinds.items() if kind is STAGING_OUT)
    trial.wait("failed once in staging", lambda p: any(e.event == "stagefailed" for e in p.jobs[late].events), 300)
    put(server, LATE)
    trial.wait("running", lambda p: all(p.jobs[i].panda["status"] == "running" for i in running), 300)
    trial.kill_at_panda(*running)
    trial.wait("about to be looked at", lambda p: len(unchecked(p)) > 1, 300)
    with outage(server):
        told = f"StorageUnavailable: storage {server.host}"
        trial.wait("held up by the storage", lambda _: told in tower.log.read_text(errors="replace"), OUTAGE_S)
    trial.wait("staging out", lambda p: any(a.state == "finishing" for a in p.jobs[leaving].attempts), 300)
    trial.kill_at_panda(leaving)
    trial.wait("killed", lambda p: p.jobs[leaving].row is not None and p.jobs[leaving].row.state in OVER, 300)
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


def unchecked(picture: Picture) -> list[int]:
    """Jobs whose outputs are on the storage, and have not been looked at."""
    states = {i: job.row.state for i, job in picture.jobs.items() if job.row is not None and not job.row.truepilot}
    ended = {i for i, job in picture.jobs.items() if any(a.state in ("finished", "done") for a in job.attempts)}
    return [i for i, state in states.items() if state in ("running", "transferring", "tovalidate") and i in ended]


@contextmanager
def outage(server: XRootD) -> Iterator[None]:
    """The storage is gone for a while, long enough for staging and looks at outputs to fail again and again."""
    end = time.monotonic() + OUTAGE_S
    server.kill()
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        server.start()


def act_with_attributes(trial: Trial) -> None:
    """Somebody else renews proxies with VOMS attributes: one for production, another for the jobs of users."""
    assert trial.grid is not None
    directory = trial.world.directory / "proxies"
    directory.mkdir()
    sources = ""
    for role, proxy in (("production", "alice.prod"), ("pilot", "bob.pilot")):
        (directory / f"{role}.pem").write_bytes(trial.grid.proxy(proxy).read_bytes())
        sources += (
            f'<proxy role="{role}"><directory>{directory}</directory><voms>atlas</voms>'
            f"<fqan>/atlas/Role={role}</fqan></proxy>"
        )
    text = trial.core_file.read_text()
    trial.core_file.write_text(re.sub(r"<proxy>.*</proxy>", sources, text, flags=re.DOTALL))


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

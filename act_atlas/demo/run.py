"""Runs the demonstration and says whether all ended as it should."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from act.errors import ActError, TemporaryError
from act_atlas.demo import view
from act_atlas.demo.mix import BOTH, NOWHERE, SINGLE, Kind, mix
from act_atlas.demo.picture import Observer, Picture
from act_atlas.demo.scientist import LINES, Scientist
from act_atlas.trial import Tower, TrialCE, World

LOOK_S = 0.5
MARK = ".act-demo"  # in a directory that a demonstration made, and may wipe
CORE = """<daemons><idle_s>0.3</idle_s></daemons><logging><level>INFO</level></logging>
  <polling><status_s>1</status_s><missing_s>3</missing_s><delegation_idle_s>4</delegation_idle_s></polling>"""
PANDA = """<getjob_min_s>1</getjob_min_s><getjob_max_s>3</getjob_max_s><stats_s>10</stats_s>
  <retry_s>5</retry_s><final_grace_s>5</final_grace_s>"""
STAYS = """
The tower stays until Ctrl-C. Its status pages are at {url}/status (your browser does not know their certificate).
To submit jobs of your own, in another terminal with the same directory:
  . {shell}
  actcli proxy
  actcli run --name hello -- /bin/echo Hello, grid
  actcli stat --all
  actcli get --all"""


@dataclass(frozen=True)
class RealCEs:
    """CEs to take instead of simulated ones: at least two, all with these CAs and this credential. settings: what the
    tower's configuration says of them; work_dir: what their submit points see too, None: they have none."""

    ces: Sequence[TrialCE]
    ca_dir: Path
    credential: tuple[Path, Path]
    settings: str = ""
    work_dir: Path | None = None

    @property
    def refuse_queues(self) -> bool:
        """Whether they refuse a job for a queue that they do not have; the others put it where they like."""
        return all(ce.flavour == "ARC-CE" for ce in self.ces)


def run(directory: Path, jobs: int, limit_s: float, real: RealCEs | None, *, stay: bool = False) -> bool:
    """The demonstration below ``directory``, which is wiped first; True if all ended as it should.

    stay: the tower goes on until KeyboardInterrupt, for people to try it.
    """
    out = view.console()
    directory = _fresh(directory)
    places = (real.ca_dir, real.work_dir) if real else ()
    with World(directory, *places) as world:
        tower, scientist = _start(out, world, real)
        wrong = _see_through(
            out, world, tower, scientist, mix(jobs, with_nowhere=not real or real.refuse_queues), limit_s
        )
        if stay:
            out.print(STAYS.format(shell=scientist.shell, url=scientist.url), soft_wrap=True)
            with suppress(KeyboardInterrupt):
                signal.pause()
    return not wrong


def _see_through(
    out: Console, world: World, tower: Tower, scientist: Scientist, wanted: Iterator[Kind], limit_s: float
) -> list[str]:
    """Have all jobs done and show it; returns what is not as it should be."""
    with view.Show(out) as show:
        kinds = _order(world, wanted)
        tower.start()
        scientist.begin(tower)
        scientist.submit()
        observer = Observer(world, world.directory / "aCTConfigARC.xml")
        try:
            picture = _follow(show, world, tower, observer, kinds, limit_s)
            missed = list(scientist.collect(time.monotonic() + limit_s - show.elapsed_s))
            left = _left(show, observer, limit_s)
        finally:
            observer.close()
    view.summary(out, picture, kinds, world.directory / "joblog")
    wrong = [*complaints(picture, kinds), *missed, *left]
    for line in wrong:
        out.print(f"[bold red]WRONG[/] {line}", soft_wrap=True)
    out.print(
        f"[bold green]All {len(kinds)} jobs ended as they should[/], in {show.elapsed_s:.0f} s, and so did "
        f"{len(LINES)} that a user submitted with actcli; no job ran twice, and the CEs hold nothing of them."
        if not wrong else f"{len(wrong)} things are not as they should be; the tower's log is {tower.log}",
        soft_wrap=True,
    )  # fmt: skip
    return wrong


def _fresh(directory: Path) -> Path:
    """An empty directory; only what an earlier demonstration left is wiped."""
    directory = directory.resolve()
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARK).exists():
            raise ActError(f"{directory} is not empty and not of an earlier demonstration: choose another directory")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()
    return directory


def _start(out: Console, world: World, real: RealCEs | None) -> tuple[Tower, Scientist]:
    """Far sides and configuration; the tower is set up, its daemons do not run yet."""
    world.start_panda("--adder", "1")
    if real:
        ces = list(real.ces)
    else:
        ces = [world.start_ce(name, "--run", "really", "--slots", "6") for name in ("ce1", "ce2")]
    out.print(f"A local PanDA at {world.panda['url']}, {'real' if real else 'simulated'} CEs at "
              f"{' and '.join(ce.url for ce in ces)}", soft_wrap=True)  # fmt: skip
    queues = {BOTH: ces, SINGLE: ces[1:], NOWHERE: [replace(ce, queue="nowhere") for ce in ces]}
    credential, settings = (real.credential, real.settings) if real else (None, "")
    scientist = Scientist(world, ces, credential)
    core = CORE + settings + scientist.configuration()
    return world.tower(world.configure(queues, credential=credential, core=core, panda=PANDA)), scientist


def _order(world: World, kinds: Iterator[Kind]) -> dict[int, Kind]:
    """Define the jobs at PanDA; PanDA id -> kind."""
    return {world.order(kind.queue, **kind.order)[0]: kind for kind in kinds}


def _follow(
    show: view.Show, world: World, tower: Tower, observer: Observer, kinds: Mapping[int, Kind], limit_s: float
) -> Picture:
    """Show the jobs until all is settled or the time is up; ask PanDA for the end of those that are to be killed."""
    to_kill = {i for i, kind in kinds.items() if kind.killed}
    while True:
        picture = observer.look(kinds)
        show.update(picture)
        ripe = [i for i in to_kill if picture.jobs[i].panda["status"] == "running"]
        if ripe:
            world.call("POST", "/_sim/kill", {"pandaids": ripe})
            to_kill.difference_update(ripe)
        if picture.settled or show.elapsed_s > limit_s:
            return picture
        if tower.pid is None:
            raise ActError(f"the tower has ended:\n{tower.said()}")
        time.sleep(LOOK_S)


def _left(show: view.Show, observer: Observer, limit_s: float) -> list[str]:
    """What CEs still list; they may take a moment to forget."""
    while True:
        try:
            left = [f"a CE still has job {job}" for job in observer.left_at_ces()]
        except TemporaryError as error:
            left = [str(error)]
        if not left or show.elapsed_s > limit_s:
            return left
        time.sleep(LOOK_S)


def complaints(picture: Picture, kinds: Mapping[int, Kind]) -> Iterator[str]:
    """What is not as it should be."""
    for pandaid, job in picture.jobs.items():
        kind = kinds[pandaid]
        runs = len(job.panda["executions"])
        tower = job.row.state if job.row is not None else "nowhere"
        if job.panda["status"] != kind.panda:
            yield f"{pandaid} ({kind.what}): PanDA says {job.panda['status']}, not {kind.panda}"
        if tower not in kind.tower:
            yield f"{pandaid} ({kind.what}): the tower says {tower}, not {' or '.join(kind.tower)}"
        if runs != kind.runs:
            yield f"{pandaid} ({kind.what}): it ran {runs} times, not {kind.runs}"
        if not job.settled:
            states = ", ".join(a.state for a in job.attempts) or "none"
            yield f"{pandaid} ({kind.what}): it is not over, its attempts are: {states}"
    if picture.delegations:
        yield f"the tower still has {picture.delegations} delegations at CEs"

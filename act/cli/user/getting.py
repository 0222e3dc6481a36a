"""get: results of ended jobs to this computer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from act.cli.user import progress, show, units
from act.cli.user.errors import SOME_FAILED, NothingMatched
from act.cli.user.selection import ids_as_text, of_ids
from act.cli.user.tool import Tool, choosing, chosen, complain, note, pass_tool

if TYPE_CHECKING:
    from act.cli.user.api import Api
    from act.cli.user.download import Wanted

FETCHED = ("done", "donefailed")  # states in which the tower has all that there is
CLEANED_AT_ONCE = 50


@click.command()
@choosing
@click.option("-d", "--directory", type=click.Path(file_okay=False, path_type=Path), default=Path(),
              metavar="DIR", help="Where the directories of the jobs go [here].")  # fmt: skip
@click.option(
    "--use-jobname", "by_name", is_flag=True, help="Call the directories after the jobs instead of their ids."
)
@click.option("--noclean", is_flag=True, help="Leave the jobs and their results in the tower.")
@click.option("-j", "--connections", type=click.IntRange(1, 16), help="Jobs at a time [4].")
@pass_tool
def get(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str], everything: bool,
        directory: Path, by_name: bool, noclean: bool, connections: int | None) -> None:  # fmt: skip
    """Bring results of ended jobs here.

    Those of each job go into a directory of its own. A job is removed from the tower when all its files are here and
    their digests are right, and not before. After a break the same command goes on where it was.

    \b
    actcli get 17
    actcli get --all -d results --use-jobname
    actcli get --state donefailed --noclean
    """
    from act.cli.user.download import Download, Folders, Wanted

    selection = chosen(ids, more, name, states, everything, must="get")
    api = tool.api()
    folders = Folders(directory, by_name)
    ready, waiting = [], []
    for job in api.jobs(selection):
        if job["state"] in FETCHED:
            ready.append(Wanted(int(job["id"]), folders.of(int(job["id"]), str(job["name"]))))
        else:
            waiting.append(int(job["id"]))
    if not ready:
        told = f": {show.count(len(waiting), 'job')} not ended or without results" if waiting else ""
        raise NothingMatched(f"no job with results among those{told}")
    cleaner = _Cleaner(api)
    try:
        with progress.bar("Fetching", len(ready)) as bar:
            done = _nothing if noclean else cleaner.add
            Download(api, ready, bar, connections or tool.settings.connections, done).run()
    finally:
        cleaner.flush()
        _tell(ready)
    if waiting and not everything:
        note(f"not ended, or without results: {ids_as_text(waiting)}")
    if any(job.error for job in ready):
        sys.exit(SOME_FAILED)


def _nothing(job: Wanted) -> None:
    """What is done with --noclean to a job that is here."""


class _Cleaner:
    """Removes jobs whose results are here, some at a time. Used by several threads."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._here: list[int] = []

    def add(self, job: Wanted) -> None:
        """All of this job is here."""
        with self._lock:
            self._here.append(job.job_id)
            if len(self._here) < CLEANED_AT_ONCE:
                return
        self.flush()

    def flush(self) -> None:
        """Remove those that are left."""
        with self._lock:
            ids, self._here = self._here, []
        if ids:
            self._api.change("clean", of_ids(ids))


def _tell(jobs: Sequence[Wanted]) -> None:
    """What is here now, and what is not."""
    here = [job for job in jobs if job.complete]
    for job in here[:20]:
        what = f"{show.count(job.files, 'file')}, {units.size(job.bytes)}" if job.files else "left no files"
        click.echo(f"job {job.job_id}: {job.folder} ({what})")
    if len(here) > 20:
        click.echo(f"and {len(here) - 20} more jobs below {here[0].folder.parent}/")
    for job in jobs:
        if job.error:
            complain(f"job {job.job_id}: {show.one_line(job.error)}")
    if missing := [job for job in jobs if not job.complete and not job.error]:
        note(f"{show.count(len(missing), 'job')} not fetched: the same command goes on with them")

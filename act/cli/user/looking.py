"""What jobs do: stat, cat, explain."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from act.cli.user import show
from act.cli.user.errors import SOME_FAILED, NothingMatched, Unreachable
from act.cli.user.selection import Selection
from act.cli.user.tool import Tool, choosing, chosen, complain, note, one, pass_tool

if TYPE_CHECKING:
    from act.cli.user.api import Api, Live

MOST_BREAKS = 30  # in a row, while following
FIRST_LOOK_S = 20.0  # for which cat waits until the tower has seen a file of a running job
PAUSE_S = 1.0


@click.command()
@choosing
@click.option("-l", "--long", "long", is_flag=True, help="All columns, and nothing cut.")
@click.option("-c", "--columns", "names", multiple=True, metavar="COLUMN[,COLUMN]",
              help=f"These columns: {', '.join(show.COLUMNS)}.")  # fmt: skip
@click.option("-f", "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table",
              show_default=True, help="json and csv have times in seconds since 1970 and sizes in MB.")  # fmt: skip
@click.option("-w", "--watch", is_flag=True, help="Go on until all have ended; a terminal shows them meanwhile.")
@click.option("--interval", type=click.FloatRange(min=1), default=5.0, show_default=True, metavar="S",
              help="Seconds between, with --watch.")  # fmt: skip
@pass_tool
def stat(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str], everything: bool,
         long: bool, names: Sequence[str], form: str, watch: bool, interval: float) -> None:  # fmt: skip
    """Show jobs.

    All that you have, if none are named.

    \b
    actcli stat
    actcli stat 17 20-25 --columns id,state,node
    actcli stat --state running --watch
    actcli stat --format json | jq '.[].state'
    """
    selection = chosen(ids, more, name, states, everything)
    wanted = _columns(tool, long, names, form)
    api = tool.api()
    if watch:
        _watch(api, selection, wanted, interval)
    if form == "table":
        jobs = list(api.jobs(selection))
        _table(jobs, wanted, None if long else show.terminal_width())
        if not jobs and selection.everything:
            note("no jobs")
        _tell_missing(selection, (int(job["id"]) for job in jobs))
        return
    seen: list[int] = []
    found = _noting(api.jobs(selection), seen)
    if form == "json":
        show.write_json(found)
    else:
        show.write_csv(found, wanted)
    _tell_missing(selection, seen)


def _columns(tool: Tool, long: bool, names: Sequence[str], form: str) -> list[str]:
    try:
        chosen_names = show.columns(names or tool.settings.columns)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if long or (form == "csv" and not names):
        return list(show.COLUMNS)
    return chosen_names or list(show.USUAL)


def _noting(jobs: Iterable[dict[str, Any]], seen: list[int]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        seen.append(int(job["id"]))
        yield job


def _table(jobs: Sequence[dict[str, Any]], wanted: Sequence[str], width: int | None) -> None:
    if jobs:
        for line in show.jobs_table(jobs, wanted, width):
            click.echo(line, color=True if show.coloured() else None)
        if sys.stdout.isatty():
            note(f"\n{show.summary(jobs)}")


def _tell_missing(selection: Selection, seen: Iterable[int]) -> None:
    """Exit code 5 if nothing was found that was asked for, 1 if single ids were not."""
    found = set(seen)
    if not found and not selection.everything:
        raise NothingMatched("no job of yours is like that")
    missing = [first for first, last in selection.ids if first == last and first not in found]
    if missing and not (selection.name or selection.states):
        complain(f"you have no job {', '.join(map(str, missing))}")
        sys.exit(SOME_FAILED)


def _watch(api: Api, selection: Selection, wanted: Sequence[str], interval: float) -> None:
    """Until all jobs have ended; shown on a terminal only."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, no_color=not show.coloured())
    with Live(console=console, auto_refresh=False, screen=True) if console.is_terminal else nullcontext() as live:
        while True:
            jobs = list(api.jobs(selection))
            if live is not None:
                live.update(
                    Text.from_ansi(_screen(jobs, wanted, console.width, console.height), no_wrap=True), refresh=True
                )
            if all(job["state"] in show.ENDED for job in jobs):
                return
            time.sleep(interval)


def _screen(jobs: Sequence[dict[str, Any]], wanted: Sequence[str], width: int, height: int) -> str:
    """As much of the table as a screen holds, below a line that tells of all."""
    lines = show.jobs_table(jobs, wanted, width) if jobs else []
    room = max(1, height - 3)
    more = f" (the first {room - 1} are shown)" if len(lines) > room else ""
    head = f"{time.strftime('%H:%M:%S')}  {show.summary(jobs)}{more}; Ctrl-C ends"
    return "\n".join([show.cut(head, width), "", *lines[:room]])


@click.command()
@click.argument("job_id", metavar="ID")
@click.argument("file", metavar="[NAME]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "-o", "--stdout", "stream", flag_value="stdout", default=True, help="What the job wrote to stdout (default)."
)
@click.option("-e", "--stderr", "stream", flag_value="stderr", help="What it wrote to stderr.")
@pass_tool
def cat(tool: Tool, job_id: str, file: str | None, follow: bool, stream: str) -> None:
    """Show output of a job, also while it runs.

    That is its stdout, or the file NAME of its directory.

    \b
    actcli cat 17
    actcli cat -f 17
    actcli cat 17 logs/run.log
    """
    number = one(job_id)
    name, api = file or stream, tool.api()
    out, begin = _Counted(sys.stdout.buffer), time.monotonic()
    for live in _looks(api, number, name, out, follow):
        waited = time.monotonic() - begin > FIRST_LOOK_S
        if live.final or (not follow and (out.written or waited)):
            if not out.written:
                note(f"job {number} ({live.state}) has no {name}{'' if live.final else ' yet'}")
            return


def _looks(api: Api, job_id: int, name: str, out: _Counted, follow: bool) -> Iterator[Live]:
    """Look at a file again and again, writing what is new; while following, breaks of the connection are borne."""
    breaks = 0
    while True:
        try:
            live = api.live(job_id, name, out.written, out)
        except Unreachable:
            breaks += 1
            if not follow or breaks == MOST_BREAKS:
                raise
        else:
            breaks = 0
            yield live
        time.sleep(PAUSE_S)


class _Counted:
    """A stream that shows at once what is written, and knows how much that was."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.written = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self._out.flush()
        self.written += len(data)


@click.command()
@click.argument("job_id", metavar="ID")
@pass_tool
def explain(tool: Tool, job_id: str) -> None:
    """Tell why a job is as it is.

    What happened to it, what it waits for, and what comes next.
    """
    wanted = one(job_id)
    for number, story in enumerate(tool.api().explain(wanted)):
        if number:
            click.echo()
        title = show.printable(str(story["title"]))
        click.echo(click.style(title, bold=True) if show.coloured() else title)
        for line in story["lines"]:
            click.echo(show.paragraph(show.printable(str(line))))

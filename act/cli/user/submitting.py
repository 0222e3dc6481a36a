"""sub and run: new jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from act.cli.user import progress, show, straight, units
from act.cli.user.descriptions import NewJob, check_language, read
from act.cli.user.errors import SOME_FAILED
from act.cli.user.selection import array, ids_as_text
from act.cli.user.tool import Tool, complain, note, pass_tool
from act.errors import BadJobSpec

if TYPE_CHECKING:
    from act.cli.user.submission import Submitted

_FEW = 20  # jobs that are told one by one


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-c", "--ce", "ces", multiple=True, metavar="NAME[,NAME]",
              help="Run it on one of these CEs (see actcli info) [all that you may use].")  # fmt: skip
@click.option("--lang", "language", default="", callback=check_language, metavar="LANGUAGE",
              help="Language of the files [by their endings, or by what is in them].")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print ids only, one a line.")
@pass_tool
def sub(tool: Tool, files: Sequence[str], ces: Sequence[str], language: str, quiet: bool) -> None:
    """Submit jobs that are described in files.

    A file may describe several jobs; "-" is the standard input. Local input files are looked for from the file's own
    directory and go along; nothing is sent if one is missing.

    \b
    actcli sub job.xrsl
    actcli sub scan/*.xrsl --ce lund,bern
    """
    try:
        jobs = read(files, language)
    except BadJobSpec as error:
        raise BadJobSpec(f"nothing is submitted:\n{error}") from error
    _submit(tool, jobs, ces, quiet)


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, metavar="[--] COMMAND [ARGUMENT]...")
@click.option("--cores", type=click.IntRange(1), default=1, show_default=True, help="On one node.")
@click.option("--memory", metavar="SIZE", default="2000MB", show_default=True, help="Of the whole job.")
@click.option("--walltime", metavar="TIME", default="1h", show_default=True, help="How long it may run: 90m, 2h, 1d.")
@click.option("--disk", metavar="SIZE", help="In its directory.")
@click.option("--input", "inputs", multiple=True, metavar="[NAME=]FILE|URL", help="A file it starts with; repeat it.")
@click.option("--output", "outputs", multiple=True, metavar="NAME[=URL]",
              help='A file to bring back beside stdout and stderr; "results/": a directory, "/": all.')  # fmt: skip
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="For its environment; repeat it.")
@click.option("--rte", "runtimes", multiple=True, metavar="NAME", help="A runtime environment of the CE; repeat it.")
@click.option("--name", default="", metavar="TEXT", help="What you call it [the command's name].")
@click.option("--array", "indices", metavar="1-100", help="One job for each index: 1-100, 0-90:10, 1,5,7-9.")
@click.option("-c", "--ce", "ces", multiple=True, metavar="NAME[,NAME]", help="Run it on one of these CEs.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only, one a line.")
@pass_tool
def run(tool: Tool, command: Sequence[str], cores: int, memory: str, walltime: str, disk: str | None,
        inputs: Sequence[str], outputs: Sequence[str], environment: Sequence[str], runtimes: Sequence[str], name: str,
        indices: str | None, ces: Sequence[str], quiet: bool) -> None:  # fmt: skip
    """Submit a command as a job.

    A COMMAND that is a file here goes along. In an array, "{}" in arguments and the variable ACT_ARRAY_INDEX are the
    job's index.

    \b
    actcli run --cores 4 --walltime 2h --input data.txt -- ./analyse.sh data.txt
    actcli run --array 1-100 -- ./simulate.py --seed {}
    """
    try:
        wish = straight.Wish(
            command=tuple(command), cores=cores, memory_mb=units.megabytes(memory), walltime_s=units.seconds(walltime),
            disk_mb=units.megabytes(disk) if disk else None, inputs=tuple(inputs), outputs=tuple(outputs),
            environment=tuple(environment), runtimes=tuple(runtimes), name=name,
        )  # fmt: skip
        jobs = straight.jobs(wish, array(indices) if indices else [None])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _submit(tool, jobs, ces, quiet)


def _submit(tool: Tool, jobs: Sequence[NewJob], ces: Sequence[str], quiet: bool) -> None:
    from act.cli.user.submission import Submission

    names = [name for text in ces for name in text.split(",") if name] or list(tool.settings.ces)
    api = tool.api()
    submission = Submission(api, names, jobs)
    try:
        with progress.bar("Submitting", len(jobs)) as bar:
            submission.run(bar, tool.settings.connections)
    finally:
        _tell(submission.jobs, quiet)
    if not all(one.done for one in submission.jobs):
        sys.exit(SOME_FAILED)


def _tell(jobs: Sequence[Submitted], quiet: bool) -> None:
    """What was submitted and what was not, also after Ctrl-C."""
    done = [one for one in jobs if one.done]
    ids = [one.job_id for one in done if one.job_id is not None]
    if quiet:
        for job_id in ids:
            click.echo(job_id)
    elif len(done) <= _FEW:
        for one in done:
            click.echo(f"job {one.job_id}: {show.one_line(one.name)}")
    else:
        click.echo(f"{len(done)} jobs submitted: {ids_as_text(ids)}")
    failed = [one for one in jobs if one.error]
    for one in failed[:_FEW]:
        complain(f"{one.job.label}: {show.one_line(one.error)}")
    if len(failed) > _FEW:
        complain(f"and {show.count(len(failed) - _FEW, 'job')} more not submitted")
    if unsent := sum(not one.done and not one.error for one in jobs):
        note(f"{show.count(unsent, 'job')} not submitted")

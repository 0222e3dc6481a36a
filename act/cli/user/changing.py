"""What is done to jobs: kill, resub, fetch, clean."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from act.cli.user import show
from act.cli.user.errors import SOME_FAILED, NothingMatched
from act.cli.user.selection import ids_as_text
from act.cli.user.tool import Tool, choosing, chosen, complain, pass_tool

_MANY = 10  # refused jobs that are told one by one


@click.command()
@choosing
@pass_tool
def kill(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str],
         everything: bool) -> None:  # fmt: skip
    """Kill jobs that have not ended.

    \b
    actcli kill 17 20-25
    actcli kill --state submitted,holding --name scan
    """
    _change(tool, "kill", "kill", "being killed", (ids, more, name, states, everything))


@click.command()
@choosing
@pass_tool
def resub(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str],
          everything: bool) -> None:  # fmt: skip
    """Submit failed or cancelled jobs again.

    With the same description and inputs.

    \b
    actcli resub --state donefailed
    """
    _change(tool, "resub", "resubmit", "submitted again", (ids, more, name, states, everything))


@click.command()
@choosing
@pass_tool
def fetch(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str],
          everything: bool) -> None:  # fmt: skip
    """Have the tower fetch what failed jobs left.

    It does so by itself; this is for trying again. get brings it here.
    """
    _change(tool, "fetch", "fetch", "being fetched", (ids, more, name, states, everything))


@click.command()
@choosing
@pass_tool
def clean(tool: Tool, ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str],
          everything: bool) -> None:  # fmt: skip
    """Remove ended jobs from the tower.

    Their results go with them.

    \b
    actcli clean --state donefailed
    """
    _change(tool, "clean", "clean", "removed", (ids, more, name, states, everything))


Said = tuple[Sequence[str], Sequence[str], str, Sequence[str], bool]


def _change(tool: Tool, command: str, verb: str, done_word: str, said: Said) -> None:
    ids, more, name, states, everything = said
    selection = chosen(ids, more, name, states, everything, must=command)
    done, refused = tool.api().change(verb, selection)
    if done:
        few = f" ({ids_as_text(job['id'] for job in done)})"
        click.echo(f"{show.count(len(done), 'job')} {done_word}{few}")
    for one in refused[:_MANY]:
        complain(f"job {one['id']}: {show.one_line(str(one['detail']))}")
    if len(refused) > _MANY:
        complain(f"and {len(refused) - _MANY} more refused ({ids_as_text(one['id'] for one in refused[_MANY:])})")
    if refused:
        sys.exit(SOME_FAILED)
    if not done:
        raise NothingMatched(f"no job to {verb} among those")

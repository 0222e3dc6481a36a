"""What commands share: the server that is meant, how jobs are chosen, what is told at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from act.cli.user import config
from act.cli.user.errors import NotAuthenticated
from act.cli.user.selection import Selection, only_id, select

if TYPE_CHECKING:
    from act.cli.user.api import Api

F = TypeVar("F", bound=Callable[..., Any])

STATES = ("tosubmit", "quarantined", "submitting", "submitted", "running", "holding", "finishing",
          "finished", "tofetch", "done", "failed", "donefailed", "tocancel", "cancelling", "cancelled", "torerun",
          "lost")  # fmt: skip


@dataclass
class Tool:
    """One run of actcli. server and ca: as said on the command line."""

    server: str | None = None
    ca: str | None = None
    _context: click.Context | None = field(default=None, repr=False)

    @cached_property
    def settings(self) -> config.Settings:
        """What is settled for this run."""
        return config.load(self.server, self.ca)

    def api(self, token: str | None = None) -> Api:
        """The server, with the session that we have there or with this token; "" for none."""
        # httpx is slow to import, and help and completion do without it.
        from act.cli.user.api import Api
        from act.cli.user.transport import Transport

        source = ""
        if token is None:
            session = config.session(self.settings.server)
            if session is None:
                raise NotAuthenticated(
                    f"you have no session at {self.settings.server}: run 'actcli proxy', or 'actcli login' with a token"
                )
            token, source = session.token, session.source
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise NotAuthenticated(f"what {source or 'you gave'} holds is no token: it must be one word")
        transport = Transport(self.settings.server, token, self.settings.ca, source)
        click.get_current_context().with_resource(closing(transport))
        return Api(transport)


pass_tool = click.make_pass_decorator(Tool, ensure=True)


def note(text: str) -> None:
    """Tell something beside the output proper."""
    click.echo(text, err=True)


def complain(text: str) -> None:
    """Tell what went wrong with some of the jobs."""
    from act.cli.user.show import coloured

    click.echo(click.style(text, fg="red") if coloured(sys.stderr) else text, err=True)


def choosing(function: F) -> F:
    """Arguments and options that choose jobs: IDS, --name, --state, --all."""
    for decorate in (
        click.option("-a", "--all", "everything", is_flag=True, help="All jobs that you have."),
        click.option("-s", "--state", "states", multiple=True, metavar="STATE[,STATE]", shell_complete=_complete_states,
                     help="Jobs in these states."),
        click.option("-n", "--name", default="", metavar="TEXT", help="Jobs with this in their name."),
        click.option("-i", "--id", "more", multiple=True, metavar="IDS", help="The same as IDS."),
        click.argument("ids", nargs=-1),
    ):  # fmt: skip
        function = decorate(function)
    return function


def _complete_states(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    first, comma, last = incomplete.rpartition(",")
    return [f"{first}{comma}{state}" for state in STATES if state.startswith(last)]


def chosen(ids: Sequence[str], more: Sequence[str], name: str, states: Sequence[str], everything: bool, *,
           must: str = "") -> Selection:  # fmt: skip
    """The jobs that a command line means. must: the command that needs to be told, as it changes something."""
    try:
        selection = select([*ids, *more], name, states)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if unknown := sorted(set(selection.states) - {*STATES, "begun"}):
        raise click.UsageError(f"there is no state {', '.join(unknown)}; there are {', '.join(STATES)}")
    if must and selection.everything and not everything:
        raise click.UsageError(f"which jobs? Give ids (17 20-25), --name or --state; 'actcli {must} --all' means all")
    return selection


def one(word: str) -> int:
    """The id of the only job that a command line means."""
    try:
        return only_id(word)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

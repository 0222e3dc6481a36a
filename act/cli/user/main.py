"""actcli: submit, watch, fetch and kill jobs on many compute elements, through the tower."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from act import __version__
from act.cli.user import access, changing, getting, looking, submitting
from act.cli.user.errors import INTERRUPTED, exit_code
from act.cli.user.tool import Tool
from act.errors import ActError

_EPILOG = """\b
Exit codes: 0 all well, 1 some jobs failed or were refused, 2 wrong usage or
configuration, 3 not authenticated, 4 server unreachable, 5 nothing matched,
130 interrupted."""


class _Group(click.Group):
    """Commands in the order they are used in; errors become a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ActError as error:
            click.echo(f"actcli: {error}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("actcli: interrupted", err=True)
            sys.exit(INTERRUPTED)


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--server", metavar="URL", help="The tower's web server [ACTCLI_SERVER, or 'server' in actcli.toml].")
@click.option("--ca", metavar="PATH", help="CA file or directory to verify the server with [ACTCLI_CA, or 'ca'].")
@click.version_option(__version__, prog_name="actcli")
@click.pass_context
def main(ctx: click.Context, server: str | None, ca: str | None) -> None:
    """Submit, watch, fetch and kill jobs on many compute elements.

    Begin with: actcli --server https://HOST:PORT proxy
    """
    ctx.obj = Tool(server, ca)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends as Ctrl-C does: in order."""
    raise KeyboardInterrupt


@click.command()
def version() -> None:
    """Tell the version of this program."""
    click.echo(f"actcli {__version__}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes the shell complete commands.

    \b
    ~/.bashrc:                                 eval "$(actcli completion bash)"
    ~/.zshrc:                                  eval "$(actcli completion zsh)"
    ~/.config/fish/completions/actcli.fish:    actcli completion fish | source
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "actcli", "_ACTCLI_COMPLETE").source())


for _command in (
    access.proxy, access.login, access.logout, access.info, submitting.sub, submitting.run, looking.stat,
    getting.get, looking.cat, changing.kill, changing.resub, changing.fetch, changing.clean, looking.explain,
    completion, version,
):  # fmt: skip
    main.add_command(_command)

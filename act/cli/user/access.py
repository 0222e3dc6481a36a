"""Who we are: proxy, login, logout, info."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from act.cli.user import config, show, units
from act.cli.user.tool import Tool, note, pass_tool
from act.errors import CredentialError

LONGEST_S = 400 * 86400  # more than any proxy has left


@click.command()
@click.option("--proxy", "path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="The proxy [X509_USER_PROXY, /tmp/x509up_u<uid>].")  # fmt: skip
@click.option("--lifetime", metavar="TIME", help="Let the tower have it for so long (12h, 4d) instead of all its time.")
@click.option("--for-login", is_flag=True, help="Leave it for the jobs of whom you logged in as with a token.")
@pass_tool
def proxy(tool: Tool, path: Path | None, lifetime: str | None, for_login: bool) -> None:
    """Hand over your proxy and open a session.

    The tower can act for you then.

    Your key stays here: the tower makes one of its own, and your proxy signs it.

    \b
    actcli proxy
    actcli proxy --proxy ~/myproxy.pem --lifetime 2d
    """
    from act.cli.user import credentials

    try:
        lifetime_s = units.seconds(lifetime) if lifetime else LONGEST_S
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--lifetime") from error
    pem, info = credentials.read_proxy(credentials.proxy_file(path))
    session = credentials.hand_over(tool.api(None if for_login else ""), tool.api, pem, lifetime_s)
    config.keep_session(tool.settings.server, session.token, session.expires)
    until = min(info.expires, time.time() + lifetime_s)
    click.echo(f"{tool.settings.server} acts for {info.identity} for {units.span(until - time.time())}")
    if session.expires is not None:
        click.echo(f"your session lasts {units.span(session.expires - time.time())}")


@click.command()
@click.option("--token-file", metavar="FILE", help='A file with the token; "-": the standard input.')
@click.option("--oidc-agent", "account", metavar="ACCOUNT", help="Ask oidc-agent for a token of this account.")
@click.option("--audience", default="", metavar="URL", help="Let it be a token for this tower, if it insists on that.")
@click.option("--status", is_flag=True, help="Only tell whether there is a session and whose.")
@pass_tool
def login(tool: Tool, token_file: str | None, account: str | None, audience: str, status: bool) -> None:
    """Open a session with a token (OIDC, WLCG).

    Without options the token is looked for in BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u<uid> and
    /tmp/bt_u<uid>.

    \b
    actcli login --token-file ~/token
    actcli login --oidc-agent wlcg --audience https://act.example.org
    """
    if audience and not account:
        raise click.UsageError("--audience goes with --oidc-agent: a token that is there already has its audience")
    if status:
        _tell_identity(tool.api().info())
        return
    token, source = _token(token_file, account, audience)
    if not token:
        raise CredentialError("there is no token in the usual places: give --token-file FILE or --oidc-agent ACCOUNT")
    from act.cli.user.credentials import expiry

    told = tool.api(token).info()
    config.keep_session(tool.settings.server, token, expiry(token))
    _tell_identity(told)
    if (end := expiry(token)) is not None:
        click.echo(f"the token from {source} lasts {units.span(end - time.time())}")


def _token(token_file: str | None, account: str | None, audience: str) -> tuple[str, str]:
    from act.cli.user import credentials

    if account:
        return credentials.ask_oidc_agent(account, audience), "oidc-agent"
    if token_file == "-":
        return sys.stdin.read().strip(), "the standard input"
    if token_file:
        return credentials.read_token(Path(token_file)), token_file
    return credentials.find_token()


def _tell_identity(told: dict[str, Any]) -> None:
    click.echo(f"{told['identity']['subject']}, known as of {told['identity']['issuer']}")


@click.command()
@click.option("--everywhere", is_flag=True, help="End all your sessions, also those on other computers.")
@pass_tool
def logout(tool: Tool, everywhere: bool) -> None:
    """End the session.

    Jobs go on; the tower keeps what it needs for them.
    """
    from act.cli.user.errors import NotAuthenticated, Refused

    server = tool.settings.server
    try:
        if everywhere:
            tool.api().end_sessions()
        else:
            tool.api().abandon()
    except NotAuthenticated:
        note("there was no session any more")
    except Refused as error:
        note(f"the server keeps the token valid until it expires: {error}")
    finally:
        config.keep_session(server, "", None)
    click.echo(f"no session at {server} is kept here")


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@pass_tool
def info(tool: Tool, form: str) -> None:
    """Show who you are, your CEs and limits."""
    told = tool.api().info()
    if form == "json":
        import json

        click.echo(json.dumps(told, indent=1))
        return
    identity, credential = told["identity"], told.get("credential")
    left = "none: jobs need one (actcli proxy)"
    if credential:
        seconds = credential["expires"] - time.time()
        left = f"{units.span(seconds)} left" if seconds > 0 else "EXPIRED: run actcli proxy"
    facts = (
        ("Server", f"{tool.settings.server} (aCT {told['version']})"),
        ("You", identity["subject"]),
        ("Issuer", identity["issuer"]),
        ("Groups", ", ".join(identity["groups"])),
        ("Credential", left),
    )
    for label, text in facts:
        click.echo(f"{label + ':':<12}{show.one_line(text)}")
    click.echo()
    _places(told["ces"])
    click.echo()
    _limits(told["used"], told["limits"])


def _places(ces: list[dict[str, Any]]) -> None:
    rows = [
        [show.one_line(str(ce.get(key) or "")) for key in ("name", "flavour", "queue", "status", "url")] for ce in ces
    ]
    for line in show.table(["CE", "TYPE", "QUEUE", "STATUS", "URL"], rows, width=show.terminal_width()):
        click.echo(line)


def _limits(used: dict[str, float], limits: dict[str, float]) -> None:
    rows = [[key, _amount(key, used[key]), _amount(key, limits[key])] for key in ("jobs", "files", "mb")]
    rows = [["data" if row[0] == "mb" else row[0], *row[1:]] for row in rows]
    for line in show.table(["LIMIT", "USED", "ALLOWED"], rows, [False, True, True]):
        click.echo(line)
    click.echo(f"An input file may have {_amount('mb', limits['file_mb'])}.")


def _amount(key: str, number: float) -> str:
    return units.size(number * 1e6) if key == "mb" else f"{number:,.0f}"

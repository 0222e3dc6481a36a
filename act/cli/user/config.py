"""What the user has settled once: server, trusted CAs, usual CEs, columns; and the sessions with servers.

Options win over ACTCLI_SERVER, ACTCLI_CA, ACTCLI_TOKEN and ACTCLI_TOKEN_FILE, those over the file
``$XDG_CONFIG_HOME/act/actcli.toml`` (or $ACTCLI_CONFIG). Sessions are kept in ``$XDG_DATA_HOME/act/token``.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from act.errors import ConfigError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_KEYS: dict[str, type] = {"server": str, "ca": str, "ces": list, "columns": list, "connections": int}


@dataclass(frozen=True, slots=True)
class Settings:
    """server: URL without "/" at its end; ca: file or directory, None: those of the system and of grid software.

    ces: CEs for jobs that name none. columns: of `stat`. connections: how many at a time.
    """

    server: str
    ca: Path | None = None
    ces: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    connections: int = 4


def load(server: str | None = None, ca: str | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force; server and ca: from the command line. Raises ConfigError."""
    path = config_file(environment)
    found = _read(path)
    server = server or environment.get("ACTCLI_SERVER") or found.get("server", "")
    if not server:
        raise ConfigError(
            f'which server? Give --server https://HOST:PORT, set ACTCLI_SERVER, or put   server = "https://HOST:PORT"'
            f"   into {path}"
        )
    ca = ca or environment.get("ACTCLI_CA") or found.get("ca")
    return Settings(
        server=_checked(server),
        ca=Path(ca).expanduser() if ca else None,
        ces=tuple(found.get("ces", ())),
        columns=tuple(found.get("columns", ())),
        connections=min(16, max(1, found.get("connections", 4))),
    )


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the settings are looked for."""
    if named := environment.get("ACTCLI_CONFIG"):
        return Path(named).expanduser()
    return _xdg(environment, "XDG_CONFIG_HOME", ".config") / "act" / "actcli.toml"


def session_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where sessions are kept."""
    return _xdg(environment, "XDG_DATA_HOME", ".local/share") / "act" / "token"


def _xdg(environment: Mapping[str, str], variable: str, default: str) -> Path:
    named = environment.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / default


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for key, value in found.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}: there is no setting '{key}' (there are: {', '.join(_KEYS)})")
        if type(value) is not _KEYS[key] or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            kind = {str: "a text in quotes", list: 'a list such as ["a", "b"]', int: "a number"}[_KEYS[key]]
            raise ConfigError(f"{path}: {key} must be {kind}")
    return found


def _checked(server: str) -> str:
    """A server that a credential may be sent to."""
    parts = urlsplit(server if "://" in server else f"https://{server}")
    try:
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"the server '{server}' is no URL such as https://act.example.org:8443")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{server}: without https everybody on the way could read your credential; use https://")
    return parts.geturl().rstrip("/")


@dataclass(frozen=True, slots=True)
class Session:
    """A token that a server takes. expires: epoch seconds, None if unknown; source: where it came from, for people."""

    token: str
    expires: float | None = None
    source: str = ""


def session(server: str, environment: Mapping[str, str] = os.environ) -> Session | None:
    """The token to go to a server with; one of another server is not shown to it. Raises ConfigError."""
    if token := environment.get("ACTCLI_TOKEN", "").strip():
        return Session(token, source="$ACTCLI_TOKEN")
    if named := environment.get("ACTCLI_TOKEN_FILE"):
        try:
            return Session(Path(named).expanduser().read_text().strip(), source=named)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"$ACTCLI_TOKEN_FILE {named} cannot be read: {error}") from error
    path = session_file(environment)
    kept = read_sessions(path).get(server)
    return Session(kept["token"], kept.get("expires"), str(path)) if kept else None


def read_sessions(path: Path) -> dict[str, dict[str, Any]]:
    """Server -> token and expiry. A file that is not there or not ours holds none. Raises ConfigError."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {s: v for s, v in found.items() if isinstance(v, dict) and isinstance(v.get("token"), str)}


def keep_session(server: str, token: str, expires: float | None, path: Path | None = None) -> Path:
    """Remember a token for a server, readable by its owner only; "" forgets it. Raises ConfigError."""
    from act.files import write_file

    path = path or session_file()
    sessions = read_sessions(path)
    sessions.pop(server, None)
    if token:
        sessions[server] = {"token": token} | ({} if expires is None else {"expires": expires})
    try:
        write_file(path, json.dumps(sessions, indent=1).encode(), mode=0o600)
    except OSError as error:
        raise ConfigError(f"the session cannot be kept in {path}: {error}") from error
    return path

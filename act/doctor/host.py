"""This host: room in the tower's directories, who may write there, and secrets in files."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

from act import keys
from act.config import CoreConfig
from act.doctor import measures
from act.doctor.check import Check, Examination, Verdict, bad, good, warning
from act.errors import CredentialError

Look = Callable[[str, Path, str], Iterator[Check]]


def examinations(config: CoreConfig, sqlite_file: Path | None) -> Iterator[Examination]:
    """One for each place: it may be on a file system that hangs. sqlite_file: the embedded database."""
    for name, path in (("state_dir", config.paths.state_dir), ("store_dir", config.paths.store_dir),
                       ("run_dir", config.paths.run_dir), ("work_dir", config.paths.work_dir)):  # fmt: skip
        yield Examination(name, _at(config, directory, name, path))
    if sqlite_file is not None:
        yield Examination("database disk", _at(config, directory, "database disk", sqlite_file.parent))
    yield Examination("key file", lambda: sealing_key(config))
    yield Examination("session key", lambda: session_key(config))
    for name, path in _secrets(config):
        yield Examination(name, _at(config, secret, name, path))


def _at(config: CoreConfig, look: Look, what: str, path: Path) -> Callable[[], Iterator[Check]]:
    """Touches no file before it is called: that may hang, or raise."""
    return lambda: look(what, path, account(config))


def directory(what: str, path: Path, expected: str) -> Iterator[Check]:
    """It is there, we may write in it, and there is room. expected: the account that it should belong to."""
    if not path.is_dir():
        yield bad(what, f"{path} is not there", "'actctl init' makes the directories of the configuration")
        return
    if not os.access(path, os.W_OK | os.X_OK):
        told = f"{path} belongs to {_owner(path)} and cannot be written by {_name(os.geteuid())}"
        yield bad(what, told, "run this as the account of the tower, or correct owner and mode")
        return
    if os.geteuid() == 0 and (owner := _owner(path)) != expected:  # root may write anywhere, which proves nothing
        told = f"{path} belongs to {owner}, the tower runs as {expected}"
        yield warning(what, told, f"see that {expected} can write there, or chown it")
    yield measures.space(what, str(path), room(path))


def room(path: Path) -> measures.Space:
    """Of the file system that holds a path; what is kept for root is not free."""
    v = os.statvfs(path)
    return measures.Space(v.f_bavail * v.f_frsize, v.f_blocks * v.f_frsize, v.f_favail, v.f_files)


def account(config: CoreConfig) -> str:
    """Whom the tower runs as: who owns its state, however is asking."""
    state = config.paths.state_dir
    return _owner(state) if state.exists() else _name(os.geteuid())


def sealing_key(config: CoreConfig) -> Iterator[Check]:
    """The key that seals proxies: there, good, and nobody else's."""
    path = config.proxies.key_file
    if not path.exists():
        todo = "bring it back from its backup; for a new tower 'actctl init' makes one"
        yield bad("key file", f"{path} is not there", todo)
        return
    seen = list(secret("key file", path, account(config)))
    yield from seen
    if any(check.verdict is Verdict.BAD for check in seen):  # it may be the right one
        return
    try:
        keys.seal(b"", path)
    except CredentialError as error:
        yield bad("key file", str(error), "bring back the right one from its backup")


def session_key(config: CoreConfig) -> Iterator[Check]:
    """The secret of the web server."""
    path = config.web.secret_file
    if not path.exists():
        yield warning("session key", f"{path} is not there", "'actctl init' makes it; 'actctl web' needs it")
        return
    yield from secret("session key", path, account(config))
    try:
        keys.load_secret(path)
    except CredentialError as error:
        yield bad("session key", str(error), "remove it, and run 'actctl init'")


def secret(what: str, path: Path, expected: str) -> Iterator[Check]:
    """A file with something that nobody else may know. expected: the account it must belong to."""
    if not path.exists():
        yield bad(what, f"{path} is not there", "put it there, or correct the configuration")
        return
    status = path.stat()
    yield measures.private(what, str(path), mode=status.st_mode, owner=_name(status.st_uid), expected=expected)


def _secrets(config: CoreConfig) -> Iterator[tuple[str, Path]]:
    """Files of the configuration that hold secrets."""
    if config.database.password_file is not None:
        yield "database password", config.database.password_file
    for proxy in config.proxies.proxy:
        source = proxy.source_key or proxy.source_cert
        if source is not None:
            yield f"key of role {proxy.role}", source
    for ce in config.ces.ce:
        if ce.token is not None and (path := ce.token.file or ce.token.client_secret_file) is not None:
            yield f"token of {ce.url}", path


def no_alarm(stopped: str | None) -> Iterator[Check]:
    """The stop switch."""
    if stopped:
        todo = "see 'Backup, restore, copies' in docs/operations.md; 'actctl db clone-identity' lets it go on"
        yield bad("submission", f"nothing is submitted: {stopped}", todo)
    else:
        yield good("submission", "not stopped")


def _owner(path: Path) -> str:
    return _name(path.stat().st_uid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

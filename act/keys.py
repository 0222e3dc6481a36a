"""Secrets of the tower in files: the key that seals proxies at rest (Fernet), so that a copy of the database alone lets
nobody act as us, and the secret that signs sessions.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from act.errors import CredentialError
from act.files import new_file

SECRET_BYTES = 32  # as many as HS256 can use


def make_key(path: Path) -> bool:
    """Make a key file (0600), unless one is there: a new key would make every stored proxy unreadable.

    Returns whether it was made. A crash leaves either no file or a whole one.
    """
    return _make(path, Fernet.generate_key())


def make_secret(path: Path) -> bool:
    """Make a file with a secret that signs (0600), unless one is there: a new one would end all sessions."""
    return _make(path, secrets.token_hex(SECRET_BYTES).encode())


def load_secret(path: Path) -> bytes:
    """The secret in a file of `make_secret`."""
    text = _read(path)
    if len(text) < 2 * SECRET_BYTES:
        raise CredentialError(f"{path} holds no secret of {SECRET_BYTES} bytes: remove it, and run 'actctl init'")
    return text


def _make(path: Path, content: bytes) -> bool:
    try:
        if path.exists():
            return False
        with new_file(path, 0o600, replace=False) as file:
            file.write(content + b"\n")
    except FileExistsError:
        return False
    except OSError as error:
        raise CredentialError(f"the key file {path} cannot be written: {error.strerror}") from error
    return True


def seal(pem: bytes, key_file: Path) -> bytes:
    """A proxy as it may be stored."""
    return _load(key_file).encrypt(pem)


def unseal(sealed: bytes, key_file: Path) -> bytes:
    """The proxy that `seal` was given."""
    try:
        return _load(key_file).decrypt(sealed)
    except InvalidToken as error:
        raise CredentialError(
            f"a stored proxy was not sealed with {key_file}: bring back the key file it was sealed with, "
            "or store the proxy anew"
        ) from error


def _load(path: Path) -> Fernet:
    try:
        return Fernet(_read(path))
    except ValueError as error:
        raise CredentialError(f"{path} is not a key file: bring back the right one from a backup") from error


def _read(path: Path) -> bytes:
    """What is in a file that must be nobody else's."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024).strip()
    except FileNotFoundError as error:
        raise CredentialError(f"there is no key file {path}: 'actctl init' makes one") from error
    except OSError as error:
        raise CredentialError(
            f"the key file {path} cannot be read ({error.strerror}): it must belong to the account that runs act"
        ) from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise CredentialError(f"the key file {path} is open to everybody: chmod 600 it")
    return text

"""Local files that appear whole or not at all, whatever happens while they are written; and those that tell processes
apart."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

PART = ".part"  # ending of the hidden files that a crash may leave behind


@contextmanager
def new_file(path: Path, mode: int = 0o640, *, replace: bool = True, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file that gets its name, with all its bytes on disk, when the block ends without an exception.

    Missing directories are made. replace=False: FileExistsError if the name is taken. durable=False: nobody waits for
    the disk, and if the machine dies the file may be gone or empty. Raises OSError.
    """
    _make_directory(path.parent)
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}{PART}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if replace:
            part.replace(path)
        else:
            path.hardlink_to(part)
        if durable:
            _sync_directory(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def is_plain(name: str) -> bool:
    """Whether a name without directories leads nowhere else and can be shown to people."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..")


def write_file(path: Path, data: bytes, mode: int = 0o640, *, durable: bool = True) -> None:
    """Replace a file by one with these bytes, in one step; durable: see `new_file`. Raises OSError."""
    with new_file(path, mode, durable=durable) as file:
        file.write(data)


def take_number(path: Path) -> int:
    """The lowest number, from 1, that no other living process took by this path on this host; ours until we end.

    A file ``<path>.<number>.lock`` stands for each. Raises OSError.
    """
    _make_directory(path.parent)
    for number in count(1):
        descriptor = os.open(path.with_name(f"{path.name}.{number}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return number  # the descriptor stays open, so the kernel keeps the lock for us
    raise AssertionError("unreachable")


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(mode=0o750, exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Local files that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PART = ".part"  # ending of the hidden files that a crash may leave behind


@contextmanager
def new_file(path: Path, mode: int = 0o640, *, replace: bool = True) -> Iterator[BinaryIO]:
    """A binary file that gets its name, with all its bytes on disk, when the block ends without an exception.

    Missing directories are made. replace=False: FileExistsError if the name is taken. Raises OSError.
    """
    _make_directory(path.parent)
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}{PART}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            part.replace(path)
        else:
            path.hardlink_to(part)
        _sync_directory(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def is_plain(name: str) -> bool:
    """Whether a name without directories leads nowhere else and can be shown to people."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..")


def write_file(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Replace a file by one with these bytes, in one step. Raises OSError."""
    with new_file(path, mode) as file:
        file.write(data)


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

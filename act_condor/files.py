"""The files that HTCondor reads and writes for jobs: a directory for each submission, and the proxies they act with.

Directories belong to whom the jobs run as, so what is in them is what jobs made of it: nothing there is trusted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from act.errors import CEUnreachable, JobGone, OutputMissing
from act.files import new_file

_SWEEP_S, _OLD_S = 3600.0, 86400.0  # no submission is in doubt for so long, unless its CE is silent
_PASSABLE = 0o711  # owners of jobs find their own directories there, and no others
_ID = re.compile(r"[0-9a-f]{16}")
_PLAIN = re.compile(r"(?!\.{1,2}$)[^/\0]{1,255}")


class Directories:
    """Directories of one CE's submissions, found by their tokens. owner: uid of whom they belong to, None for us."""

    def __init__(self, work_dir: Path, ce_id: int, owner: int | None) -> None:
        self._root, self._owner = work_dir / "condor" / str(ce_id), owner
        self._sweep_due = 0.0

    def of(self, token: str) -> Path:
        """Where the submission's files are."""
        return self._root / token.rpartition(".")[2][:2] / token

    def make(self, token: str, files: Mapping[str, bytes]) -> Path:
        """Make the directory with these files in it."""
        path = self.ensure(token)
        with _told():
            for name, content in files.items():
                _write(path / name, content, self._owner)
            if self._owner is not None:
                os.chown(path, self._owner, -1)
        return path

    def ensure(self, token: str) -> Path:
        """The directory, empty if it was not there."""
        path = self.of(token)
        with _told():
            _make_passable(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
        return path

    def fetch(self, token: str, name: str, out: BinaryIO) -> int:
        """Write a file to out; its size. Raises OutputMissing if it is none, or leads elsewhere."""
        try:
            with self._opened(token, name) as source:
                shutil.copyfileobj(source, out)
                return source.tell()
        except OSError as e:
            raise OutputMissing(f"no file {name}: {e.strerror}") from e

    @contextmanager
    def _opened(self, token: str, name: str) -> Iterator[BinaryIO]:
        if not _PLAIN.fullmatch(name):
            raise OutputMissing(f"no file {name!r}: HTCondor brings files without directories")
        directory = os.open(self.of(token), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OutputMissing(f"no file {name}: it is something else")
            yield file

    def remove(self, token: str) -> None:
        """Remove the directory, if it is there; what cannot be removed is in nobody's way."""
        shutil.rmtree(self.of(token), ignore_errors=True)

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove old directories but those of these tokens, all that the schedd has: what crashes and lost answers have
        left behind. Looks at most once an hour."""
        if time.monotonic() < self._sweep_due:
            return
        self._sweep_due = time.monotonic() + _SWEEP_S
        old = time.time() - _OLD_S
        for path in self._root.glob("??/act.*"):
            with suppress(FileNotFoundError):
                if path.name not in wanted and path.lstat().st_mtime < old:
                    shutil.rmtree(path, ignore_errors=True)


class Proxies:
    """The proxies that jobs of one lane act with, one file for each delegation."""

    def __init__(self, work_dir: Path, lane: str, owner: int | None) -> None:
        self._directory, self._owner = work_dir / "condor" / "proxies" / lane, owner

    def path(self, delegation: str) -> Path:
        """The file of a delegation. Raises JobGone for what cannot be one."""
        if not _ID.fullmatch(delegation):
            raise JobGone(f"there is no delegation {delegation!r}")
        return self._directory / f"{delegation}.pem"

    def make(self, pem: bytes) -> str:
        """A new one; its id."""
        delegation = secrets.token_hex(8)
        with _told():
            _make_passable(self._directory)
        self._write(self.path(delegation), pem)
        return delegation

    def replace(self, delegation: str, pem: bytes) -> Path:
        """Give it another proxy. Raises JobGone if it is not there."""
        path = self.path(delegation)
        if not path.exists():
            raise JobGone(f"the proxy of delegation {delegation} is not there any more")
        self._write(path, pem)
        return path

    def ensure(self, delegation: str, pem: bytes) -> Path:
        """The file, with this proxy in it; another host may have made the delegation."""
        path = self.path(delegation)
        with _told():
            if not path.exists() or path.read_bytes() != pem:
                _make_passable(self._directory)
                self._write(path, pem)
        return path

    def all(self) -> frozenset[str]:
        """Their ids."""
        return frozenset(path.stem for path in self._directory.glob("*.pem") if _ID.fullmatch(path.stem))

    def remove(self, delegation: str) -> None:
        """Remove it, if it is there."""
        with suppress(JobGone):
            self.path(delegation).unlink(missing_ok=True)

    def _write(self, path: Path, pem: bytes) -> None:
        with _told(), new_file(path, 0o600) as file:
            file.write(pem)
            if self._owner is not None:
                os.fchown(file.fileno(), self._owner, -1)


@contextmanager
def _told() -> Iterator[None]:
    """A disk that is full or not ours is trouble of the CE before it is asked for anything."""
    try:
        yield
    except OSError as e:
        raise CEUnreachable(f"the files of jobs cannot be written below paths/work_dir: {e}", sent=False) from e


def _write(path: Path, content: bytes, owner: int | None) -> None:
    """Without fsync: what a crash of the machine takes is made anew with the next submission."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700), "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), owner, -1)


def _make_passable(path: Path) -> None:
    """Make a directory and those above it that are not there."""
    if path.is_dir():
        return
    _make_passable(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(_PASSABLE)

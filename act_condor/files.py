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

from act.errors import BadJobSpec, CEUnreachable, JobGone, OutputMissing, StorageUnavailable
from act.files import is_plain, new_file

_SWEEP_S, _OLD_S = 3600.0, 86400.0  # no submission is in doubt for so long, unless its CE is silent
_PASSABLE = 0o711  # owners of jobs find their own directories there, and no others
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_ID = re.compile(r"[0-9a-f]{16}")
MOST_FILES, DEEPEST = 10_000, 50
_CHUNK = 256 * 1024


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
                with _new(path / name, self._owner) as file:
                    file.write(content)
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

    def bring(self, token: str, name: str, source: BinaryIO, size: int, end: float) -> None:
        """Copy a file of the store into the directory, before ``end`` (monotonic). Raises BadJobSpec if it has not that
        size, StorageUnavailable if it cannot be read in time."""
        with _told(), _new(self.of(token) / name, self._owner) as file:
            while chunk := _read(source, name, end):
                file.write(chunk)
            if file.tell() != size:
                raise BadJobSpec(f"input file {name!r} in the store has not the {size} bytes the job was made with")

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
        *folders, last = name.split("/")
        if not all(is_plain(part) for part in (*folders, last)):
            raise OutputMissing(f"no file {name!r}: not a name in the job's directory")
        directory = os.open(self.of(token), _DIRECTORY)
        try:
            for folder in folders:
                above, directory = directory, os.open(folder, _DIRECTORY, dir_fd=directory)
                os.close(above)
            fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)
        with os.fdopen(fd, "rb") as file:
            if not _is_file(os.fstat(fd)):
                raise OutputMissing(f"no file {name}: it is something else")
            yield file

    def files(self, token: str, folder: str, without: Collection[str]) -> list[str]:
        """The names of the files in a folder of the directory and below, sorted; ``without`` some of the directory's
        own. No links, and no names that do not print. Raises OutputMissing for more than anybody wants."""
        parts = [part for part in folder.split("/") if part]
        if not all(is_plain(part) for part in parts):
            return []
        root = self.of(token)
        names: list[str] = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path, folders, files, here in os.fwalk(root.joinpath(*parts)):
                relative = Path(path).relative_to(root)
                folders[:] = [name for name in folders if is_plain(name)]
                names += [str(relative / name) for name in files if is_plain(name) and _is_file(_status(name, here))]
                if len(names) > MOST_FILES or len(relative.parts) > DEEPEST:
                    raise OutputMissing(f"no list of {folder or '/'}: more than {MOST_FILES} files or {DEEPEST} levels")
        return sorted(name for name in names if name not in without)

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


@contextmanager
def _new(path: Path, owner: int | None) -> Iterator[BinaryIO]:
    """Without fsync: what a crash of the machine takes is made anew with the next submission."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700), "wb") as file:
        yield file
        if owner is not None:
            os.fchown(file.fileno(), owner, -1)


def _read(source: BinaryIO, name: str, end: float) -> bytes:
    try:
        chunk = source.read(_CHUNK)
    except OSError as e:
        raise StorageUnavailable(f"input file {name!r} cannot be read from the store: {e}") from e
    if time.monotonic() > end:
        raise StorageUnavailable(f"input file {name!r} was not copied from the store in time (timeouts/transfer_s)")
    return chunk


def _status(name: str, directory: int) -> os.stat_result | None:
    with suppress(OSError):
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    return None


def _is_file(status: os.stat_result | None) -> bool:
    """A plain file that has no other name, elsewhere."""
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _make_passable(path: Path) -> None:
    """Make a directory and those above it that are not there."""
    if path.is_dir():
        return
    _make_passable(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(_PASSABLE)

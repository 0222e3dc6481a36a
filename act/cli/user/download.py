"""Result files of many jobs to this computer: in parallel, going on where a broken transfer ended, digests checked.

What the server calls the files is not trusted: nothing is written outside a job's own directory, and no link is
followed there. A file has its name only when all its bytes are there and right; until then it is ``.<name>.actpart``.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from act.cli.user.api import Api
from act.cli.user.crew import Crew
from act.cli.user.errors import Refused, Unreachable
from act.cli.user.progress import Bar

PARTIAL = ".actpart"
TRIES = 6  # without a byte between them
LONGEST_NAME = 255 - len("..") - len(PARTIAL)  # of one part of a path, in bytes
PIECE = 1 << 20


@dataclass(slots=True)
class Wanted:
    """A job whose results are wanted. folder: where they go; files and bytes: of what is there now.

    error: why not all is there; complete: whether all is.
    """

    job_id: int
    folder: Path
    complete: bool = False
    files: int = 0
    bytes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A file of a job, as the server tells of it."""

    name: str
    size: int
    sha256: str


def safe_path(folder: Path, name: str) -> Path:
    """Where a file of this name goes. Raises Refused for a name that leads elsewhere or does harm in a listing."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or part.endswith(PARTIAL) for part in parts):
        raise Refused(f"the server names a result {name!a}: not written, as it could leave the directory {folder}")
    if not name.isprintable() or any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise Refused(f"the server names a result {name!a}: not written, as it is no sensible file name")
    return folder.joinpath(*parts)


class Download:
    """Fetches the results of jobs; ``jobs`` tells what became of each."""

    def __init__(self, api: Api, jobs: Sequence[Wanted], bar: Bar, connections: int,
                 done: Callable[[Wanted], None]) -> None:  # fmt: skip
        """done: called for each job when all of it is there."""
        self._api, self._jobs, self._bar, self._done = api, jobs, bar, done
        self._connections = connections
        self._crew = Crew(self._job)

    def run(self) -> None:
        """Until all is here or has failed for good."""
        self._crew.run(self._connections, self._jobs)

    def _job(self, wanted: Wanted) -> None:
        try:
            told = self._api.results(wanted.job_id)
        except Refused as error:
            wanted.error = str(error)
        else:
            self._all_of(wanted, [Result(f["name"], int(f["size"]), str(f["sha256"])) for f in told])
        self._bar.advance(jobs=1)

    def _all_of(self, wanted: Wanted, files: Sequence[Result]) -> None:
        marker = _marker(wanted.folder, wanted.job_id)
        try:
            _check_names(wanted.folder, files)
            wanted.folder.mkdir(parents=True, exist_ok=True)
            marker.touch()
            for file in files:
                self._file(wanted, file)
            marker.unlink()
        except (Refused, Unreachable) as error:
            wanted.error = str(error)
        except OSError as error:
            wanted.error = f"{error.filename or wanted.folder}: {error.strerror or error}"
        else:
            wanted.complete = True
            self._done(wanted)

    def _file(self, wanted: Wanted, file: Result) -> None:
        target = safe_path(wanted.folder, file.name)
        _make_folders(wanted.folder, target.parent)
        if not _is_there(target, file):
            self._fetch(wanted.job_id, file, target.with_name(f".{target.name}{PARTIAL}"), target)
        wanted.files += 1
        wanted.bytes += file.size

    def _fetch(self, job_id: int, file: Result, part: Path, target: Path) -> None:
        """Get all bytes, in as many transfers as it takes. Raises Refused for a digest that is wrong twice."""
        idle = wrong = 0
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+b") as out:
            while True:
                before = out.seek(0, os.SEEK_END)
                try:
                    self._transfer(job_id, file, out)
                except Unreachable:
                    idle = idle + 1 if out.seek(0, os.SEEK_END) <= before else 0
                    if idle == TRIES:
                        raise
                    time.sleep(min(8.0, 0.2 * 2**idle) if idle else 0)
                    continue
                if _digest(out) == file.sha256:
                    break
                wrong += 1
                out.truncate(0)
                if wrong == 2:
                    part.unlink()
                    raise Refused(f"{file.name} has not the digest that the server says: not kept, ask for it again")
            os.fsync(out.fileno())
        part.replace(target)

    def _transfer(self, job_id: int, file: Result, out: BinaryIO) -> None:
        """One transfer of what is missing."""
        have = out.seek(0, os.SEEK_END)
        if have == file.size and have:
            return
        if have > file.size:
            out.truncate(0)
            have = 0
        with self._api.result(job_id, file.name, file.size - have, file.sha256, have) as piece:
            out.seek(piece.start)
            out.truncate()
            for data in piece.data:
                self._crew.check()
                if out.tell() + len(data) > file.size:
                    raise Refused(f"{file.name} is larger than the {file.size} bytes that the server told")
                out.write(data)
                self._bar.advance(n_bytes=len(data))
        if out.tell() < file.size:
            raise Unreachable(f"the transfer of {file.name} ended early")


def _check_names(folder: Path, files: Sequence[Result]) -> None:
    """All must be safe; two files cannot have one name, nor can a file be another one's directory."""
    for file in files:
        safe_path(folder, file.name)
    names = {file.name for file in files}
    if len(names) < len(files):
        raise Refused("the server names two results alike: nothing written")
    for name in names:
        parts = name.split("/")
        if clash := names.intersection("/".join(parts[:n]) for n in range(1, len(parts))):
            raise Refused(f"the server names results {clash.pop()!a} and {name!a}: not both can be written")


def _make_folders(top: Path, folder: Path) -> None:
    """The directories between, none of which may be a link that leads elsewhere."""
    path = top
    for part in folder.relative_to(top).parts:
        path /= part
        path.mkdir(exist_ok=True)
        if path.is_symlink():
            raise Refused(f"{path} is a link: not followed; remove it or choose another directory with -d")


def _is_there(target: Path, file: Result) -> bool:
    """Whether the file was fetched before. Raises Refused if something else is in its place."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISREG(found.st_mode) and found.st_size == file.size:
        with target.open("rb") as there:
            if _digest(there) == file.sha256:
                return True
    raise Refused(f"{target} is there already, with other content: move it away or choose another directory with -d")


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _marker(folder: Path, job_id: int) -> Path:
    """Says that the results of this job are on their way into the directory."""
    return folder / f".job{job_id}{PARTIAL}"


class Folders:
    """Directories for jobs below ``top``: by id, or by name where asked for, numbered where names repeat."""

    def __init__(self, top: Path, by_name: bool) -> None:
        self._top, self._by_name = top, by_name
        self._taken: set[str] = set()

    def of(self, job_id: int, name: str) -> Path:
        """The directory of a job; again the same one if not all came last time."""
        if not self._by_name:
            return self._top / str(job_id)
        plain = "".join(c if c.isalnum() or c in "-_.+=@" else "_" for c in name).strip(".")[:150] or str(job_id)
        choice, number = plain, 0
        while not self._free(choice, job_id):
            number += 1
            choice = f"{plain}_{number}"
        self._taken.add(choice)
        return self._top / choice

    def _free(self, choice: str, job_id: int) -> bool:
        folder = self._top / choice
        return choice not in self._taken and (not folder.exists() or _marker(folder, job_id).exists())

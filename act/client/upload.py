"""One file on its way into the store: it counts, and belongs to its job, only when all of it is there."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from sqlalchemy import Connection

from act.client import build, db
from act.client.identity import Caller
from act.client.model import JobNotFound, QuotaExceeded, StoredFile, TooLarge, WrongState
from act.client.states import CLIENTJOB
from act.config import Users
from act.db.engine import AnyRow, Database
from act.errors import BadJobSpec, JobError
from act.storage import Store

MB = 1_000_000
_CHUNK = 1 << 20
_FULL = "clean jobs that you are done with"


def input_folder(job_id: int) -> str:
    """Where the store keeps all that was uploaded for a job: a thousand jobs per parent."""
    return f"inputs/{job_id // 1000}/{job_id}"


def input_name(job_id: int, stored: str) -> str:
    """The name in the store of an uploaded file; users' own names are only in the database."""
    return f"{input_folder(job_id)}/{stored}"


@dataclass(frozen=True, slots=True)
class Upload:
    """Takes files of one caller."""

    users: Users
    database: Database
    store: Store
    caller: Caller

    def take(self, job_id: int, name: str, body: BinaryIO, sha256: str) -> StoredFile:
        """See `act.client.jobs.Jobs.upload`."""
        build.check_file_name(name)
        room, full = self.database.read("room", lambda c: self._room(c, job_id, name))
        stored = secrets.token_hex(16)
        place = input_name(job_id, stored)
        size, digest = self._write(place, body, room, full, sha256.lower())
        file = StoredFile(name, size, digest)
        try:
            old = self.database.run("upload", lambda c: self._note(c, job_id, file, stored))
        except JobError:
            self.store.remove(place)
            raise
        if old is not None:
            self.store.remove(input_name(job_id, old.stored))
        return file

    def _room(self, connection: Connection, job_id: int, name: str) -> tuple[int, JobError]:
        """How many bytes the file may have, and what to say to more. Raises JobError."""
        rows = db.rows_of(connection, self.caller.user_id, [job_id])
        self._check(rows.get(job_id), job_id)
        old = db.file_named(connection, job_id, name)
        _, _, used = db.usage(connection, self.caller.user_id)
        most_mb = self.users.quota_of(self.caller.groups).max_mb
        left = most_mb * MB - used + (old.size if old is not None else 0)
        if left < self.users.max_file_mb * MB:
            return left, QuotaExceeded(f"with {name} you would have more than {most_mb} MB in the tower: {_FULL}")
        most = self.users.max_file_mb
        return most * MB, TooLarge(f"{name} is larger than {most} MB: put it on a storage, and give its URL")

    def _check(self, row: AnyRow | None, job_id: int) -> AnyRow:
        if row is None or row.state == "toclean":
            raise JobNotFound(f"there is no job {job_id}")
        if row.state != CLIENTJOB.initial:
            raise WrongState(f"job {job_id} has been submitted already: its files cannot be changed any more")
        return row

    def _write(self, place: str, body: BinaryIO, room: int, full: JobError, sha256: str) -> tuple[int, str]:
        """(size, digest) of what has come; nothing is left of it if it is too much, or not what was announced."""
        digest, size = hashlib.sha256(), 0
        with self.store.write(place) as out:
            for part in iter(partial(_read, body), b""):
                size += len(part)
                if size > room:
                    raise full
                digest.update(part)
                out.write(part)
            found = digest.hexdigest()
            if sha256 and sha256 != found:
                raise BadJobSpec(f"the file came damaged, with the SHA-256 digest {found}: send it again")
        return size, found

    def _note(self, connection: Connection, job_id: int, file: StoredFile, stored: str) -> AnyRow | None:
        """Write the file down under the quota; returns the one that it replaces. Raises JobError."""
        held = db.lock(connection, self.caller.user_id, [job_id])
        job = self._check(held[0] if held else None, job_id)
        old = db.file_named(connection, job_id, file.name)
        quota, used = self.users.quota_of(self.caller.groups), db.lock_usage(connection, job.user_id)
        if old is None and db.stored_of(connection, job_id) >= self.users.max_inputs:
            raise QuotaExceeded(f"job {job_id} has {self.users.max_inputs} files, the most that it may have")
        if old is None and used.files >= quota.max_files:
            raise QuotaExceeded(f"you have {used.files} files in the tower, the most that you may have: {_FULL}")
        if used.bytes + file.size - (old.size if old is not None else 0) > quota.max_mb * MB:
            raise QuotaExceeded(f"with {file.name} you would have more than {quota.max_mb} MB in the tower: {_FULL}")
        db.replace_file(
            connection, job, old, name=file.name, stored=stored, size=file.size, sha256=file.sha256
        )  # fmt: skip
        return old


def _read(body: BinaryIO) -> bytes:
    """The next bytes. What goes wrong there is no fault of the store's."""
    try:
        return body.read(_CHUNK)
    except OSError as error:
        raise BadJobSpec(f"the file did not come whole: {error}; send it again") from error

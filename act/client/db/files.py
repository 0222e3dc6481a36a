"""SQL on uploaded files, and on how much every user has in the tower."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from act.client.tables import APP, clientfiles, clientjobs, clientusage
from act.db.engine import AnyRow, chunks, now
from act.db.schema import cejobs, watches


def lock_usage(connection: Connection, user_id: int) -> AnyRow:
    """What a user has (jobs, files, bytes); nobody else changes it before the transaction ends."""
    query = select(clientusage).where(clientusage.c.user_id == user_id)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        connection.execute(insert(clientusage).values(user_id=user_id))
        row = connection.execute(query).one()
    return row


def usage(connection: Connection, user_id: int) -> tuple[int, int, int]:
    """(jobs, files, bytes) of a user."""
    row = connection.execute(select(clientusage).where(clientusage.c.user_id == user_id)).first()
    return (row.jobs, row.files, row.bytes) if row is not None else (0, 0, 0)


def count(connection: Connection, user_id: int, *, jobs: int = 0, files: int = 0, size: int = 0) -> None:
    """A user has so many more jobs, files and bytes, or fewer."""
    if not (jobs or files or size):
        return
    c = clientusage.c
    connection.execute(
        update(clientusage)
        .where(c.user_id == user_id)
        .values(jobs=c.jobs + jobs, files=c.files + files, bytes=c.bytes + size)
    )


def files_of(connection: Connection, job_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """Uploaded files by job, by name."""
    found: dict[int, list[AnyRow]] = {}
    for part in chunks(list(job_ids)):
        query = select(clientfiles).where(clientfiles.c.clientjob_id.in_(part))
        for row in connection.execute(query.order_by(clientfiles.c.clientjob_id, clientfiles.c.name)):
            found.setdefault(row.clientjob_id, []).append(row)
    return found


def file_named(connection: Connection, job_id: int, name: str) -> AnyRow | None:
    """One uploaded file."""
    return connection.execute(
        select(clientfiles).where(clientfiles.c.clientjob_id == job_id, clientfiles.c.name == name)
    ).first()


def replace_file(
    connection: Connection, job: AnyRow, old: AnyRow | None, *, name: str, stored: str, size: int, sha256: str
) -> None:
    """A job, whose row is held, has this file now, in the place of ``old``; it counts as one of its owner's."""
    if old is not None:
        connection.execute(delete(clientfiles).where(clientfiles.c.clientjob_id == job.id, clientfiles.c.name == name))
    connection.execute(
        insert(clientfiles).values(clientjob_id=job.id, name=name, stored=stored, size=size, sha256=sha256)
    )
    files, more = (0, size - old.size) if old is not None else (1, size)
    c = clientjobs.c
    connection.execute(
        update(clientjobs)
        .where(c.id == job.id)
        # who has read the files of before must not act on them: the version says so
        .values(files=c.files + files, bytes=c.bytes + more, version=c.version + 1, modified=now())
    )
    count(connection, job.user_id, files=files, size=more)


def stored_of(connection: Connection, job_id: int) -> int:
    """How many files were uploaded for a job."""
    rows = connection.execute(select(clientfiles.c.name).where(clientfiles.c.clientjob_id == job_id))
    return len(rows.all())


def watching(connection: Connection, user_id: int) -> int:
    """How many files of running jobs the user looks at."""
    query = (
        select(func.count())
        .select_from(watches)
        .join(cejobs, cejobs.c.id == watches.c.cejob_id)
        .join(clientjobs, (clientjobs.c.id == cejobs.c.appjob_id) & (cejobs.c.app == APP))
        .where(clientjobs.c.user_id == user_id, watches.c.until > now())
    )
    return int(connection.execute(query).scalar_one())

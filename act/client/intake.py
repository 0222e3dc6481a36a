"""How jobs come in: a submission is begun, files are uploaded, and it is confirmed. Each step may be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from sqlalchemy import Connection

from act.client import build, ces, db
from act.client.build import Uploaded
from act.client.db.jobs import Complete, NewRow
from act.client.identity import Caller, Forbidden
from act.client.model import Begun, Confirmed, JobNotFound, NewJob, QuotaExceeded, StoredFile, Submitted, WrongState
from act.client.states import CLIENTJOB, Event
from act.client.tables import share_of
from act.client.upload import Upload, input_name
from act.config import CoreConfig, UserCE
from act.db import orders, specs
from act.db.engine import AnyRow, Database, chunks
from act.db.moves import Move
from act.db.orders import Kind
from act.errors import BadJobSpec, JobError
from act.explain.ordered import until
from act.storage import Store

USER = "user"  # who makes the moves here
SENT = "tosubmit"  # what a job shows as that has no attempt yet
_BEGUN = CLIENTJOB.initial
_BATCH = 200
_TRIES = 5  # of a confirmation, while files keep coming for its jobs
_TO_COME = Uploaded("inputs/to-come", 1)


_Text = tuple[str, str]  # description and language


class Intake:
    """What callers do until their jobs are the tower's."""

    def __init__(self, config: CoreConfig, database: Database, store: Store) -> None:
        self._config, self._db, self._store = config, database, store

    def begin(self, caller: Caller, wanted: Sequence[Sequence[str]], *, key: str = "") -> list[Begun | JobError]:
        """Begin jobs, each for CEs by name or location, or for all that the caller may use; answers in order.

        key: with the same one the same jobs are given again. Raises Forbidden for a caller without a credential,
        or from whom operators take none for now.
        """
        new: list[NewRow | JobError] = []
        for index, names in enumerate(wanted):
            try:
                new.append(NewRow([ce.name for ce in ces.chosen(self._allowed(caller), names)], index=index))
            except BadJobSpec as error:
                new.append(error)
        return [a if isinstance(a, JobError) else Begun(a.id) for a in self._begin(caller, new, key)]

    def submit(self, caller: Caller, items: Sequence[NewJob], *, key: str = "") -> list[Submitted | JobError]:
        """Begin jobs with their descriptions, and confirm those at once for which nothing is to be uploaded.

        See `begin`; what is wrong with a description is said before anything is uploaded for it.
        """
        new: list[NewRow | JobError] = []
        for index, item in enumerate(items):
            try:
                new.append(self._described(caller, item, index))
            except JobError as error:
                new.append(error)
        begun = self._begin(caller, new, key)
        ready = [a.id for a, i in zip(begun, items, strict=True) if not isinstance(a, JobError) and not i.inputs]
        confirmed = dict(zip(ready, self.confirm_ids(caller, ready), strict=True))
        answers: list[Submitted | JobError] = []
        for answer in begun:
            if isinstance(answer, JobError):
                answers.append(answer)
                continue
            done = confirmed.get(answer.id)
            if isinstance(done, Confirmed):
                answers.append(Submitted(done.id, done.state, done.name))
            else:
                answers.append(done or Submitted(answer.id, answer.shown or _BEGUN, answer.jobname))
        return answers

    def upload(self, caller: Caller, job_id: int, name: str, body: BinaryIO, *, sha256: str = "") -> StoredFile:
        """Store a file for a job whose submission is under way; one of the same name before is replaced.

        sha256: of the bytes, hexadecimal, "" if it is not known. Raises JobNotFound, WrongState, BadJobSpec for a bad
        name or digest, QuotaExceeded (TooLarge), StorageUnavailable.
        """
        return Upload(self._config.users, self._db, self._store, caller).take(job_id, name, body, sha256)

    def confirm(self, caller: Caller, wanted: Sequence[tuple[int, str, str]]) -> list[Confirmed | JobError]:
        """Confirm jobs, given as (id, description, language): from now on they are the tower's. Answers in order.

        A job that is confirmed already gives the same answer to the same text, and an error to another one.
        """
        texts = {i: (description, language) for i, description, language in wanted}
        answers = self._confirm(caller, texts)
        return [answers[i] for i, _, _ in wanted]

    def confirm_ids(self, caller: Caller, ids: Sequence[int]) -> list[Confirmed | JobError]:
        """`confirm` for jobs that were submitted with their descriptions."""
        answers = self._confirm(caller, dict.fromkeys(ids))
        return [answers[i] for i in ids]

    # -- beginning -------------------------------------------------------------------------------------------------

    def _allowed(self, caller: Caller) -> tuple[UserCE, ...]:
        return self._config.users.ces_of(caller.groups)

    def _described(self, caller: Caller, item: NewJob, index: int) -> NewRow:
        """Raises JobError for what could not be confirmed even with all files there."""
        places = ces.chosen(self._allowed(caller), item.ces)
        described = build.describe(item.description, item.language, self._config.users)
        for name in item.inputs:
            build.check_file_name(name)
        if len(item.inputs) > self._config.users.max_inputs:
            raise QuotaExceeded(f"the job has {len(item.inputs)} files, of at most {self._config.users.max_inputs}")
        build.build(described, places, dict.fromkeys(item.inputs, _TO_COME))
        name = described.spec.name[: build.LONGEST_JOB_NAME]
        return NewRow([ce.name for ce in places], name, item.language, item.description, index)

    def _begin(self, caller: Caller, new: Sequence[NewRow | JobError], key: str) -> list[AnyRow | JobError]:
        """Insert those that are not here already, and that the caller may have; rows and errors in order."""
        if caller.proxy_id is None:
            raise Forbidden("your jobs would have no credential to act with: hand a proxy over first")
        proxy_id = caller.proxy_id
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() if key else None
        most = self._config.users.quota_of(caller.groups).max_jobs

        def work(c: Connection) -> dict[int, AnyRow]:
            room = most - db.lock_usage(c, caller.user_id).jobs
            known = db.batch(c, caller.user_id, digest) if digest else {}
            fresh = [(n, row) for n, row in enumerate(new) if isinstance(row, NewRow) and n not in known]
            if fresh:
                _check_wanted(c, caller.user_id)
            fresh = fresh[: max(room, 0)]
            ids = db.add(c, caller.user_id, proxy_id, [row for _, row in fresh], key=digest, who=USER)
            db.count(c, caller.user_id, jobs=len(ids))
            rows = db.rows_of(c, caller.user_id, ids)
            return known | {n: rows[i] for (n, _), i in zip(fresh, ids, strict=True)}

        rows = self._db.run("begin", work)
        full = QuotaExceeded(f"you may have {most} jobs in the tower at a time: clean those that you are done with")
        return [
            row if isinstance(row, JobError) else _same(row, rows[n]) if n in rows else full
            for n, row in enumerate(new)
        ]

    # -- confirming ------------------------------------------------------------------------------------------------

    def _confirm(self, caller: Caller, texts: Mapping[int, _Text | None]) -> dict[int, Confirmed | JobError]:
        answers: dict[int, Confirmed | JobError] = {}
        for _ in range(_TRIES):
            left = [i for i in texts if i not in answers]
            for part in chunks(left, _BATCH):
                answers |= self._confirm_some(caller, {i: texts[i] for i in part})
        changing = WrongState("files of the job keep changing: confirm it when all of them are there")
        return dict.fromkeys(texts, changing) | answers

    def _confirm_some(self, caller: Caller, texts: Mapping[int, _Text | None]) -> dict[int, Confirmed | JobError]:
        """Without those that somebody changed meanwhile: they have to be looked at again."""
        rows, files = self._db.read(
            "unconfirmed",
            lambda c: (rows := db.rows_of(c, caller.user_id, list(texts), whole=True), db.files_of(c, list(rows))),
        )
        answers: dict[int, Confirmed | JobError] = {}
        ready: list[Complete] = []
        for i, text in texts.items():
            try:
                row = rows.get(i)
                if row is None or row.state == "toclean":
                    raise JobNotFound(f"there is no job {i}")
                if row.state != _BEGUN:
                    answers[i] = _again(row, text)
                else:
                    ready.append(self._complete(caller, row, text, files.get(i, ())))
            except JobError as error:
                answers[i] = error
        moved = self._db.run("confirm", lambda c: self._write(c, caller, ready, rows)) if ready else {}
        return answers | {job.id: Confirmed(job.id, SENT, job.jobname) for job in ready if job.id in moved}

    def _complete(self, caller: Caller, row: AnyRow, text: _Text | None, files: Sequence[AnyRow]) -> Complete:
        """Raises JobError."""
        description, language = text or (row.description, row.language)
        if description is None:
            raise WrongState(f"job {row.id} was begun without a description: give one to confirm it")
        allowed = {ce.name: ce for ce in self._allowed(caller)}
        places = [allowed[name] for name in row.ces if name in allowed]
        if not places:
            raise BadJobSpec(f"you may not use {', '.join(row.ces)} any more: {ces.told(tuple(allowed.values()))}")
        there = {f.name: Uploaded(input_name(row.id, f.stored), f.size) for f in files}
        built = build.build(build.describe(description, language, self._config.users), places, there)
        spec = built.spec
        return Complete(
            id=row.id, ces=[ce.name for ce in built.places], flavour=built.places[0].flavour, jobname=spec.name,
            language=language, description=description, spec=specs.dump(spec), stdout=spec.stdout,
            stderr=spec.stderr or "",
        )  # fmt: skip

    def _write(
        self, connection: Connection, caller: Caller, ready: Sequence[Complete], read: Mapping[int, AnyRow]
    ) -> dict[int, str]:
        """Only jobs that are as they were read, files included: these raise the version."""
        held = {r.id: r for r in db.lock(connection, caller.user_id, [job.id for job in ready])}
        same = [j for j in ready if j.id in held and held[j.id].version == read[j.id].version]
        db.complete(connection, same)
        moves = [Move(j.id, _BEGUN, Event.CONFIRM, "", {"shown": SENT}, read[j.id].version) for j in same]
        return db.move(connection, moves, who=USER)


def _check_wanted(connection: Connection, user_id: int) -> None:
    """Raises Forbidden if operators take no new jobs from a user."""
    order = orders.standing(connection).unwanted(Kind.SHARE, share_of(user_id))
    if order is not None:
        raise Forbidden(f"the tower takes no new jobs from you for now{until(order.until)}: {order.why}")


def _same(wanted: NewRow, row: AnyRow) -> AnyRow | JobError:
    """The job of a submission that was made before under the same key, if it is the same job."""
    if wanted.description is not None and "description" in row._fields and row.description != wanted.description:
        return WrongState(f"job {row.id} was submitted with this key and another description: use a new key")
    return row


def _again(row: AnyRow, text: _Text | None) -> Confirmed:
    """A confirmed job is confirmed again. Raises WrongState."""
    if text is not None and text != (row.description, row.language):
        raise WrongState(f"job {row.id} has been submitted already, with another description")
    return Confirmed(row.id, row.shown, row.jobname)

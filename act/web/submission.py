"""Jobs that come with their files: made, filled and confirmed in one request, or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from flask import request

from act.client.identity import Caller
from act.client.jobs import Jobs
from act.client.model import Confirmed, Filter, NewJob, Submitted
from act.config import CoreConfig
from act.errors import BadJobSpec, JobError
from act.web import models, render
from act.web.bodies import PIECE, Body
from act.web.errors import BadRequest
from act.web.multipart import Part, parts
from act.web.routes import MULTIPART, body, checked

CREDENTIAL_BYTES = 256 << 10
JOBS_BYTES = 16 << 20  # of the JSON that describes jobs
ALL = "*"
Answer = Submitted | Confirmed | JobError


class Submission:
    """Takes in requests for new jobs."""

    def __init__(self, config: CoreConfig, jobs: Jobs) -> None:
        self._config, self._jobs = config, jobs

    def submit(self, caller: Caller) -> dict[str, Any]:
        """The current request, with or without files. Raises ActError; what concerns one job only is in the answer."""
        if request.mimetype == MULTIPART:
            return render.submission(self._with_files(caller))
        new = body(models.NewJobs, JOBS_BYTES)
        return render.submission(self._jobs.submit(caller, _items(new), key=new.key))

    def _with_files(self, caller: Caller) -> list[Answer]:
        room = self._config.users.quota_of(caller.groups).max_mb * 1_000_000
        pieces = parts(Body(room + JOBS_BYTES))
        new = _request(pieces)
        answers = self._jobs.submit(caller, _items(new), key=new.key)
        batch = _Batch(self._jobs, caller, new, answers, self._config.users.max_file_mb * 1_000_000)
        try:
            for part in pieces:
                batch.take(part)
        except BaseException:
            if not new.key:  # with a key the same request may come again, and then goes on with these jobs
                batch.abandon(batch.begun)
            raise
        return batch.finish()


class _Batch:
    """The jobs of one request while their files come. begun: those that still take files, by their number."""

    def __init__(
        self, jobs: Jobs, caller: Caller, new: models.NewJobs, answers: Iterable[Submitted | JobError], longest: int
    ) -> None:
        """longest: bytes that a file may have."""
        self._jobs, self._caller, self._longest = jobs, caller, longest
        self._answers: list[Answer] = list(answers)
        self.begun = {n: a.id for n, a in enumerate(self._answers) if isinstance(a, Submitted) and a.state == "begun"}
        self._inputs = [frozenset(job.inputs) for job in new.jobs]
        self._missing = [set(job.inputs) for job in new.jobs]

    def take(self, part: Part) -> None:
        """Store a file for the jobs that it is for."""
        wanted = [n for n in self._meant(part.name) if part.filename in self._inputs[n]]
        if not wanted:
            raise BadRequest(f"part '{part.name}': no job of the request lists an input '{part.filename}'")
        begun = [n for n in wanted if n in self.begun]
        if len(begun) == 1:
            self._store(begun[0], part.filename, cast(BinaryIO, part.data))
        elif begun:
            with tempfile.TemporaryFile() as spool:
                # one byte beyond the limit is enough for the upload to refuse the file; the rest is skipped
                while spool.tell() <= self._longest and (piece := part.data.read(PIECE)):
                    spool.write(piece)
                for n in begun:
                    spool.seek(0)
                    self._store(n, part.filename, spool)

    def _meant(self, name: str) -> Iterable[int]:
        if name == ALL:
            return range(len(self._inputs))
        if name.isdecimal() and len(name) < 6 and int(name) < len(self._inputs):
            return (int(name),)
        raise BadRequest(f"part '{name}': the name of a file's part is the number of its job, from 0 on, or *")

    def _store(self, n: int, name: str, data: BinaryIO) -> None:
        try:
            self._jobs.upload(self._caller, self.begun[n], name, data)
        except JobError as error:
            self._refuse(n, error)
        else:
            self._missing[n].discard(name)

    def _refuse(self, n: int, error: JobError) -> None:
        self._answers[n] = error
        self.abandon({n: self.begun.pop(n)})

    def abandon(self, jobs: dict[int, int]) -> None:
        """Give up jobs that do not get their files."""
        if jobs:
            self._jobs.kill(self._caller, Filter(ids=tuple(jobs.values())))

    def finish(self) -> list[Answer]:
        """Confirm the jobs whose files are complete."""
        for n in list(self.begun):
            if self._missing[n]:
                self._refuse(n, BadJobSpec(f"its input files did not come: {', '.join(sorted(self._missing[n]))}"))
        if self.begun:
            confirmed = self._jobs.confirm_ids(self._caller, list(self.begun.values()))
            for n, answer in zip(self.begun, confirmed, strict=True):
                self._answers[n] = answer
        return self._answers


def _request(pieces: Iterator[Part]) -> models.NewJobs:
    first = next(pieces, None)
    if first is None or first.name != "request":
        raise BadRequest("the first part of the request must be the one named 'request', with the JSON of the jobs")
    data = first.data.read(JOBS_BYTES + 1)
    if len(data) > JOBS_BYTES:
        raise BadRequest(f"the JSON of the jobs is larger than {JOBS_BYTES} bytes: send fewer jobs at a time", 413)
    return checked(models.NewJobs, data)


def _items(new: models.NewJobs) -> list[NewJob]:
    return [NewJob(j.description, j.language, tuple(j.ces), tuple(j.inputs)) for j in new.jobs]

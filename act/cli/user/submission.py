"""Many jobs to the tower: in batches, over several connections, and nothing half-submitted at the end.

A batch has a key by which the server knows it again, so it can be repeated after a lost answer; and after Ctrl-C one
learns by it what the server made of a batch that went out in part.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act.cli.user.api import Api
from act.cli.user.crew import Crew
from act.cli.user.descriptions import NewJob
from act.cli.user.errors import Refused
from act.cli.user.progress import Bar
from act.cli.user.selection import of_ids
from act.errors import ActError

MOST_JOBS = 1000  # in a batch
MOST_FILES = 100
MOST_BYTES = 50_000_000  # sent in a batch
MOST_COPIED = 500_000_000  # stored of it, as a file may be for many jobs
MOST_TEXT = 5_000_000
_PLAIN = re.compile(r'[^"\\\x00-\x1f\x7f]+')  # names that need no quoting in a part's head


@dataclass(slots=True)
class Submitted:
    """What became of a job. job_id: None if the server has none of it; begun: it has, but not all of it.

    error: why it was not submitted.
    """

    job: NewJob
    job_id: int | None = None
    name: str = ""
    begun: bool = False
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether it is submitted."""
        return self.job_id is not None and not self.begun


@dataclass(slots=True)
class Batch:
    """Jobs of one request. apart: a job whose inputs go up one by one."""

    jobs: list[Submitted]
    apart: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(16))

    def request(self, ces: Sequence[str]) -> dict[str, Any]:
        """Its description for the server."""
        return {"key": self.key, "jobs": [_item(one.job, ces) for one in self.jobs]}

    def parts(self) -> list[tuple[str, str, Path]]:
        """Its files; one that is the same for all jobs that want that name goes once."""
        wanted: dict[str, dict[int, Path]] = {}
        for index, one in enumerate(self.jobs):
            for upload in one.job.uploads:
                wanted.setdefault(upload.name, {})[index] = upload.path
        parts = []
        for name, paths in wanted.items():
            if len(paths) > 1 and len(set(paths.values())) == 1:
                parts.append(("*", name, next(iter(paths.values()))))
            else:
                parts += [(str(index), name, path) for index, path in paths.items()]
        return parts


def _item(job: NewJob, ces: Sequence[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"description": job.description, "language": job.language}
    if ces:
        item["ces"] = list(ces)
    return item | {"inputs": [upload.name for upload in job.uploads]}


def batches(jobs: Sequence[Submitted]) -> Iterator[Batch]:
    """Jobs in order, such that no request is large; those with and without inputs do not share one."""
    batch: list[Submitted] = []
    load = _Load()
    for one in jobs:
        if _apart(one.job):
            yield Batch([one], apart=True)
            continue
        if batch and (bool(batch[0].job.uploads) != bool(one.job.uploads) or not load.takes(one.job)):
            yield Batch(batch)
            batch, load = [], _Load()
        load.add(one.job)
        batch.append(one)
    if batch:
        yield Batch(batch)


def _apart(job: NewJob) -> bool:
    return sum(u.size for u in job.uploads) > MOST_BYTES or not all(_PLAIN.fullmatch(u.name) for u in job.uploads)


class _Load:
    """What a batch carries."""

    def __init__(self) -> None:
        self._files: set[tuple[str, Path]] = set()
        self._jobs = self._bytes = self._copied = self._text = 0

    def takes(self, job: NewJob) -> bool:
        """Whether it is not full for this one."""
        new = [u for u in job.uploads if (u.name, u.path) not in self._files]
        return (
            self._jobs < MOST_JOBS
            and len(self._files) + len(new) <= MOST_FILES
            and self._bytes + sum(u.size for u in new) <= MOST_BYTES
            and self._copied + sum(u.size for u in job.uploads) <= MOST_COPIED
            and self._text + len(job.description) <= MOST_TEXT
        )

    def add(self, job: NewJob) -> None:
        self._bytes += sum(u.size for u in job.uploads if (u.name, u.path) not in self._files)
        self._copied += sum(u.size for u in job.uploads)
        self._files |= {(u.name, u.path) for u in job.uploads}
        self._text += len(job.description)
        self._jobs += 1


class Submission:
    """Submits jobs; ``jobs`` tells at any time, and after an exception, what became of each."""

    def __init__(self, api: Api, ces: Sequence[str], jobs: Sequence[NewJob]) -> None:
        self.jobs = [Submitted(job) for job in jobs]
        self._api, self._ces = api, ces
        self._bar = Bar()
        self._crew = Crew(self._submit)
        self._unsettled: dict[str, Batch] = {}

    def run(self, bar: Bar, connections: int) -> None:
        """Until all jobs are submitted or refused. An error or Ctrl-C leaves none that is submitted in part."""
        self._bar = bar
        try:
            self._crew.run(connections, batches(self.jobs))
        except (ActError, KeyboardInterrupt):
            self._settle()
            raise

    def _submit(self, batch: Batch) -> None:
        self._unsettled[batch.key] = batch
        try:
            _note(batch, self._send_apart(batch) if batch.apart else self._send(batch))
            self._discard(batch, "its files did not arrive: submit it again")
        except Refused as error:
            self._refused(batch, str(error))
        del self._unsettled[batch.key]
        self._bar.advance(jobs=len(batch.jobs))

    def _refused(self, batch: Batch, why: str) -> None:
        """The request as a whole was; some of its jobs may have been begun before."""
        with suppress(Refused):
            if batch.jobs[0].job.uploads:
                self._take_back(batch)
        for one in batch.jobs:
            if not one.done and not one.error:
                one.error = why

    def _send(self, batch: Batch) -> list[dict[str, Any]]:
        request = batch.request(self._ces)
        parts = batch.parts()
        return self._api.submit_with(request, parts, self._watch) if parts else self._api.submit(request)

    def _send_apart(self, batch: Batch) -> list[dict[str, Any]]:
        answers = self._api.submit(batch.request(self._ces))
        _note(batch, answers)
        (one,) = batch.jobs
        if one.job_id is None:
            return answers
        for upload in one.job.uploads:
            self._api.upload(one.job_id, upload.name, upload.path, self._watch)
        return self._api.confirm([one.job_id])

    def _watch(self, n_bytes: int) -> None:
        self._crew.check()
        self._bar.advance(n_bytes=n_bytes)

    def _settle(self) -> None:
        """Learn what the server made of batches that we know no answer to, and take back what is incomplete."""
        for batch in self._unsettled.values():
            # Jobs without inputs went out whole, or the server is not there: asking again could submit them anew.
            if not self._crew.ended or not batch.jobs[0].job.uploads:
                _unknown(batch, "not known whether it was submitted: look with actcli stat")
                continue
            try:
                self._take_back(batch)
            except ActError as error:
                _unknown(batch, f"not submitted in full, so the server forgets it by itself ({error})")

    def _take_back(self, batch: Batch) -> None:
        """Ask by the key what the server has of a batch, and give up what is begun of it."""
        _note(batch, self._api.submit(batch.request(self._ces)))
        self._discard(batch)

    def _discard(self, batch: Batch, why: str = "") -> None:
        """Give up what is begun of a batch."""
        begun = {one.job_id: one for one in batch.jobs if one.begun and one.job_id is not None}
        if begun:
            self._api.change("kill", of_ids(begun))
        for one in begun.values():
            one.job_id, one.begun, one.error = None, False, why


def _unknown(batch: Batch, why: str) -> None:
    for one in batch.jobs:
        one.job_id, one.begun, one.error = None, False, why


def _note(batch: Batch, answers: Sequence[dict[str, Any]]) -> None:
    """Write answers to the jobs that they are about."""
    if len(answers) != len(batch.jobs):
        raise Refused(f"the server answered for {len(answers)} jobs of {len(batch.jobs)}: look with actcli stat")
    for one, answer in zip(batch.jobs, answers, strict=True):
        if "error" in answer:
            one.job_id, one.begun = None, False
            one.error = str(answer["error"].get("detail") or "refused without a reason")
        else:
            one.job_id, one.name, one.error = int(answer["id"]), str(answer.get("name") or ""), ""
            one.begun = answer.get("state") == "begun"

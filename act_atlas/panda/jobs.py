"""Jobs as PanDA hands them over: what can be run is told from what cannot, job by job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from act.errors import BadJobSpec
from act_atlas.pandajob import PandaJob

_MOST_ATTEMPTS = 10_000


@dataclass(frozen=True, slots=True)
class AcquiredJob:
    """A job that is ours now. ``fields``: everything PanDA sent."""

    pandaid: int
    attempt_nr: int
    fields: PandaJob

    @classmethod
    def parse(cls, value: object) -> AcquiredJob:
        """Raises BadJobSpec with the field that is wrong."""
        if not isinstance(value, Mapping):
            raise BadJobSpec(f"the job is not an object but {type(value).__name__}")
        fields = PandaJob(value)
        attempt_nr = fields.integer("attemptNr", 0, _MOST_ATTEMPTS)
        if attempt_nr is None:
            raise BadJobSpec("field attemptNr is missing: the final report could not be matched")
        for number in (fields.cores, fields.ram_mb, fields.cpu_s, fields.disk_mb, fields.priority):
            del number  # reading them is the check: what the tower decides on must make sense
        fields.encode()
        return cls(fields.panda_id, attempt_nr, fields)

    def urlencoded(self) -> str:
        """The job in the form that pilots read: numbers as text, "NULL" as it is, None as "None"."""
        return self.fields.encode()


@dataclass(frozen=True, slots=True)
class MalformedJob:
    """What stood in an answer in place of a job. pandaid and attempt_nr are None where not even they can be read."""

    pandaid: int | None
    attempt_nr: int | None
    reason: str
    raw: str


def parse_all(items: Iterable[object]) -> tuple[tuple[AcquiredJob, ...], tuple[MalformedJob, ...]]:
    """The jobs of an answer, and what was none."""
    jobs: list[AcquiredJob] = []
    malformed: list[MalformedJob] = []
    for item in items:
        try:
            jobs.append(AcquiredJob.parse(item))
        except BadJobSpec as e:
            malformed.append(MalformedJob(*_numbers(item), str(e), json.dumps(item)))
    return tuple(jobs), tuple(malformed)


def _numbers(item: object) -> tuple[int | None, int | None]:
    """(PandaID, attemptNr) of something that is no job: with both, PanDA can be told so."""
    if not isinstance(item, Mapping):
        return None, None
    try:
        fields = PandaJob(item)
        pandaid = fields.panda_id
    except BadJobSpec:
        return None, None
    try:
        return pandaid, fields.integer("attemptNr", 0, _MOST_ATTEMPTS)
    except BadJobSpec:
        return pandaid, None

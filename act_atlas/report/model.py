"""What a pilot's report says, once it has been read, and the outputs that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from act.errors import JobError
from act_atlas.panda.updates import Value
from act_atlas.pandajob import NULLS, PandaJob

_PATTERN = "regex|"
_NUMBER = re.compile(r"\.?_\d+$")  # of one of several outputs that PanDA expects under one name


class BadReport(JobError):
    """The pilot's report cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file that the pilot says it made. size in bytes; adler32 of 8, md5 of 32 hex digits; "" or None: not told.

    surl: where it should be by now. endpoint: that storage as Rucio names it. is_log: it is the job's log.
    """

    lfn: str
    guid: str = ""
    size: int | None = None
    adler32: str = ""
    md5: str = ""
    surl: str = ""
    is_log: bool = False
    endpoint: str = ""

    @property
    def complete(self) -> bool:
        """Whether PanDA takes it: a single one without these facts spoils the whole list."""
        return bool(self.guid and self.size is not None and (self.adler32 or self.md5))


@dataclass(frozen=True, slots=True)
class PilotReport:
    """status: finished, failed, or "" for anything else. values: for `JobUpdate.measurements` or fields of the same
    names, times in epoch seconds. meta_data: JSON text or "". dropped: names of what was of no use."""

    status: str
    values: Mapping[str, Value] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    meta_data: str = ""
    dropped: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the database."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> PilotReport:
        """What `to_json` wrote."""
        told = json.loads(text)
        outputs = tuple(Output(**o) for o in told["outputs"])
        return cls(told["status"], told["values"], outputs, told["meta_data"], tuple(told["dropped"]))


def output_report(outputs: Iterable[Output]) -> str:
    """The list of outputs as PanDA's job_output_report (JSON text), without those that are not `complete`."""
    return json.dumps({o.lfn: _told(o) for o in outputs if o.complete})


def missing_outputs(job: PandaJob, outputs: Iterable[Output]) -> tuple[str, ...]:
    """Which of the job's outFiles, its log among them, must be in the report and are not. Raises BadJobSpec."""
    reported = {o.lfn for o in outputs}
    known = reported | {_NUMBER.sub("", lfn) for lfn in reported}
    optional = _optional(job)
    wanted = [name for name in job.names("outFiles") if name not in NULLS and name not in optional]
    return tuple(name for name in wanted if name not in known and not _fits(name, reported))


def _fits(name: str, reported: Iterable[str]) -> bool:
    """Whether the expected output is a pattern, and something reported fits it."""
    if not name.startswith(_PATTERN):
        return False
    try:
        pattern = re.compile(name.removeprefix(_PATTERN))
    except re.error:
        return False
    return any(pattern.search(lfn) for lfn in reported)


def _optional(job: PandaJob) -> frozenset[str]:
    """allowNoOutput, which comes comma-joined or as a list."""
    names = (name.strip('[]" ') for name in job.names("allowNoOutput"))
    return frozenset(name for name in names if name)


def _told(output: Output) -> dict[str, Any]:
    facts = {"guid": output.guid, "fsize": output.size, "adler32": output.adler32, "md5sum": output.md5,
             "surl": output.surl, "endpoint": output.endpoint}  # fmt: skip
    return {name: value for name, value in facts.items() if value not in (None, "")}

"""What goes over the wire of /api/v1: requests are validated by these types, answers are described by them.

Times are seconds since the epoch (UTC). ``state`` of a job is the word that users see.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

MAX_ID = 2**63 - 1
MAX_IDS = 10_000  # in one request
JobId = Annotated[int, Field(ge=1, le=MAX_ID)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Pem = Annotated[str, Field(min_length=1, max_length=100_000)]
_closed = with_config(ConfigDict(extra="forbid"))


class Request(BaseModel):
    """Nothing is allowed in a request but what is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Chain(Request):
    """Certificates in PEM, without any key: the proxy (or the signed new one) first, then its chain."""

    chain: Pem


class NewJob(Request):
    """A job to be run. ces: names of CEs that it may go to, none: all; inputs: names of files that will be sent."""

    description: str = Field(min_length=1)
    language: str = Field(min_length=1, max_length=50)
    ces: list[Annotated[str, Field(max_length=500)]] = Field([], max_length=1000)
    inputs: list[Name] = Field([], max_length=10_000)


class NewJobs(Request):
    """key: of the caller's choice; a request with the same key again gives the same jobs and makes none."""

    key: str = Field("", max_length=100)
    jobs: list[NewJob] = Field(min_length=1, max_length=1000)


class Ids(Request):
    """Jobs by their ids."""

    ids: list[JobId] = Field(min_length=1, max_length=MAX_IDS)


class Selection(Request):
    """Jobs by ids, part of the name, and states, all of which must fit; ``all`` for every job of the caller's."""

    ids: list[JobId] = Field([], max_length=MAX_IDS)
    name: str = Field("", max_length=200)
    states: list[Annotated[str, Field(max_length=20)]] = Field([], max_length=50)
    all: bool = False

    @model_validator(mode="after")
    def _something(self) -> Selection:
        if not (self.ids or self.name or self.states or self.all):
            raise ValueError('say which jobs: ids, name or states, or "all": true')
        if self.all and (self.ids or self.name or self.states):
            raise ValueError('"all" goes with nothing else')
        return self


@_closed
class Problem(TypedDict):
    """Why a request failed. detail: what to do; code: for programs."""

    title: str
    status: int
    detail: str
    code: str


@_closed
class Health(TypedDict):
    """The tower can be spoken to."""

    status: Literal["ok"]
    version: str


@_closed
class Identity(TypedDict):
    """Who the caller is, and the groups that grants."""

    issuer: str
    subject: str
    groups: list[str]


@_closed
class Credential(TypedDict):
    """Until when the caller can act with what they came with."""

    expires: float


@_closed
class CE(TypedDict):
    """A CE that the caller may choose by its name."""

    name: str
    flavour: str
    queue: str
    url: str
    status: str


@_closed
class Used(TypedDict):
    """What the caller has in the tower now."""

    jobs: int
    files: int
    mb: float


@_closed
class Limits(Used):
    """What the caller may have in the tower at a time; file_mb: the size of one input."""

    file_mb: int


@_closed
class Info(TypedDict):
    """What a client needs to know before it submits."""

    version: str
    identity: Identity
    credential: Credential | None
    ces: list[CE]
    limits: Limits
    used: Used


@_closed
class Handover(TypedDict):
    """request: to be signed with the proxy's key (PEM); token: ends the hand-over, and is good for nothing else."""

    token: str
    request: str
    expires: float


@_closed
class Session(TypedDict):
    """The token of a session."""

    token: str
    expires: float


@_closed
class ItemError(TypedDict):
    """Why nothing was done for one job of several."""

    code: str
    detail: str


@_closed
class Submitted(TypedDict):
    """One job of a submission, in the order of the request: either made, or refused with ``error``."""

    id: NotRequired[int]
    state: NotRequired[str]
    name: NotRequired[str]
    error: NotRequired[ItemError]


@_closed
class Submission(TypedDict):
    """Answers in the order of the request."""

    jobs: list[Submitted]


@_closed
class File(TypedDict):
    """A file and its digest."""

    name: str
    size: int
    sha256: str


@_closed
class Job(TypedDict):
    """A job and its current attempt."""

    id: int
    name: str
    state: str
    created: float
    modified: float
    ce: str
    ce_url: str
    ce_job_id: str
    ce_state: str
    exit_code: int | None
    error: str
    attempt: int
    wall_s: int | None
    cpu_s: int | None
    memory_mb: int | None
    node: str
    queue: str


@_closed
class Jobs(TypedDict):
    """One page; next: the cursor of the next one, null at the end."""

    jobs: list[Job]
    next: str | None


@_closed
class Step(TypedDict):
    """One change of a job's state, or of an attempt's. of: ``job`` or ``attempt <number>``."""

    at: float
    of: str
    source: str
    event: str
    target: str
    who: str
    why: str


@_closed
class Detail(Job):
    """A job with all that is known of it."""

    description: str
    language: str
    attempts: int
    history: list[Step]
    inputs: list[File]
    results: list[File]


@_closed
class StoryOut(TypedDict):
    """A paragraph of an explanation."""

    title: str
    lines: list[str]


@_closed
class Explanation(TypedDict):
    """Why a job is as it is."""

    stories: list[StoryOut]


@_closed
class Touched(TypedDict):
    """A job and the state that it was in."""

    id: int
    state: str


@_closed
class Refused(TypedDict):
    """A job for which the request was not done, and why."""

    id: int
    detail: str


@_closed
class Changes(TypedDict):
    """What was done to which jobs."""

    jobs: list[Touched]
    refused: list[Refused]


@_closed
class Files(TypedDict):
    """The results of a job that can be downloaded."""

    files: list[File]

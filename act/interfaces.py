"""The seams: what a CE type, a job source and a job description must be. Plugins are found by entry point.

Groups: ``act.ce`` (flavour -> `CEFactory`), ``act.app`` (name -> `Application`), ``act.description``
(name -> `Description`, text -> JobSpec).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib.metadata import entry_points
from typing import Any, BinaryIO, Protocol

from act.alarms.alarm import Alarm
from act.control.jobs import Filter, JobLine, Verb
from act.doctor.check import Examination
from act.errors import ConfigError, JobError
from act.explain.story import Asked, Story
from act.figures import Figure
from act.model import CEAddress, CEStatus, Created, JobSpec, Proxy, PublishedLogs, Submission


class ComputeElement(Protocol):
    """One CE seen with one credential.

    Made for one lane, used by one thread, closed after. Every call ends within ``address.total_s`` (file transfers
    within ``transfer_s``). All calls raise CEUnreachable (CEBroken for a complete but useless answer) and
    CredentialError; what concerns one job only is an *answer*, not an exception: a JobError instance in its place.
    "No answer" is an exception, "an empty answer" an empty result: they are never confused.
    """

    batch: int  # how many jobs one bulk call may carry
    arm_batch: int  # how many of them `arm` may carry
    status_batch: int  # how many of them one poll may ask about

    def probe(self) -> None:
        """The cheapest call that needs authorisation; returns if the CE answers us."""

    def create(self, jobs: Sequence[Submission], delegation: str) -> list[Created | JobError]:
        """Create the jobs inert, in bulk; answers in order. None of them can run before `arm`.

        An exception leaves open which were made, unless it is CEUnreachable with sent=False, CEFull, or
        StorageUnavailable: inputs that the tower brings cannot be read now.
        A description the CE would choke on as a whole must be refused here, not sent.
        """

    def arm(self, jobs: Mapping[str, JobSpec]) -> dict[str, JobError | None]:
        """Let jobs run, by their ids at the CE. None: armed. Repeatable while a job still waits for it.

        OutputMissing or BadJobSpec: the tower cannot bring what the job needs, now or ever. An exception leaves open
        which were armed; StorageUnavailable: it cannot do so now.
        """

    def list_ids(self) -> frozenset[str]:
        """All jobs of this credential at the CE: complete, or an exception."""

    def inspect(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """State, name and numbers of each job, as complete as the CE can tell. JobGone for unknown ids."""

    def status(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        """Like `inspect`, but the cheapest call that tells states; details only where the state asks for them."""

    def kill(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """Ask the CE to end the jobs. None: taken."""

    def clean(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """Ask the CE to forget ended jobs. None or JobGone: forgotten."""

    def restart(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        """Ask the CE to repeat the staging phase that failed. None: taken, or the job has not failed."""

    def fetch(self, ce_job_id: str, name: str, out: BinaryIO) -> int:
        """Write one file (session path, or ``diagnose=<name>``) to out; returns its size in bytes.

        Raises OutputMissing if the CE has no such file, JobGone if not even the job.
        """

    def files(self, ce_job_id: str, folder: str) -> list[str]:
        """The names of the files in a folder of the session directory and below, "" for all there is, sorted.

        Links are not followed; what is no plain file is left out, and so are names that do not print. An empty list for
        a folder that is not there; raises JobGone if not even the job is, OutputMissing if there is no list.
        """

    def delegate(self) -> str:
        """Make a new delegation of the credential at the CE and return its id."""

    def renew(self, delegation: str) -> None:
        """Replace the credential of a delegation, jobs that use it included. Raises JobGone if the CE lost it."""

    def undelegate(self, delegation: str) -> None:
        """Remove a delegation; no error if it is not there."""

    def list_delegations(self) -> frozenset[str]:
        """All delegations of this credential at the CE: complete, or an exception."""

    def close(self) -> None:
        """Give back connections."""


class Inputs(Protocol):
    """Where a CE type reads the input files that the tower brings (`act.model.InputFile.stored`)."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """The file, to be read once. Raises OutputMissing if it is not there, StorageUnavailable."""


class CEFactory(Protocol):
    """What the entry point of a CE type names."""

    def __call__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> ComputeElement:
        """Bind a CE to a credential. Does no I/O; raises CredentialError if it cannot be used at all.

        That is also said of a proxy with a token by a CE type, or the configured version of it, that takes none.
        """

    def check(self, address: CEAddress) -> None:
        """Raises ConfigError for options that are unknown or make no sense. url "": they are a submit point's own."""

    def missing(self) -> str:
        """Why CEs of this type cannot be spoken to from here, such as a missing library; "" if they can."""

    def summary(self, spec: JobSpec) -> dict[str, Any]:
        """The request as plain values in the units of this CE type, for people and for comparing."""

    def describe(self, job: Submission) -> str:
        """The request as it will be sent, for people and for the joblog. Raises BadJobSpec."""


class Description(Protocol):
    """A language of job descriptions that users write. flavour: the CE type it is made for, "" for all."""

    flavour: str

    def __call__(self, text: str) -> list[JobSpec]:
        """Parse; raises BadJobSpec with position and hint. Input files without a URL have a path as their source."""

    def write(self, spec: JobSpec) -> str:
        """The text of one job, such that parsing it gives the same again. Raises BadJobSpec."""


class Operations(Protocol):
    """What operators see of the jobs of an application, and do to them. connection: an open snapshot."""

    def explain(self, connection: Any, moment: Any, asked: Asked, name: str) -> Story | None:
        """Why a job or a queue of its is as it is; None if it has none of that name.

        moment: `act.explain.moment.Moment`. The core adds the stories of attempts.
        """

    def figures(self, connection: Any) -> Iterable[Figure]:
        """Its numbers now, of all the tower and by queue or user."""

    def alarms(self, connection: Any) -> Iterable[Alarm]:
        """What somebody has to look at, such as what it owes its far side."""

    def find(self, connection: Any, wanted: Filter, *, after: int, limit: int) -> Sequence[JobLine]:
        """Its jobs that are wanted and whose number is above ``after``, in the order of their numbers; ended ones too,
        until they are archived."""

    def states(self) -> Sequence[str]:
        """The states of its jobs, in the order in which people know them."""

    def queues(self, connection: Any) -> Collection[str]:
        """The names of its queues, as far as they are known."""

    def shares(self, connection: Any, text: str) -> Mapping[str, str]:
        """Shares with this text in their name, or in that of whom they belong to -> that one; not all of too many."""

    def logs(self, connection: Any, name: str) -> PublishedLogs | None:
        """The published logs of a job of its (`JobLine.name`), an archived one too; None if it has no such job."""

    def control(
        self, connection: Any, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
    ) -> dict[int, str]:
        """Do something to jobs of its; number -> why not, of those to which it could not be done. Repeating it is safe.

        connection: in a transaction that writes. who: ``operator-<name>``. value: of PRIORITY a number, of MOVE the
        numbers of CE queues.
        """

    def doctor(self, context: Any) -> Iterable[Examination]:
        """Looks at what it needs beside the core, for `actctl doctor`. context: `act.daemons.context.Context`, whose
        calls end in time. Looks change nothing, and may raise."""


class Application(Protocol):
    """A job source: owns application jobs, makes attempts, learns of changes by versions."""

    name: str
    config_file: str  # name of its configuration file, for which there is a template

    def check_config(self) -> str:
        """Read its configuration; returns the file's path. Raises ConfigError with all that is wrong."""

    def daemons(self) -> Mapping[str, str]:
        """Name -> "module:Class" of its daemons."""

    def flavours(self) -> Mapping[str, str]:
        """Daemon -> the CE type it makes attempts for, for those that make any."""

    def initialise(self, connection: Any) -> None:
        """Fill its tables that hold constants (on an SQLAlchemy connection)."""

    def migrations(self) -> str:
        """Directory of its Alembic revisions."""

    def commands(self) -> Iterable[Any]:
        """click commands to add to actctl."""

    @property
    def operations(self) -> Operations:
        """For the people who run the tower."""


def plugins(group: str) -> dict[str, Any]:
    """All plugins of an entry point group by name, loaded."""
    return {e.name: e.load() for e in entry_points(group=group)}


@cache  # finding entry points reads files of all installed packages
def plugin(group: str, name: str) -> Any:
    """One plugin; ConfigError with the known names if there is none."""
    found = entry_points(group=group)
    for entry in found:
        if entry.name == name:
            return entry.load()
    known = ", ".join(sorted(e.name for e in found)) or "none"
    raise ConfigError(f"no plugin '{name}' in group {group} (installed: {known})")

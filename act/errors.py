"""The error tree. Adapters translate library errors at their edge, with ``raise ... from``.

ActError
├── ConfigError            wrong or missing configuration; the process exits with 78 and is not restarted
├── TemporaryError         try again later, nothing is decided
│   ├── CEUnreachable      no usable answer from a CE; ``sent`` says whether the request may have been acted on
│   │   └── CEBroken       a complete answer that says the CE failed as a whole (5xx, garbage)
│   ├── CEFull             the CE takes no more jobs for now; not an attempt
│   ├── SourceUnreachable  no usable answer from a source of jobs (PanDA, CRIC) or of tokens
│   ├── StorageUnavailable no usable answer from a store or a storage element
│   └── DatabaseBusy       deadlock, lost connection, outage
│       └── OutcomeUnknown the connection broke during COMMIT: read back, never run again
├── JobError               this job only
│   ├── BadJobSpec         the job cannot be expressed as a request
│   ├── CERefused          the CE says no to this job
│   ├── JobGone            a complete answer in which the CE does not know the job
│   └── OutputMissing      a file that should be there is not
├── CredentialError        pauses one credential
└── Bug                    a promise of this code base is broken
    ├── IllegalMove        the event does not exist for the state
    └── StaleClaim         an effect was tried after the lease had ended
"""

from __future__ import annotations


class ActError(Exception):
    """Root of all errors of the tower; the message tells an operator what happened and what to do."""


class ConfigError(ActError):
    """Configuration is missing, ill-typed or contradictory."""


class TemporaryError(ActError):
    """Try again later; nothing may be concluded."""


class CEUnreachable(TemporaryError):
    """The CE gave no usable answer.

    sent: False only if it is certain that the CE never saw the request (name look-up, connect or TLS
    handshake failed), so that nothing can have been done with it.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class CEBroken(CEUnreachable):
    """A complete answer came, and it is a 5xx or not what the protocol promises."""


class CEFull(TemporaryError):
    """The CE has reached its own limit of jobs; nothing of the request was done."""


class SourceUnreachable(TemporaryError):
    """The job source gave no usable answer."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class StorageUnavailable(TemporaryError):
    """A store or storage element gave no usable answer."""


class DatabaseBusy(TemporaryError):
    """The database refused, broke off or could not be reached."""


class OutcomeUnknown(DatabaseBusy):
    """The connection broke while COMMIT was under way: the transaction may or may not have happened."""


class JobError(ActError):
    """Concerns one job and no other."""


class BadJobSpec(JobError):
    """The job cannot be turned into a request."""


class CERefused(JobError):
    """The CE says no to this job."""


class JobGone(JobError):
    """The CE gave a complete answer and does not know the job."""


class OutputMissing(JobError):
    """A file that should be there is not."""


class CredentialError(ActError):
    """A proxy or token is unreadable, expired, refused or cannot be renewed."""


class Bug(ActError):
    """A promise of this code base is broken; never caught to go on."""


class IllegalMove(Bug):
    """The state machine has no such step."""


class StaleClaim(Bug):
    """An effect was tried under a lease that had ended."""

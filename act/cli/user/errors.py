"""What can go wrong for a user, each with its exit code; messages say what to do next."""

from __future__ import annotations

from act.errors import ActError, ConfigError, CredentialError, TemporaryError

OK, SOME_FAILED, USAGE, NOT_AUTHENTICATED, UNREACHABLE, NOTHING_MATCHED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class NotAuthenticated(CredentialError):
    """The server does not know, or no longer knows, who we are."""


class Unreachable(TemporaryError):
    """The server gave no usable answer.

    sent: False only if it is certain that the server never saw the request.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(ActError):
    """The server says no to a request. status: of the answer; code: its word for the reason."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class NothingMatched(ActError):
    """No job is meant by what was asked for."""


class Stopped(ActError):
    """A call was given up because the user wants to end."""


def exit_code(error: ActError) -> int:
    """What the shell is told about an error that ended a command."""
    kinds: tuple[tuple[type[ActError], int], ...] = (
        (NothingMatched, NOTHING_MATCHED), (CredentialError, NOT_AUTHENTICATED), (TemporaryError, UNREACHABLE),
        (ConfigError, USAGE),
    )  # fmt: skip
    return next((code for kind, code in kinds if isinstance(error, kind)), SOME_FAILED)

"""What a caller is told who cannot be let in. The messages are for users, and say what to do."""

from __future__ import annotations

from act.errors import ActError, TemporaryError


class Unauthorised(ActError):
    """Nobody knows who speaks: no token, or none that is good (401)."""


class Forbidden(ActError):
    """It is known who speaks, and they may not (403)."""


class BadCredential(ActError):
    """What was handed over is no credential that the tower can act with (400)."""


class TooManyHandovers(TemporaryError):
    """So many hand-overs are under way that no further one is begun (503)."""

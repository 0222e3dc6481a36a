"""What comes from a CE into a file of the store: so much and not more, counted and digested."""

from __future__ import annotations

import hashlib
import time
from typing import BinaryIO

from act.errors import OutputMissing

MB = 1_000_000


class TooMuch(OutputMissing):
    """The file has more bytes, or takes longer, than is allowed."""


class Intake:
    """A file that takes ``most`` bytes, and not one more: jobs decide what they write, not how full the store gets.

    why: told to people when it is full. end: it takes nothing after that time (monotonic).
    """

    def __init__(self, file: BinaryIO, most: int, why: str, end: float = float("inf")) -> None:
        self._file, self._most, self._why, self._end = file, most, why, end
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Raises TooMuch when it takes no more; what fits is written before that."""
        part = data[: max(self._most - self.size, 0)]
        self._file.write(part)
        self._digest.update(part)
        self.size += len(part)
        if len(part) < len(data) or time.monotonic() > self._end:
            raise TooMuch(self._why)
        return len(part)

    @property
    def sha256(self) -> str:
        """Of what it has taken, in hexadecimal digits."""
        return self._digest.hexdigest()

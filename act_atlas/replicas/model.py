"""What the tower knows and learns of files on storage elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from act.errors import ActError, StorageUnavailable


@dataclass(frozen=True, slots=True)
class Replica:
    """A file as the report of its job describes it: size in bytes, checksums in any usual form, "" for unknown."""

    url: str
    size: int | None
    adler32: str = ""
    md5: str = ""


class Finding(StrEnum):
    """What a look at the storage says of a replica."""

    GOOD = "good"
    UNVERIFIED = "unverified"  # nothing is wrong, but there was no checksum to compare
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_CHECKSUM = "wrong checksum"
    UNKNOWN_SCHEME = "unknown scheme"  # nothing here speaks the protocol


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer, and in words what led to it."""

    finding: Finding
    detail: str = ""


class Storage(Protocol):
    """One storage host seen with one credential; used by one thread, closed after.

    Both calls are bulks that end within ``storages/total_s``. A file that could not be decided has StorageUnavailable
    as its answer; if that is so for all, the call raises it instead. Refused credentials count as unavailable too:
    nothing may be concluded about a file that we were not shown.
    """

    def check(self, replicas: Sequence[Replica]) -> dict[str, Checked | StorageUnavailable]:
        """Compare sizes and checksums with what the storage has; answers by URL."""

    def remove(self, urls: Sequence[str]) -> dict[str, ActError | None]:
        """Delete files; answers by URL. None: gone, also if it never was there. JobError: will never be deleted,
        because the URL is not below a prefix of ``storages/removable``, names a directory, or the storage says no."""

    def close(self) -> None:
        """Give back connections."""

"""What the answers of all kinds of storage have in common."""

from __future__ import annotations

from typing import TypeVar

from act.errors import JobError, StorageUnavailable

A = TypeVar("A")


def decided(host: str, answers: dict[str, A]) -> dict[str, A]:
    """The answers of a bulk; raises StorageUnavailable if not a single file could be decided."""
    failures = [answer for answer in answers.values() if isinstance(answer, StorageUnavailable)]
    if failures and len(failures) == len(answers):
        others = f" (and {len(failures) - 1} more files)" if len(failures) > 1 else ""
        raise StorageUnavailable(f"storage {host}: {failures[0]}{others}") from failures[0]
    return answers


def forbidden(url: str) -> JobError:
    """The answer for a file that must not be removed."""
    return JobError(f"{url[:200]} is not removed: it is not below a prefix of storages/removable")

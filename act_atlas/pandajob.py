"""The fields of a PanDA job as the rules read them.

Values may be numbers (v1) or text (legacy); a null of the database is the text "NULL", None or missing. Whatever does
not make sense raises BadJobSpec with the field and its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from act.errors import BadJobSpec

NULLS = frozenset({"", "NULL", "None", "null"})
USER_LABELS = ("user", "panda")
_INTEGER = re.compile(r"[+-]?\d{1,20}(\.0*)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.:@+-]{1,100}", re.ASCII)
_SHOWN = 60  # characters of a bad value that are told


class PandaJob:
    """One job; immutable. Field names are those of the dispatcher."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        if not fields:
            raise BadJobSpec("the job has no fields")
        self._fields = {str(name): _text(name, value) for name, value in fields.items()}

    @classmethod
    def parse(cls, text: str) -> PandaJob:
        """From an urlencoded form or a JSON object."""
        stripped = text.strip()
        if not stripped.startswith("{"):
            return cls(dict(parse_qsl(stripped, keep_blank_values=True)))
        try:
            fields = json.loads(stripped)
        except (ValueError, RecursionError) as exc:
            raise BadJobSpec(f"the job is not valid JSON: {exc}") from exc
        return cls(fields)

    def encode(self) -> str:
        """The urlencoded form that pilots read; nulls stay as PanDA sent them."""
        try:
            return urlencode(self._fields)
        except UnicodeEncodeError as exc:
            raise BadJobSpec(f"the job has text that is not Unicode: {exc.reason}") from exc

    def has(self, name: str) -> bool:
        """Whether the field is there at all, be it null."""
        return name in self._fields

    def text(self, name: str, default: str = "") -> str:
        """A printable text on one line."""
        value = self._fields.get(name, "").strip()
        if value in NULLS:
            return default
        if not value.isprintable():
            raise self._bad(name, "is not printable text")
        return value

    def word(self, name: str, default: str = "") -> str:
        """A text that is safe as an argument: letters, digits and a few signs."""
        value = self.text(name, default)
        if value != default and not _WORD.fullmatch(value):
            raise self._bad(name, "is not a plain word")
        return value

    def file_name(self, name: str, default: str = "") -> str:
        """A text that names a file in the session directory, and nothing outside."""
        value = self.text(name, default)
        if value != default and ("/" in value or value in (".", "..") or len(value) > 250):
            raise self._bad(name, "is not a file name")
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number within limits, given as number or text; None if it is null or missing."""
        value = self._fields.get(name, "").strip()
        if value in NULLS:
            return None
        if not _INTEGER.fullmatch(value):
            raise self._bad(name, "is not a whole number")
        number = int(value.partition(".")[0])
        if not lowest <= number <= highest:
            raise self._bad(name, f"is not between {lowest} and {highest}")
        return number

    def names(self, name: str) -> tuple[str, ...]:
        """A comma-joined list, such as of files; () if null or missing."""
        value = self.text(name)
        return tuple(part.strip() for part in value.split(",")) if value else ()

    @property
    def panda_id(self) -> int:
        """PandaID."""
        value = self.integer("PandaID", 1, 2**63 - 1)
        if value is None:
            raise BadJobSpec("field PandaID is missing")
        return value

    @property
    def label(self) -> str:
        """prodSourceLabel."""
        value = self.word("prodSourceLabel")
        if not value:
            raise BadJobSpec("field prodSourceLabel is missing")
        return value

    @property
    def is_user(self) -> bool:
        """Whether it is a user's analysis job, not production."""
        return self.label in USER_LABELS

    @property
    def resource_type(self) -> str:
        """resource_type, or resourceType as other sources of jobs write it; "" if PanDA does not say."""
        return self.word("resource_type") or self.word("resourceType")

    @property
    def cores(self) -> int:
        """coreCount; one if PanDA does not say."""
        return self.integer("coreCount", 0, 10_000) or 1

    @property
    def ram_mb(self) -> int | None:
        """minRamCount, of the whole job; None if PanDA does not say, which it does by 0 or less, too."""
        return _positive(self.integer("minRamCount", -(10**9), 10**7))

    @property
    def cpu_s(self) -> int | None:
        """maxCpuCount; None if PanDA does not say."""
        return _positive(self.integer("maxCpuCount", -(10**9), 10**9))

    @property
    def disk_mb(self) -> int | None:
        """maxDiskCount; None if PanDA does not say."""
        return _positive(self.integer("maxDiskCount", -(10**9), 10**9))

    @property
    def priority(self) -> int | None:
        """currentPriority; None if it is missing or null."""
        return self.integer("currentPriority", -(10**9), 10**9)

    def _bad(self, name: str, what: str) -> BadJobSpec:
        value = self._fields[name]
        shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
        return BadJobSpec(f"field {name} = {shown!r} {what}")


def _positive(number: int | None) -> int | None:
    return number if number is not None and number > 0 else None


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value) if isinstance(value, dict | list) else str(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadJobSpec(f"field {name} has a value that cannot be written down: {exc}") from exc

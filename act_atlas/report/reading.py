"""heartbeat.json -> `PilotReport`. The file comes from a worker node, so nothing here trusts its size, depth or sense.

What makes no sense is left out and named; only a file that cannot be used at all is refused. Names are those of the
legacy interface, as pilots write them, or those of today.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from act_atlas.panda.updates import FIELDS, Field, Kind, Value, fit
from act_atlas.report.model import BadReport, Output, PilotReport
from act_atlas.report.times import epoch

MAX_REPORT_BYTES = 16 << 20
MAX_PARTS = 500_000  # values in one JSON text; each takes many times its place in the file
# What is kept fits into one statement, of which MariaDB takes 16 MB.
MAX_OUTPUTS = 2000
MAX_META_BYTES = 4 << 20
MAX_TEXT = 64 << 10
MAX_DROPPED = 50
_CHUNK = 1 << 20
_LONGEST_INTEGER = 20
_LONGEST_NAME, _LONGEST_URL = 250, 1000
_MOST_WRAPPINGS = 3

_NAMES: Mapping[str, Field] = {**{f.legacy: f for f in FIELDS.values()}, **FIELDS}
# What the tower says itself, or what has a place of its own in the report.
_APART = frozenset({"job_id", "job_status", "attempt_nr", "site_name", "job_output_report", "meta_data"})
# What pilots tell and PanDA does not ask for.
_NOT_ASKED = frozenset({"timestamp", "token", "computingElement", "workdir", "remainingSpace", "messageLevel"})
_FILE_FACTS = frozenset({"guid", "fsize", "adler32", "md5sum", "checksum", "surl"})
# To the end of the text if the last quote is missing, so that no text is gone through more than once.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ADLER32, _MD5 = re.compile(r"(?:0x)?([0-9a-f]{1,8})"), re.compile(r"([0-9a-f]{32})")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+", re.IGNORECASE)


def read_report(stream: BinaryIO, pandaid: int, *, log_file: str = "") -> PilotReport:
    """The report of one job. log_file: the job's logFile, to know the log by. Raises BadReport."""
    told = _load(_read(stream).decode("utf-8-sig", "replace"))
    if not isinstance(told, dict):
        raise BadReport("the pilot's report is no JSON object")
    _check_job(told, pandaid)
    reader = _Reader(log_file)
    state = _value(told, "job_status")
    return PilotReport(
        status=state if state in ("finished", "failed") else "",
        values=reader.values(told),
        outputs=tuple(reader.outputs(_value(told, "job_output_report")).values()),
        meta_data=reader.meta_data(_value(told, "meta_data")),
        dropped=tuple(reader.dropped),
    )


def _read(stream: BinaryIO) -> bytearray:
    data = bytearray()
    while chunk := stream.read(min(_CHUNK, MAX_REPORT_BYTES + 1 - len(data))):
        data += chunk
        if len(data) > MAX_REPORT_BYTES:
            raise BadReport(f"the pilot's report is larger than {MAX_REPORT_BYTES} bytes")
    return data


def _load(text: str) -> Any:
    """JSON text -> values; numbers that no field can hold become None. Raises BadReport."""
    text = text.strip()
    bare = _STRING.sub("", text)
    if sum(bare.count(mark) for mark in ",[{") > MAX_PARTS:
        raise BadReport(f"the pilot's report has more than {MAX_PARTS} values")
    try:
        return json.loads(text, strict=False, parse_int=_integer, parse_constant=lambda _: None)
    except RecursionError:
        raise BadReport("the pilot's report is nested too deep") from None
    except ValueError as e:
        if not text:
            raise BadReport("the pilot's report is empty") from e
        if text[0] in "{[" and text[-1] not in "}]":
            raise BadReport("the pilot's report is truncated") from e
        raise BadReport(f"the pilot's report is not JSON: {e}") from e


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _LONGEST_INTEGER else None


def _value(told: Mapping[str, Any], name: str) -> Any:
    """The value of a field under its legacy or its present name; None if it is not there."""
    return told.get(FIELDS[name].legacy, told.get(name))


def _check_job(told: Mapping[str, Any], pandaid: int) -> None:
    number = _fitted(FIELDS["job_id"], _value(told, "job_id"))
    if number is None:
        raise BadReport("the pilot's report does not say of which job it is")
    if number != pandaid:
        raise BadReport(f"the pilot's report is of another job, {number}")


class _Reader:
    """Takes from a report what is of use, and remembers the names of what is not."""

    def __init__(self, log_file: str) -> None:
        self.dropped: list[str] = []
        self._log_file = log_file

    def values(self, told: Mapping[str, Any]) -> dict[str, Value]:
        """All fields but those with a place of their own."""
        found: dict[str, Value] = {}
        for name, value in told.items():
            known = _NAMES.get(name)
            if name in _NOT_ASKED or (known and known.name in _APART) or value is None or value == "":
                continue
            fitted = _fitted(known, value) if known else None
            if known is None or fitted is None:
                self._drop(name)
            else:
                found[known.name] = fitted
        return found

    def outputs(self, told: Any) -> dict[str, Output]:
        """The outputs by name, from JSON text or from an object."""
        found: dict[str, Output] = {}
        try:
            for lfn, entry in self._entries(told, _MOST_WRAPPINGS):
                if _is_name(lfn) and len(found) < MAX_OUTPUTS:
                    found[lfn] = _output(lfn, entry, is_log=lfn == self._log_file)
                else:
                    self._drop(lfn)
        except BadReport:
            self._drop("xml")
        return found

    def meta_data(self, told: Any) -> str:
        """The transform's report as text; "" if there is none, or none that is of use."""
        if not told:
            return ""
        try:
            text = _clean(told if isinstance(told, str) else json.dumps(told))
        except RecursionError:
            text = ""
        if not text or len(text.encode()) > MAX_META_BYTES:
            self._drop("metaData")
            return ""
        return text

    def _entries(self, told: Any, wrappings: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(LFN, facts) of all files; the list may be wrapped in text, or in an object with a single key."""
        if not told:
            return
        if isinstance(told, str) and wrappings:
            yield from self._entries(_load(told), wrappings - 1)
        elif not isinstance(told, dict):
            self._drop("xml")
        else:
            for lfn, entry in told.items():
                if isinstance(entry, dict) and not entry.keys().isdisjoint(_FILE_FACTS):
                    yield lfn, entry
                elif len(told) == 1 and wrappings:
                    yield from self._entries(entry, wrappings - 1)
                else:
                    self._drop(lfn)

    def _drop(self, name: str) -> None:
        shown = "".join(c if c.isprintable() else "?" for c in name[:60])
        if len(self.dropped) < MAX_DROPPED and shown not in self.dropped:
            self.dropped.append(shown)


def _fitted(known: Field, value: Any) -> Value | None:
    """The value as PanDA takes it, or None. A negative pilot error code loses its sign, as it did with old servers."""
    if known.kind is Kind.TIME:
        return epoch(value)
    if not isinstance(value, str | int | float):
        return None
    fitted = fit(known, value)
    if known.name == "pilot_error_code" and isinstance(fitted, int):
        return abs(fitted)
    return fitted[:MAX_TEXT] if isinstance(fitted, str) else fitted


def _output(lfn: str, entry: Mapping[str, Any], *, is_log: bool) -> Output:
    kind, _, digits = _text(entry, "checksum", _LONGEST_NAME).partition(":")
    size = _fitted(FIELDS["n_events"], entry.get("fsize"))  # like it: a whole number of 63 bits
    surl = _text(entry, "surl", _LONGEST_URL)
    adler32 = _digits(_ADLER32, _text(entry, "adler32", 20) or (digits if kind in ("ad", "adler32") else ""))
    return Output(
        lfn=lfn,
        guid=_text(entry, "guid", _LONGEST_NAME),
        size=size if isinstance(size, int) and size >= 0 else None,
        adler32=adler32.zfill(8) if adler32 else "",
        md5=_digits(_MD5, _text(entry, "md5sum", 40) or (digits if kind in ("md", "md5") else "")),
        surl=surl if _URL.fullmatch(surl) else "",
        is_log=is_log,
        endpoint=_text(entry, "endpoint", _LONGEST_NAME),
    )


def _digits(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.fullmatch(text.lower())
    return found[1] if found else ""


def _text(entry: Mapping[str, Any], name: str, longest: int) -> str:
    """A text of plain characters on one line; "" for anything else."""
    value = entry.get(name)
    return value if isinstance(value, str) and len(value) <= longest and _is_plain(value) else ""


def _is_name(lfn: str) -> bool:
    """Whether it names a file and nothing else, so that it may go into paths and lists."""
    return 0 < len(lfn) <= _LONGEST_NAME and _is_plain(lfn) and "/" not in lfn and lfn not in (".", "..")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _clean(text: str) -> str:
    """Without what some database does not take: control characters and halves of characters."""
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode()

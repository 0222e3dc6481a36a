"""The few lines of logs that say why a job failed whose pilot left no word."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

MAX_LINES = 20
TAIL_BYTES = 256 << 10
_LONGEST_LINE = 300
_TELLING = re.compile(r"error|warning|failed", re.IGNORECASE)
# A-REX writes the batch script into its log, where every other line speaks of errors.
_SCRIPT = re.compile(r"^-{40,}$.*?^-{40,}$", re.MULTILINE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]+")


def log_extract(out: BinaryIO | None, errors: BinaryIO | None) -> str:
    """The last lines with error, warning or failed, of the CE's own log and then of the job's: at most `MAX_LINES`.

    out: the job's log, errors: the CE's, both seekable; None if there is none. Only the end of large ones is read.
    """
    of_ce, of_job = _telling(errors), _telling(out)
    rest = MAX_LINES - len(of_job)
    kept = of_ce[-max(rest, MAX_LINES // 2) :]
    return "\n".join((*kept, *of_job[len(kept) - MAX_LINES :]))


def _telling(stream: BinaryIO | None) -> list[str]:
    """The last `MAX_LINES` lines that tell something, without control characters and not too long."""
    if stream is None:
        return []
    start = max(stream.seek(0, io.SEEK_END) - TAIL_BYTES, 0)
    stream.seek(start)
    lines = _SCRIPT.sub("", stream.read(TAIL_BYTES).decode("utf-8", "replace")).splitlines()
    if start and len(lines) > 1:
        del lines[0]  # it began earlier
    clean = (_CONTROL.sub(" ", line).strip() for line in lines if _TELLING.search(line))
    return [line[:_LONGEST_LINE] for line in clean][-MAX_LINES:]

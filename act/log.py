"""Logging of every process of the tower: to stderr, as text or JSON lines, UTC, without floods of one message."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TextIO

REPEAT_S = 60.0
MAX_REMEMBERED = 1000  # messages; the oldest are forgotten first

Format = Literal["text", "json"]


def setup(process: str, level: str = "INFO", form: Format = "text", stream: TextIO | None = None) -> None:
    """Log everything from ``level`` on to stderr (or ``stream``) in the name of ``process``.

    Called again after a fork it starts afresh. Levels are those of `logging`.
    """
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, CalmHandler)]:
        root.removeHandler(old)
    handler = CalmHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process) if form == "json" else TextFormatter(process))
    root.addHandler(handler)
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "alembic"):  # a line per request, or per look at the schema
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # a connection that breaks is told by our own errors; the pool tells its roll-back too, with a traceback
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def rename(process: str) -> None:
    """Go on logging as before, in another process's name: for children right after the fork."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, CalmHandler):
            handler.forget()
            if isinstance(handler.formatter, _Formatter):
                handler.formatter.process = process


class _Formatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process


class TextFormatter(_Formatter):
    """``2026-01-31T12:00:00.123Z WARNING submitter-arc act.daemons.submitter: message``"""

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Texts of far sides end up in messages: none of them may look like a line of its own.
        message = record.message.replace("\n", "\\n").replace("\r", "\\r")
        return f"{_utc(record)} {record.levelname} {self.process} {record.name}: {message}"


class JsonFormatter(_Formatter):
    """One JSON object a line with time, level, process, pid, logger, message and, if there is one, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record),
            "level": record.levelname,
            "process": self.process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


@dataclass
class _Seen:
    record: logging.LogRecord
    first: float
    again: int = 0


class CalmHandler(logging.StreamHandler[TextIO]):
    """Writes a message once; identical ones within 60 s of it are counted and told as one line afterwards.

    The count comes out with the next record after the minute, or when logging shuts down.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._seen: dict[tuple[str, int, str], _Seen] = {}  # oldest first

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        for summary in self._due(now):
            super().emit(summary)
        seen = self._seen.setdefault((record.name, record.levelno, record.getMessage()), _Seen(record, now))
        if seen.record is record:
            super().emit(record)
        else:
            seen.again += 1

    def forget(self) -> None:
        """Start counting afresh."""
        self._seen.clear()

    def close(self) -> None:
        """Tell what is still counted, then close."""
        self.acquire()
        try:
            for summary in self._due(float("inf")):
                super().emit(summary)
        finally:
            self.release()
        super().close()

    def _due(self, now: float) -> Iterator[logging.LogRecord]:
        """Drop what was seen more than a minute ago; yields what was repeated, with the count."""
        while self._seen:
            key, seen = next(iter(self._seen.items()))
            if now - seen.first < REPEAT_S and len(self._seen) <= MAX_REMEMBERED:
                return
            del self._seen[key]
            if seen.again:
                old = seen.record
                message = f"{key[2]} ({seen.again} more within {REPEAT_S:.0f} s)"
                yield logging.LogRecord(old.name, old.levelno, old.pathname, old.lineno, message, None, None)


def _utc(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"

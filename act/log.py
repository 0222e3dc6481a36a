"""Logging of every process of the tower: to stderr and, if wanted, a file of its own that is rotated; as text or JSON
lines, UTC, without floods of one message."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

REPEAT_S = 60.0
MAX_REMEMBERED = 1000  # messages; the oldest are forgotten first
MOVES = "act.db.moves"  # the logger that tells every change of a job's state

Format = Literal["text", "json"]


class Rotation(Protocol):
    """Files ``<directory>/<process>.log`` of at most ``max_mb``, and ``keep`` older ones of each."""

    @property
    def directory(self) -> Path: ...
    @property
    def max_mb(self) -> int: ...
    @property
    def keep(self) -> int: ...


def setup(
    process: str,
    level: str = "INFO",
    form: Format = "text",
    stream: TextIO | None = None,
    *,
    moves: bool = False,
    file: Rotation | None = None,
) -> None:
    """Log everything from ``level`` on to stderr (or ``stream``), and to the file, in the name of ``process``.

    moves: every change of a job's state, whatever the level. Called again it starts afresh. Levels are those of
    `logging`.
    """
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, CalmHandler)]:
        root.removeHandler(old)
    outputs: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if file is not None:
        outputs.append(_File(file, process))
    for output in outputs:
        output.setFormatter(JsonFormatter(process) if form == "json" else TextFormatter(process))
    root.addHandler(CalmHandler(outputs))
    root.setLevel(level)
    logging.getLogger(MOVES).setLevel(logging.INFO if moves else logging.CRITICAL)
    for chatty in ("httpx", "httpcore", "alembic"):  # a line per request, or per look at the schema
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # a connection that breaks is told by our own errors; the pool tells its roll-back too, with a traceback
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def rename(process: str) -> None:
    """Go on logging as before, in another process's name: for children right after the fork."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, CalmHandler):
            handler.rename(process)


def about(job: int | Sequence[int], kind: str = "", **fields: Any) -> dict[str, Any]:
    """``extra`` for a log call: which job (or jobs) it is about, and what else a JSON line shall have.

    kind: a word of ``events`` that says whose number it is.
    """
    which = {"job": job} if isinstance(job, int) else {"jobs": list(job)}
    return {"fields": {**which, "kind": kind, **fields}}


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
    """One JSON object a line with time, level, process, pid, logger, message, what `about` says and, if there is one,
    exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record),
            "level": record.levelname,
            "process": self.process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _File(RotatingFileHandler):
    """The file of a process. One that cannot be written is told on stderr now and then, and costs nothing else."""

    def __init__(self, rotation: Rotation, process: str) -> None:
        self._rotation, self._told = rotation, float("-inf")
        super().__init__(
            self._path(process), maxBytes=rotation.max_mb << 20, backupCount=rotation.keep, delay=True, encoding="utf-8"
        )

    def _path(self, process: str) -> str:
        return str(self._rotation.directory / f"{process}.log")

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def rename(self, process: str) -> None:
        """Go on in the file of another process."""
        self.close()  # the next line opens it
        self.baseFilename = str(Path(self._path(process)).absolute())

    def handleError(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._told > REPEAT_S:
            self._told = time.monotonic()
            sys.stderr.write(f"the log file {self.baseFilename} cannot be written: {sys.exc_info()[1]}\n")


@dataclass
class _Seen:
    record: logging.LogRecord
    first: float
    again: int = 0


class CalmHandler(logging.Handler):
    """Passes a message on once; identical ones within 60 s of it are counted and told as one line afterwards.

    The count comes out with the next record after the minute, or when logging shuts down.
    """

    def __init__(self, outputs: Sequence[logging.Handler], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._outputs = outputs
        self._clock = clock
        self._seen: dict[tuple[str, int, str], _Seen] = {}  # oldest first

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        for summary in self._due(now):
            self._pass_on(summary)
        seen = self._seen.setdefault((record.name, record.levelno, record.getMessage()), _Seen(record, now))
        if seen.record is record:
            self._pass_on(record)
        else:
            seen.again += 1

    def rename(self, process: str) -> None:
        """Start counting afresh, for another process."""
        self._seen.clear()
        for output in self._outputs:
            if isinstance(output.formatter, _Formatter):
                output.formatter.process = process
            if isinstance(output, _File):
                output.rename(process)

    def close(self) -> None:
        """Tell what is still counted, then close."""
        self.acquire()
        try:
            for summary in self._due(float("inf")):
                self._pass_on(summary)
        finally:
            self.release()
        for output in self._outputs:
            if isinstance(output, _File):
                output.close()
        super().close()

    def _pass_on(self, record: logging.LogRecord) -> None:
        for output in self._outputs:
            output.handle(record)

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

"""Promises of act.log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from act.config.operating import LogFile
from act.log import MOVES, CalmHandler, JsonFormatter, TextFormatter, about, rename, setup


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield root
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.getLogger(MOVES).setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def calm(clock: Clock) -> tuple[CalmHandler, io.StringIO]:
    stream = io.StringIO()
    output = logging.StreamHandler(stream)
    output.setFormatter(TextFormatter("p"))
    return CalmHandler([output], clock), stream


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("act.x", level, __file__, 1, message, args, None)


def messages(stream: io.StringIO) -> list[str]:
    return [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()]


def test_text_lines_carry_utc_level_process_and_logger() -> None:
    handler, stream = calm(Clock())
    entry = record("%d jobs", 3)
    entry.created, entry.msecs = 1767225600.25, 250.0
    handler.handle(entry)
    assert stream.getvalue() == "2026-01-01T00:00:00.250Z INFO p act.x: 3 jobs\n"


def test_a_message_cannot_forge_a_line() -> None:
    handler, stream = calm(Clock())
    handler.handle(record("the CE says %s", "no\n2026-01-01T00:00:00.000Z INFO p act.x: all is well"))
    assert len(stream.getvalue().splitlines()) == 1


def test_json_lines_are_objects_with_the_exception() -> None:
    entry = record("broken")
    try:
        raise ValueError("why")
    except ValueError as error:
        entry.exc_info = (ValueError, error, error.__traceback__)
    line = json.loads(JsonFormatter("p").format(entry))
    assert (line["process"], line["level"], line["message"]) == ("p", "INFO", "broken")
    assert "ValueError: why" in line["exception"]
    assert line["time"].endswith("Z")


def test_repeated_messages_are_told_once_and_then_counted() -> None:
    clock = Clock()
    handler, stream = calm(clock)
    for _ in range(5):
        handler.handle(record("%s is silent", "ce1"))
    handler.handle(record("%s is silent", "ce2"))
    assert messages(stream) == ["ce1 is silent", "ce2 is silent"]
    clock.now = 61
    handler.handle(record("other"))
    assert messages(stream)[2:] == ["ce1 is silent (4 more within 60 s)", "other"]
    handler.handle(record("%s is silent", "ce1"))
    assert messages(stream)[4:] == ["ce1 is silent"]


def test_one_text_of_two_levels_is_two_messages() -> None:
    handler, stream = calm(Clock())
    handler.handle(record("x"))
    handler.handle(record("x", level=logging.ERROR))
    assert messages(stream) == ["x", "x"]


def test_counts_are_told_at_the_end() -> None:
    handler, stream = calm(Clock())
    handler.handle(record("x"))
    handler.handle(record("x"))
    handler.close()
    assert messages(stream) == ["x", "x (1 more within 60 s)"]


def test_memory_for_messages_is_bounded() -> None:
    handler, _ = calm(Clock())
    for number in range(3000):
        handler.handle(record("message %d", number))
    assert len(handler._seen) <= 1001


def test_setup_twice_logs_once_and_a_renamed_process_starts_counting_afresh(root: logging.Logger) -> None:
    stream = io.StringIO()
    setup("master", stream=io.StringIO())
    setup("master", "WARNING", stream=stream)
    logging.getLogger("act.y").info("quiet")
    logging.getLogger("act.y").warning("loud")
    rename("child")
    logging.getLogger("act.y").warning("loud")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "WARNING master act.y: loud",
        "WARNING child act.y: loud",
    ]


@pytest.mark.usefixtures("root")
def test_a_broken_connection_brings_no_traceback_of_the_pool() -> None:
    stream = io.StringIO()
    setup("master", stream=stream)
    logging.getLogger("sqlalchemy.pool.impl.QueuePool").error("Exception during reset", exc_info=OSError("gone"))
    assert stream.getvalue() == ""


def test_json_lines_name_the_job_they_are_about() -> None:
    entry = record("attempt 7 waits")
    entry.__dict__.update(about(7, "cejob", source="tosubmit"))
    line = json.loads(JsonFormatter("p").format(entry))
    assert (line["job"], line["kind"], line["source"]) == (7, "cejob", "tosubmit")
    entry.__dict__.update(about([7, 8], "cejob"))
    assert json.loads(JsonFormatter("p").format(entry))["jobs"] == [7, 8]


def test_moves_are_told_only_if_somebody_wants_them_whatever_the_level(root: logging.Logger) -> None:
    stream = io.StringIO()
    setup("p", "INFO", stream=stream)
    logging.getLogger(MOVES).info("not wanted")
    setup("p", "ERROR", stream=stream, moves=True)
    logging.getLogger(MOVES).info("wanted")
    assert messages(stream) == ["wanted"]


def test_every_process_has_a_file_of_its_own_beside_stderr(root: logging.Logger, tmp_path: Path) -> None:
    stream = io.StringIO()
    setup("master", stream=stream, file=LogFile(directory=tmp_path / "log"))
    logging.getLogger("act.y").info("from the master")
    rename("fetcher-arc")
    logging.getLogger("act.y").info("from the child")
    assert "from the master" in (tmp_path / "log/master.log").read_text()
    assert (tmp_path / "log/fetcher-arc.log").read_text().endswith("INFO fetcher-arc act.y: from the child\n")
    assert len(stream.getvalue().splitlines()) == 2


def test_files_are_rotated(root: logging.Logger, tmp_path: Path) -> None:
    setup("p", stream=io.StringIO(), file=LogFile(directory=tmp_path, max_mb=1, keep=2))
    for n in range(40):
        logging.getLogger("act.y").info("%d %s", n, "x" * 100_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.log", "p.log.1", "p.log.2"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1 << 20


def test_a_file_that_cannot_be_written_is_told_once_and_stderr_goes_on(
    root: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text("no directory")
    stream = io.StringIO()
    setup("p", stream=stream, file=LogFile(directory=tmp_path / "log"))
    for n in range(3):
        logging.getLogger("act.y").info("line %d", n)
    assert messages(stream) == ["line 0", "line 1", "line 2"]
    assert capsys.readouterr().err.count("cannot be written") == 1

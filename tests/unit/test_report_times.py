"""Times that agree with each other, and the extract of logs, for jobs whose pilot did not speak for itself."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_atlas.report import Times, consistent_times, log_extract
from act_atlas.report.extract import MAX_LINES, TAIL_BYTES

CREATED = 1_000_000.0


@pytest.mark.parametrize(("start", "end", "cpu_s", "wall_s", "cores", "times"), [
    (CREATED + 10, CREATED + 20, 10, None, 1, Times(CREATED + 10, CREATED + 20, 10)),
    (CREATED + 10, CREATED + 5, 0, None, 1, Times(CREATED + 10, CREATED + 10, 0)),
    (CREATED - 9, CREATED + 5, 1, None, 1, Times(CREATED, CREATED + 5, 1)),
    (CREATED + 90, CREATED + 100, 40, None, 2, Times(CREATED + 80, CREATED + 100, 40)),
    (CREATED + 90, CREATED + 100, 400, None, 2, Times(CREATED, CREATED + 100, 200)),
    (CREATED + 10, None, 5, 30, 1, Times(CREATED + 10, CREATED + 40, 5)),
    (None, CREATED + 40, 5, 30, 1, Times(CREATED + 10, CREATED + 40, 5)),
    (None, None, 5, 30, 1, Times(None, None, 5)),
    (None, None, 20_000_000, None, 1, Times(None, None, None)),
    (CREATED, CREATED + 9, -1, None, 0, Times(CREATED, CREATED + 9, None)),
])  # fmt: skip
def test_times_are_made_to_agree(
    start: float | None, end: float | None, cpu_s: int | None, wall_s: int | None, cores: int, times: Times
) -> None:
    assert consistent_times(start, end, cpu_s, wall_s, cores, created=CREATED) == times


SOME = st.none() | st.floats(-1e7, 1e8)


@given(SOME, SOME, SOME, st.none() | st.floats(0, 1e6), st.integers(0, 100))
def test_times_always_agree(
    start: float | None, end: float | None, cpu_s: float | None, wall_s: float | None, cores: int
) -> None:
    told = consistent_times(start, end, cpu_s, wall_s, cores, created=CREATED)
    assert told.start is None or told.start >= CREATED
    if told.start is not None and told.end is not None:
        assert told.end >= told.start
        assert told.cpu_s is None or 0 <= told.cpu_s <= int(told.end - int(told.start)) * max(cores, 1)


def extract(out: bytes | None, errors: bytes | None) -> list[str]:
    found = log_extract(
        None if out is None else io.BytesIO(out), None if errors is None else io.BytesIO(errors)
    )  # fmt: skip
    return found.splitlines()


def test_the_extract_has_the_telling_lines_of_both_logs() -> None:
    out = b"all is well\nWARNING: disk\ntransfer Failed\n"
    assert extract(out, b"Job state change A -> B\nLRMS error: (271)\n") == [
        "LRMS error: (271)", "WARNING: disk", "transfer Failed",
    ]  # fmt: skip
    assert extract(None, None) == extract(b"", None) == extract(b"nothing here", b"") == []


@pytest.mark.parametrize(("of_job", "of_ce", "shares"), [(100, 100, (10, 10)), (100, 3, (17, 3)), (3, 100, (3, 17)),
                                                         (0, 100, (0, 20)), (100, 0, (20, 0))])  # fmt: skip
def test_the_last_lines_count_and_no_log_crowds_out_the_other(of_job: int, of_ce: int, shares: tuple[int, int]) -> None:
    found = extract(
        b"".join(b"job error %d\n" % n for n in range(of_job)), b"".join(b"CE error %d\n" % n for n in range(of_ce))
    )
    assert (sum("job" in f for f in found), sum("CE" in f for f in found)) == shares
    assert len(found) <= MAX_LINES
    assert not of_job or found[-1] == f"job error {of_job - 1}"


class Counted(io.BytesIO):
    """Counts what is read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_only_the_end_of_a_large_log_is_read() -> None:
    log = Counted(b"error at the start\n" + b"x" * (4 * TAIL_BYTES) + b"\nerror at the end\n")
    assert log_extract(log, None) == "error at the end"
    assert log.taken <= TAIL_BYTES


def test_the_batch_script_in_the_ces_log_tells_nothing() -> None:
    dashes = b"-" * 67
    script = b'echo "Failed to move $f" 1>&2\n'
    log = b"job script built:\n%s\n%s\n%s\nLRMS error: (271)\n" % (dashes, script * 50, dashes)
    assert extract(b"", log) == ["LRMS error: (271)"]


def test_lines_are_short_and_printable() -> None:
    (line,) = extract(b"error \x1b[31m\x00\xff red \xc2\x85" + b"y" * 9999, None)
    assert len(line) <= 300
    assert line.isprintable()

"""What every type of compute element promises of files: those that the tower brings, and those that jobs leave."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import BinaryIO, cast

import pytest
from ce_sites import Site, kinds

from act.errors import BadJobSpec, JobError, JobGone, OutputMissing, StorageUnavailable
from act.interfaces import ComputeElement
from act.model import CEStatus, Created, InputFile, JobSpec, OutputFile
from act.states import Event
from tests.fakes import Stored

BINARY = random.Random(1).randbytes(5_000_000)
SCRIPT = b"""#!/bin/sh -e
cat > from-stdin
mkdir -p out/deep
cp data/big.bin out/deep/copy
cat in.txt 'data/it is.txt' > out/text
wc -c < empty > 'out/si ze'
"""


def stored(site: Site, name: str, content: bytes, *, executable: bool = False) -> InputFile:
    """An input that is in the store."""
    site.inputs[f"inputs/{name}"] = content
    return InputFile(name, stored=f"inputs/{name}", size=len(content), executable=executable)


def job(executable: str = "/bin/sh", **more: object) -> JobSpec:
    return JobSpec(name="files", executable=executable, walltime_s=600, memory_mb_total=100, **more)  # type: ignore[arg-type]


def shell(script: str, *outputs: str, **more: object) -> JobSpec:
    named = tuple(OutputFile(name) for name in outputs)
    return job(arguments=("-c", script), outputs=named, **more)


def copier(site: Site) -> JobSpec:
    """A job with files of all sorts."""
    inputs = (
        stored(site, "run/copy.sh", SCRIPT, executable=True),
        stored(site, "data/big.bin", BINARY),
        stored(site, "in.txt", b"text\n"),
        stored(site, "empty", b""),
        stored(site, "stdin.bin", b"\0\xff\r\n"),
        InputFile("data/it is.txt", content="in the job\n"),
    )
    return job("run/copy.sh", inputs=inputs, stdin="stdin.bin", outputs=(OutputFile("out/"), OutputFile("from-stdin")))


HOSTILE = shell(
    "mkdir -p out 'out/ok' \"out/$(printf 'a\\nb')\"; echo 1 > out/ok/plain; echo 2 > \"out/$(printf 'x\\ny')\"; "
    "echo 3 > 'out/quote\"'; echo 4 > 'out/back\\slash'; echo 5 > out/ü; echo 6 > \"out/$(printf '\\377')\"; "
    "echo 7 > out/..c; echo 8 > \"out/$(printf 'a\\nb')/d\"; echo 9 > \"out/$(printf 'e\\033[31m')\"",
    "out/",
)


def run(site: Site, ce: ComputeElement, delegation: str, *specs: JobSpec) -> list[str]:
    """Jobs that ran to their end, with success."""
    ids = site.create(ce, delegation, *specs)
    site.arm(ce, dict(zip(ids, specs, strict=True)))
    for status in site.wait(ce, ids).values():
        assert (status.event, status.exit_code) == (Event.FINISHED, 0), status
    return ids


def fetched(ce: ComputeElement, ce_job_id: str, name: str) -> bytes:
    out = io.BytesIO()
    assert ce.fetch(ce_job_id, name, out) == len(out.getvalue())
    return out.getvalue()


@pytest.fixture(scope="module")
def ran(site: Site, ce: ComputeElement, delegation: str) -> dict[str, str]:
    specs = {
        "copier": copier(site),
        "all": shell("echo a > a; echo b > b.txt", "/"),
        "hostile": HOSTILE,
        "one": shell("mkdir -p d/e; echo one > d/e/one; echo two > d/two", "d/e/one"),
    }
    return dict(zip(specs, run(site, ce, delegation, *specs.values()), strict=True))


def test_stored_inputs_reach_the_job_byte_by_byte_under_their_names(ran: dict[str, str], ce: ComputeElement) -> None:
    ended = ran["copier"]
    assert fetched(ce, ended, "out/deep/copy") == BINARY
    assert fetched(ce, ended, "out/text") == b"text\nin the job\n"
    assert fetched(ce, ended, "out/si ze").strip() == b"0"


def test_an_input_can_be_the_standard_input(ran: dict[str, str], ce: ComputeElement) -> None:
    assert fetched(ce, ran["copier"], "from-stdin") == b"\0\xff\r\n"


def test_a_directory_that_is_an_output_is_there_with_all_below_it(ran: dict[str, str], ce: ComputeElement) -> None:
    expected = ["out/deep/copy", "out/si ze", "out/text"]
    assert ce.files(ran["copier"], "out/") == ce.files(ran["copier"], "out") == expected
    assert ce.files(ran["copier"], "out/deep/") == ["out/deep/copy"]
    assert {"from-stdin", "stdout.txt", *expected} <= set(ce.files(ran["copier"], ""))


def test_all_that_a_job_left_can_be_listed(ran: dict[str, str], ce: ComputeElement) -> None:
    assert {"a", "b.txt", "stdout.txt"} <= set(ce.files(ran["all"], ""))
    assert fetched(ce, ran["all"], "b.txt") == b"b\n"


def test_one_file_of_a_directory_can_be_an_output(ran: dict[str, str], ce: ComputeElement) -> None:
    assert ce.files(ran["one"], "d/") == ["d/e/one"]
    assert fetched(ce, ran["one"], "d/e/one") == b"one\n"


def test_names_that_are_no_good_to_anybody_are_left_out(ran: dict[str, str], ce: ComputeElement) -> None:
    names = ce.files(ran["hostile"], "out/")
    assert names == ["out/..c", "out/back\\slash", "out/ok/plain", 'out/quote"', "out/ü"]
    assert [fetched(ce, ran["hostile"], name).strip() for name in names] == [b"7", b"4", b"1", b"3", b"5"]


@pytest.mark.parametrize("site", kinds(https=True), indirect=True)
def test_links_are_not_listed(site: Site, ce: ComputeElement, delegation: str) -> None:
    """HTCondor brings what they lead to, or nothing of the job at all."""
    spec = shell("mkdir out; echo 1 > out/a; ln -s /etc/passwd out/link; ln -s / out/root; ln -s . out/loop", "out/")
    assert ce.files(run(site, ce, delegation, spec)[0], "out/") == ["out/a"]


@pytest.mark.parametrize("site", kinds(route="pool"), indirect=True)
def test_the_output_of_a_running_job_in_a_pool_can_be_read_if_it_streams(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    follow(site, ce, delegation, {"StreamOut": "true"})


def test_a_folder_that_is_not_there_is_empty_and_a_job_that_is_not_there_is_gone(
    ran: dict[str, str], ce: ComputeElement
) -> None:
    for folder in ("nothing/", "nothing/at/all/", "stdout.txt/", "../", "out/../../"):
        assert ce.files(ran["copier"], folder) == []
    with pytest.raises(JobGone):
        ce.files("no-such-job", "")


def answer(site: Site, ce: ComputeElement, delegation: str, spec: JobSpec) -> JobError:
    """Why a job is refused, when it is made or when it is armed."""
    [made] = ce.create([site.submission(spec)], delegation)
    if isinstance(made, Created):
        site.made.append(made.ce_job_id)
        told = ce.arm({made.ce_job_id: spec})[made.ce_job_id]
        status = ce.inspect([made.ce_job_id])[made.ce_job_id]
        assert isinstance(status, CEStatus) and status.armed is not True
    else:
        told = made
    assert told is not None
    return told


def test_an_input_that_the_store_has_lost_is_told_and_the_job_does_not_run(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    lost = InputFile("lost.txt", stored="inputs/lost.txt", size=3)
    assert isinstance(answer(site, ce, delegation, job(inputs=(lost,))), OutputMissing)


class Breaking(Stored):
    """A store that breaks down in the middle of each file."""

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with super().open(name) as file:
            yield cast(BinaryIO, _Half(file))


class _Half:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if self._file.tell() > len(BINARY) // 2:
            raise OSError("the disk is gone")
        return self._file.read(size)


def test_a_job_whose_upload_broke_off_does_not_run_and_it_can_be_repeated(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    spec = shell("cat big > out.txt", "out.txt", inputs=(stored(site, "big", BINARY),))
    submission = site.submission(spec)
    answers: list[Created | JobError] = []
    with replace(site, inputs=Breaking(site.inputs)).ce() as other, pytest.raises(StorageUnavailable):
        answers += other.create([submission], delegation)
        other.arm({answer.ce_job_id: spec for answer in answers if isinstance(answer, Created)})
    if not answers:  # nothing was made, so it can be made again
        answers += ce.create([submission], delegation)
    [made] = [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
    site.made.append(made)
    time.sleep(1)
    status = ce.inspect([made])[made]
    assert isinstance(status, CEStatus) and status.armed is None
    site.arm(ce, {made: spec})
    site.wait(ce, [made])
    assert fetched(ce, made, "out.txt") == BINARY


@pytest.mark.parametrize("size", [4, 6, 10_000_000])
def test_an_input_of_another_size_than_the_job_was_made_with_is_told(
    site: Site, ce: ComputeElement, delegation: str, size: int
) -> None:
    there = stored(site, "sized", b"12345")
    told = answer(site, ce, delegation, job(inputs=(InputFile("sized", stored=there.stored, size=size),)))
    assert isinstance(told, BadJobSpec)


def test_a_source_that_is_no_url_is_never_read_here(site: Site, ce: ComputeElement, delegation: str) -> None:
    for source in ("/etc/passwd", "passwd", "//etc/passwd", ""):
        [made] = ce.create([site.submission(job(inputs=(InputFile("a", source=source),)))], delegation)
        assert isinstance(made, BadJobSpec)


@pytest.mark.parametrize("site", kinds(live=True), indirect=True)
def test_a_file_of_a_running_job_can_be_read_as_far_as_it_is(site: Site, ce: ComputeElement, delegation: str) -> None:
    follow(site, ce, delegation, {})


def follow(site: Site, ce: ComputeElement, delegation: str, extra: dict[str, str]) -> None:
    """Read what a job writes while it runs."""
    spec = shell("echo begun; sleep 300", extra=extra)
    [running] = site.create(ce, delegation, spec)
    site.arm(ce, {running: spec})
    site.wait(ce, [running], [Event.RUNNING])
    end = time.monotonic() + site.within_s
    so_far = b""
    while so_far != b"begun\n":
        assert time.monotonic() < end
        time.sleep(0.2)
        with suppress(OutputMissing):
            so_far = fetched(ce, running, spec.stdout)
    status = ce.status([running])[running]
    assert isinstance(status, CEStatus) and status.event is Event.RUNNING
    ce.kill([running])


@pytest.mark.parametrize("site", kinds(live=False), indirect=True)
def test_where_files_of_running_jobs_cannot_be_read_they_are_missing_and_streams_are_kept(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    spec = shell("echo begun", extra={"StreamOut": "true"})
    [made] = site.create(ce, delegation, spec)
    with pytest.raises(OutputMissing):
        fetched(ce, made, spec.stdout)
    site.arm(ce, {made: spec})
    site.wait(ce, [made])
    assert fetched(ce, made, spec.stdout) == b"begun\n"

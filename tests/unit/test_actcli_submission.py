"""How actcli reads jobs from files and command lines, and puts them into requests that stay small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from act.cli.user import straight
from act.cli.user.api import Api, Watch
from act.cli.user.descriptions import NewJob, Upload, local_path, read
from act.cli.user.errors import Refused, Unreachable
from act.cli.user.multipart import Multipart
from act.cli.user.progress import Bar
from act.cli.user.selection import Selection
from act.cli.user.straight import Wish
from act.cli.user.submission import MOST_BYTES, MOST_COPIED, Batch, Submission, Submitted, batches
from act.errors import BadJobSpec

XRSL = '&(executable="run.sh")(jobname="{name}")(inputfiles=("in.txt" "{source}"))'


def job(*uploads: tuple[str, str, int], text: str = "x") -> NewJob:
    """A job with these uploads: name, path, size."""
    return NewJob(text, "xrsl", "label", tuple(Upload(name, Path(path), size) for name, path, size in uploads))


def packed(*jobs: NewJob) -> list[int]:
    """Jobs in each batch."""
    return [len(b.jobs) for b in batches([Submitted(j) for j in jobs])]


# --- descriptions


def test_local_inputs_are_those_without_a_url() -> None:
    assert local_path("a/b.txt") == "a/b.txt"
    assert local_path("file:///tmp/x") == "/tmp/x"
    assert local_path("file:/tmp/x") == "/tmp/x"
    assert local_path("https://example.org/x") is None


def test_inputs_are_looked_for_from_the_directory_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("12345")
    (tmp_path / "job.xrsl").write_text(XRSL.format(name="a", source="data/x"))
    (found,) = read([str(tmp_path / "job.xrsl")])
    assert {u.name: (u.path, u.size) for u in found.uploads} == {
        "in.txt": (tmp_path / "data/x", 5),
        "run.sh": (tmp_path / "run.sh", 10),
    }


def test_all_that_is_wrong_with_all_files_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "a.xrsl").write_text(XRSL.format(name="a", source="missing"))
    (tmp_path / "b.xrsl").write_text(XRSL.format(name="b", source="."))
    (tmp_path / "c.xrsl").write_text("&(executable=")
    with pytest.raises(BadJobSpec) as told:
        read([str(tmp_path / name) for name in ("a.xrsl", "b.xrsl", "c.xrsl", "d.xrsl")])
    a, b, c, d = (str(told.value).index(f"{tmp_path / name}: ") for name in ("a.xrsl", "b.xrsl", "c.xrsl", "d.xrsl"))
    assert a < b < c < d
    assert "missing is not there" in str(told.value)
    assert "is a directory" in str(told.value)
    assert "No such file" in str(told.value)


def test_a_file_without_a_telling_end_is_read_in_the_language_it_makes_sense_in(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "in.txt").write_text("")
    (tmp_path / "job").write_text(XRSL.format(name="a", source=""))
    assert read([str(tmp_path / "job")])[0].language == "xrsl"
    (tmp_path / "job2").write_text("this is a letter to my aunt")
    with pytest.raises(BadJobSpec, match="Say --lang"):
        read([str(tmp_path / "job2")])


def test_several_jobs_of_a_file_become_one_text_each(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "in.txt").write_text("")
    many = "".join(f"({XRSL.format(name=n, source='')})" for n in "abc")
    (tmp_path / "job.xrsl").write_text(f"+{many}")
    found = read([str(tmp_path / "job.xrsl")])
    assert [j.label.rpartition("#")[2] for j in found] == ["1", "2", "3"]
    assert all(len({u.name for u in j.uploads}) == 2 for j in found)
    assert '"b"' in found[1].description


# --- straight from the command line


def test_a_script_that_is_here_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.sh").write_text("x")
    (tmp_path / "d.txt").write_text("yy")
    (made,) = straight.jobs(Wish(("./s.sh", "d.txt"), inputs=("d.txt", "r=https://a.b/c")), [None])
    told = json.loads(made.description)
    assert (told["executable"], told["arguments"], told["name"]) == ("s.sh", ["d.txt"], "s.sh")
    assert [u.name for u in made.uploads] == ["s.sh", "d.txt"]
    assert {i["name"]: i.get("source", "") for i in told["inputs"]} == {"s.sh": "", "d.txt": "", "r": "https://a.b/c"}
    assert told["inputs"][0]["executable"]


def test_a_program_of_the_ce_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command, executable, arguments in (
        (("/bin/echo", "hi"), "/bin/echo", ["hi"]),
        (("python3", "-V"), "/usr/bin/env", ["python3", "-V"]),
    ):
        (made,) = straight.jobs(Wish(command), [None])
        told = json.loads(made.description)
        assert (told["executable"], told["arguments"], made.uploads) == (executable, arguments, ())


def test_an_array_has_its_index_in_name_arguments_and_environment() -> None:
    made = straight.jobs(Wish(("/bin/echo", "a{}b"), environment=("X=y=z",), name="n"), [5, 6])
    told = json.loads(made[1].description)
    assert (told["name"], told["arguments"]) == ("n-6", ["a6b"])
    assert told["environment"] == {"X": "y=z", "ACT_ARRAY_INDEX": "6"}


@pytest.mark.parametrize(
    ("more", "why"),
    [({"inputs": ("a=",)}, "is no FILE or URL"), ({"environment": ("X",)}, "give NAME=VALUE"),
     ({"inputs": ("x=https://a.b/c", "x=https://a.b/d")}, "two inputs are called x")],
)  # fmt: skip
def test_bad_options_are_told(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        straight.jobs(Wish(("/bin/echo",), **more), [None])


def test_what_is_not_here_is_not_submitted() -> None:
    with pytest.raises(ValueError, match="there is no file"):
        straight.jobs(Wish(("./nowhere.sh",)), [None])
    with pytest.raises(BadJobSpec, match="is not there"):
        straight.jobs(Wish(("/bin/echo",), inputs=("nowhere.txt",)), [None])


# --- batches


def test_a_file_each_makes_batches_of_100() -> None:
    assert packed(*(job(("in", f"/{n}", 10)) for n in range(250))) == [100, 100, 50]


def test_shared_files_and_none_make_batches_of_1000() -> None:
    assert packed(*[job(("in", "/same", 10))] * 1500) == [1000, 500]
    assert packed(*[job()] * 1500) == [1000, 500]


def test_batches_are_bounded_by_what_is_sent_and_what_is_stored() -> None:
    assert packed(*(job(("in", f"/{n}", MOST_BYTES // 4)) for n in range(5))) == [4, 1]
    assert packed(*[job(("in", "/same", MOST_COPIED // 20))] * 30) == [20, 10]


def test_jobs_with_large_inputs_or_odd_names_go_apart() -> None:
    large, odd, plain = job(("in", "/l", MOST_BYTES + 1)), job(('a"b', "/o", 1)), job(("in", "/p", 1))
    found = list(batches([Submitted(j) for j in (plain, large, odd, plain)]))
    assert sorted((len(b.jobs), b.apart) for b in found) == [(1, True), (1, True), (2, False)]


def test_those_with_and_without_inputs_do_not_share_a_request() -> None:
    assert packed(job(), job(("in", "/p", 1)), job()) == [1, 1, 1]


def test_what_is_the_same_for_all_is_sent_once() -> None:
    batch = Batch([Submitted(job(("run", "/r", 1), ("in", f"/{n}", 1))) for n in range(2)])
    assert batch.parts() == [("*", "run", Path("/r")), ("0", "in", Path("/0")), ("1", "in", Path("/1"))]


def test_a_body_has_the_length_that_it_tells(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 300_000)
    body = Multipart({"jobs": ["ä"]}, [("0", "é.txt", path), ("*", "g", path)])
    told: list[int] = []
    assert len(b"".join(body.pieces(told.append))) == body.size
    assert sum(told) == 600_000


@pytest.mark.parametrize("size", [10, 300_001])
def test_a_file_that_changes_while_it_is_sent_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 300_000)
    body = Multipart({}, [("0", "f", path)])
    path.write_bytes(b"x" * size)
    with pytest.raises(Refused, match="changed while it was sent"):
        list(body.pieces(lambda _: None))


# --- what becomes of them


class FakeServer:
    """Takes jobs; ``fails`` is raised by the first request with files, after it began some of its jobs."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.begun: dict[str, list[int]] = {}
        self.sent: set[int] = set()
        self.killed: list[int] = []

    def submit(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        ids = self.begun.setdefault(request["key"], [len(self.begun) * 1000 + n for n in range(len(request["jobs"]))])
        return [{"id": i, "state": "tosubmit" if i in self.sent else "begun", "name": "n"} for i in ids]

    def submit_with(self, request: dict[str, Any], parts: Any, watch: Watch) -> list[dict[str, Any]]:
        ids = [answer["id"] for answer in self.submit(request)]
        if self.fails:
            fails, self.fails = self.fails, None
            self.sent.add(ids[0])
            raise fails
        self.sent |= set(ids)
        return self.submit(request)

    def change(self, verb: str, selection: Selection) -> tuple[list[Any], list[Any]]:
        assert verb == "kill"
        self.killed += [i for first, last in selection.ids for i in range(first, last + 1)]
        return [], []


def test_what_a_broken_request_left_begun_is_taken_back() -> None:
    jobs = [job(("in", f"/{n}", 1)) for n in range(3)]
    server = FakeServer(Unreachable("no answer"))
    submission = Submission(cast(Api, server), (), jobs)
    with pytest.raises(Unreachable):
        submission.run(Bar(), 1)
    assert [one.done for one in submission.jobs] == [True, False, False]
    assert server.killed == [1, 2]


def test_what_a_refused_request_left_begun_is_taken_back_and_the_rest_goes_on() -> None:
    server = FakeServer(Refused("too much"))
    submission = Submission(cast(Api, server), (), [job(("in", f"/{n}", 1)) for n in range(103)])
    submission.run(Bar(), 1)
    assert [one.error for one in submission.jobs] == ["", *["too much"] * 99, "", "", ""]
    assert server.killed == list(range(1, 100))


def test_jobs_whose_files_did_not_arrive_are_not_left_begun() -> None:
    class Forgetful(FakeServer):
        def submit_with(self, request: dict[str, Any], parts: Any, watch: Watch) -> list[dict[str, Any]]:
            return self.submit(request)

    server = Forgetful()
    submission = Submission(cast(Api, server), (), [job(("in", "/x", 1))])
    submission.run(Bar(), 1)
    assert server.killed == [0]
    assert "did not arrive" in submission.jobs[0].error

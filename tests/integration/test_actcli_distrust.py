"""actcli before a server that breaks off, lies, or is none: nothing wrong is kept, nothing is written elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from act.cli.user import transport
from act.cli.user.main import main
from tests.integration.bad_tower import bad_tower

Actcli = Callable[..., Result]


@pytest.fixture
def actcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Actcli:
    """Runs actcli in an empty directory, with a token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("ACTCLI_TOKEN", "some-token")

    def run(server: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["--server", server, *arguments])

    return run


def test_200_jobs_come_complete_over_connections_that_break(actcli: Actcli, tmp_path: Path) -> None:
    results = {i: {"out.txt": b"%d " % i * 3000, "logs/run.log": b"log %d" % i} for i in range(1, 201)}
    with bad_tower(results=results, cut=5000, cuts=1) as tower:
        done = actcli(tower.url, "get", "--all", "-d", "here")
        assert done.exit_code == 0, done.output
        assert sorted(tower.cleaned) == list(results)
        assert len(tower.ranges) >= 200
    for i, files in results.items():
        assert {n: (tmp_path / "here" / str(i) / n).read_bytes() for n in files} == files
        assert sorted(p.name for p in (tmp_path / "here" / str(i)).iterdir()) == ["logs", "out.txt"]


def test_a_file_that_never_comes_fails_its_job_only_and_the_next_get_goes_on(
    actcli: Actcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("act.cli.user.download.TRIES", 2)
    data = bytes(range(256)) * 100
    with bad_tower(results={1: {"big": data}, 2: {"small": b"x"}}, cut=9000, cuts=1) as tower:
        tower.answers["jobs/1/results/big"] = (200, b"")
        first = actcli(tower.url, "get", "1-2", "--use-jobname")
        assert first.exit_code == 1
        assert "job 1: the transfer of big ended early" in first.output
        assert tower.cleaned == [2]
        (tmp_path / "scan_1" / ".big.actpart").write_bytes(data[:1234])
        del tower.answers["jobs/1/results/big"], tower.results[2]
        second = actcli(tower.url, "get", "1", "--use-jobname")
        assert second.exit_code == 0, second.output
        assert tower.ranges[0] == "bytes=1234-"
    assert (tmp_path / "scan_1" / "big").read_bytes() == data
    assert [p.name for p in (tmp_path / "scan_1").iterdir()] == ["big"]


def test_what_has_the_wrong_digest_is_not_kept_and_its_job_not_cleaned(actcli: Actcli, tmp_path: Path) -> None:
    with bad_tower(results={1: {"out.txt": b"true"}}, digests={"out.txt": "0" * 64}) as tower:
        done = actcli(tower.url, "get", "1")
        assert done.exit_code == 1
        assert "has not the digest" in done.output
        assert tower.cleaned == []
        assert tower.asked["jobs/1/results/out.txt"] == 2
    assert not (tmp_path / "1" / "out.txt").exists()
    assert not (tmp_path / "1" / ".out.txt.actpart").exists()


def test_a_broken_piece_from_an_earlier_try_is_fetched_anew(actcli: Actcli, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / ".out.txt.actpart").write_bytes(b"rubbi")
    with bad_tower(results={1: {"out.txt": b"0123456789"}}) as tower:
        assert actcli(tower.url, "get", "1").exit_code == 0
    assert (tmp_path / "1" / "out.txt").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "a//b", ".", "a/..", "evil\x1b[2J", "new\nline", "x" * 250, ".x.actpart",
     "a/.job1.actpart", ""],
)  # fmt: skip
def test_names_that_lead_elsewhere_leave_nothing_written(actcli: Actcli, tmp_path: Path, name: str) -> None:
    with bad_tower(results={1: {"good": b"1", name: b"evil"}}) as tower:
        done = actcli(tower.url, "get", "1", "-d", "a/b/here")
        assert done.exit_code == 1, done.output
        assert "\x1b" not in done.output
        assert tower.cleaned == []
    assert list(tmp_path.rglob("*")) == []


def test_a_file_cannot_be_the_directory_of_another(actcli: Actcli, tmp_path: Path) -> None:
    with bad_tower(results={1: {"a": b"1", "a/b": b"2"}}) as tower:
        done = actcli(tower.url, "get", "1")
    assert done.exit_code == 1
    assert "not both can be written" in done.output


def test_links_in_the_directory_are_not_followed(actcli: Actcli, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "logs").symlink_to(outside)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / ".out.actpart").symlink_to(outside / "out")
    with bad_tower(results={1: {"logs/run.log": b"x"}, 2: {"out": b"x"}}) as tower:
        done = actcli(tower.url, "get", "1-2")
        assert done.exit_code == 1
        assert tower.cleaned == []
    assert list(outside.iterdir()) == []


def test_what_is_there_already_is_never_overwritten(actcli: Actcli, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "out").write_text("mine")
    with bad_tower(results={1: {"out": b"theirs"}}) as tower:
        done = actcli(tower.url, "get", "1")
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert (tmp_path / "1" / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("status", "body", "code", "told"),
    [
        (401, b'{"detail": "Auth token is expired"}', 3, "Auth token is expired (the token in $ACTCLI_TOKEN): run"),
        (403, b'{"detail": "you are in no group", "code": "forbidden"}', 1, "you are in no group"),
        (404, b"<html>not here</html>", 4, "is it the URL of a tower's web server?"),
        (302, b"", 4, "is it the URL of a tower's web server?"),
        (200, b"<html>hello</html>", 4, "is it the URL of a tower's web server?"),
        (200, b"[1, 2]", 4, "is it the URL of a tower's web server?"),
        (200, b'{"jobs": [7]}', 4, "without 'jobs': is it a tower?"),
        (503, b'{"detail": "the database is away"}', 4, "cannot serve now (503: the database is away)"),
        (500, b'{"detail": "Server error; tell them abc123"}', 1, "Server error; tell them abc123"),
    ],
)
def test_answers_that_say_no_end_with_advice_and_their_exit_code(
    actcli: Actcli, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, code: int, told: str
) -> None:
    monkeypatch.setattr(transport, "TRIES", 1)
    with bad_tower(answers={"jobs": (status, body)}) as tower:
        done = actcli(tower.url, "stat")
    assert (done.exit_code, told in done.output) == (code, True), done.output
    assert done.output.count("\n") == 1
    assert "Traceback" not in done.output


def test_a_server_that_is_not_there_is_told(actcli: Actcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TRIES", 1)
    with bad_tower() as tower:
        url = tower.url
    done = actcli(url, "info")
    assert done.exit_code == 4
    assert "gives no answer" in done.output
    assert "is the URL right" in done.output


def test_json_and_csv_are_for_programs(actcli: Actcli) -> None:
    job = {"id": 7, "name": 'a "b", c\nd', "state": "done", "created": 1.5, "exit_code": 0, "wall_s": None}
    with bad_tower(answers={"jobs": (200, json.dumps({"jobs": [job], "next": None}).encode())}) as tower:
        assert json.loads(actcli(tower.url, "stat", "--format", "json").output) == [job]
        table = actcli(tower.url, "stat", "--format", "csv", "--columns", "id,name,wall_s").output
        assert table == 'id,name,wall_s\n7,"a ""b"", c\nd",\n'

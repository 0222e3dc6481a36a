"""Directories and proxies of jobs: nothing in them can lead out of them, and only their owners see them."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from act.errors import BadJobSpec, CEUnreachable, JobGone, OutputMissing, StorageUnavailable
from act_condor.files import Directories, Proxies

TOKEN = "act.db.1.1.0123456789abcdef"


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    return Directories(tmp_path, 1, None)


def fetched(directories: Directories, name: str) -> bytes:
    out = io.BytesIO()
    assert directories.fetch(TOKEN, name, out) == len(out.getvalue())
    return out.getvalue()


def test_a_directory_is_for_its_owner_only_and_found_by_its_token(directories: Directories, tmp_path: Path) -> None:
    path = directories.make(TOKEN, {"in.txt": b"hello"})
    assert path == tmp_path / "condor/1/01" / TOKEN == directories.of(TOKEN)
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.parent.stat().st_mode & 0o777 == 0o711
    assert fetched(directories, "in.txt") == b"hello"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_belong_to_the_owner_of_jobs(tmp_path: Path) -> None:
    path = Directories(tmp_path, 1, 12345).make(TOKEN, {"in.txt": b"hello"})
    assert (path.stat().st_uid, (path / "in.txt").stat().st_uid) == (12345, 12345)
    proxies = Proxies(tmp_path, "1-1", 12345)
    file = proxies.path(proxies.make(b"pem"))
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (12345, 0o600)


@pytest.mark.parametrize(
    "name",
    [
        "no-such-file",
        "a/b",
        "in.txt/b",
        "../secret",
        "d/../../secret",
        "/in.txt",
        "d//x",
        "..",
        ".",
        "",
        "\0",
        "x" * 300,
    ],
)
def test_what_is_no_file_of_the_job_is_missing(directories: Directories, name: str) -> None:
    directories.make(TOKEN, {"in.txt": b""})
    (directories.of(TOKEN) / "d").mkdir()
    (directories.of(TOKEN).parent / "secret").write_text("secret")
    with pytest.raises(OutputMissing):
        fetched(directories, name)


def test_what_a_job_made_to_lead_elsewhere_is_missing(directories: Directories, tmp_path: Path) -> None:
    path = directories.make(TOKEN, {})
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (path / "link").symlink_to(secret)
    (path / "hard").hardlink_to(secret)
    (path / "directory").mkdir()
    os.mkfifo(path / "pipe")
    for name in ("link", "hard", "directory", "pipe"):
        with pytest.raises(OutputMissing):
            fetched(directories, name)


def test_files_in_directories_are_found_and_read_and_nothing_else(directories: Directories, tmp_path: Path) -> None:
    path = directories.make(TOKEN, {"act-launch.sh": b"", "a": b"1"})
    (path / "out/deep").mkdir(parents=True)
    for name in ("out/b", "out/deep/c", "out/line\nfeed", "out/\udcff"):
        (path / name).write_text(name.encode(errors="replace").decode())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("secret")
    (path / "out/link").symlink_to(elsewhere / "secret")
    (path / "out/folder").symlink_to(elsewhere)
    (path / "out/hard").hardlink_to(elsewhere / "secret")
    os.mkfifo(path / "out/pipe")
    assert directories.files(TOKEN, "", {"act-launch.sh"}) == ["a", "out/b", "out/deep/c"]
    assert directories.files(TOKEN, "out/", ()) == ["out/b", "out/deep/c"]
    assert fetched(directories, "out/deep/c") == b"out/deep/c"
    for folder in ("nothing/", "a/", "..", "out/../../", "out/folder/", "/etc"):
        assert directories.files(TOKEN, folder, ()) == []
    for name in ("out/folder/secret", "out/link", "out/hard"):
        with pytest.raises(OutputMissing):
            fetched(directories, name)


def test_more_levels_than_anybody_wants_are_no_list(directories: Directories) -> None:
    (directories.make(TOKEN, {}) / "/".join("d" * 60)).mkdir(parents=True)
    with pytest.raises(OutputMissing, match="50 levels"):
        directories.files(TOKEN, "", ())


def test_files_of_the_store_are_copied_at_their_size_and_in_time(directories: Directories) -> None:
    directories.make(TOKEN, {})
    far = time.monotonic() + 60
    directories.bring(TOKEN, "big", io.BytesIO(bytes(600_000)), 600_000, far)
    assert fetched(directories, "big") == bytes(600_000)
    with pytest.raises(BadJobSpec, match="5 bytes"):
        directories.bring(TOKEN, "small", io.BytesIO(b"1234"), 5, far)
    with pytest.raises(StorageUnavailable, match="in time"):
        directories.bring(TOKEN, "late", io.BytesIO(b"1234"), 4, time.monotonic() - 1)


def test_what_a_job_put_in_the_way_of_an_input_is_not_written_through(directories: Directories, tmp_path: Path) -> None:
    (directories.make(TOKEN, {}) / "in").symlink_to(tmp_path / "target")
    with pytest.raises(CEUnreachable):
        directories.bring(TOKEN, "in", io.BytesIO(b"x"), 1, time.monotonic() + 60)
    assert not (tmp_path / "target").exists()


def test_a_directory_is_removed_with_all_in_it_and_not_what_it_leads_to(
    directories: Directories, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    (directories.make(TOKEN, {"a": b""}) / "link").symlink_to(tmp_path / "kept")
    directories.remove(TOKEN)
    directories.remove(TOKEN)
    assert not directories.of(TOKEN).exists()
    assert (tmp_path / "kept/file").read_text() == "kept"
    with pytest.raises(OutputMissing):
        fetched(directories, "a")


def test_a_proxy_is_replaced_where_it_is_and_never_made_by_that(tmp_path: Path) -> None:
    proxies = Proxies(tmp_path, "1-1", None)
    one, other = proxies.make(b"old"), Proxies(tmp_path, "1-2", None).make(b"other")
    assert proxies.replace(one, b"new").read_bytes() == b"new"
    assert proxies.all() == {one}
    for unknown in (other, "0123456789abcdef", "../1-2/" + other, ""):
        with pytest.raises(JobGone):
            proxies.replace(unknown, b"new")
        proxies.remove(unknown)
    assert proxies.ensure(one, b"newer").read_bytes() == b"newer"
    assert proxies.ensure("0123456789abcdef", b"made elsewhere").read_bytes() == b"made elsewhere"
    proxies.remove("0123456789abcdef")
    proxies.remove(one)
    assert proxies.all() == frozenset()


def test_old_directories_of_submissions_that_the_schedd_does_not_have_are_removed(directories: Directories) -> None:
    at_the_ce, left_over, young = (TOKEN[:-1] + sign for sign in "abc")
    for token in (at_the_ce, left_over, young):
        directories.make(token, {"in.txt": b"hello"})
    two_days_ago = time.time() - 2 * 86400
    for token in (at_the_ce, left_over):
        os.utime(directories.of(token), (two_days_ago, two_days_ago))
    directories.sweep({at_the_ce})
    assert [directories.of(token).exists() for token in (at_the_ce, left_over, young)] == [True, False, True]

"""Promises of act.storage and act.files: a file is there whole or not at all, and names stay inside the store."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from act.errors import ActError, BadJobSpec, ConfigError, OutputMissing, StorageUnavailable
from act.files import write_file
from act.storage import Store


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "directory":
        yield Store(tmp_path / "store")
    else:
        yield Store("memory://act/store")
        fsspec.filesystem("memory").store.clear()
        fsspec.filesystem("memory").pseudo_dirs[:] = [""]


def put(store: Store, name: str, data: bytes) -> None:
    with store.write(name) as file:
        file.write(data)


def test_what_was_written_is_read(store: Store) -> None:
    put(store, "2026-01-01/queue/1.out", b"one")
    assert store.read("2026-01-01/queue/1.out") == b"one"
    with store.open("2026-01-01/queue/1.out") as file:
        assert file.read(2) == b"on"


def test_a_file_shows_only_when_it_is_whole(store: Store) -> None:
    with store.write("a/b") as file:
        file.write(b"half")
        assert not store.exists("a/b")
        assert store.list() == []
    assert store.list() == ["a/b"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(store: Store) -> None:
    put(store, "a", b"old")
    with pytest.raises(ActError, match="the CE hung up"), store.write("a") as file:
        file.write(b"new")
        raise ActError("the CE hung up")
    assert store.read("a") == b"old"
    assert store.list() == ["a"]


def test_a_second_write_replaces_the_first(store: Store) -> None:
    put(store, "a", b"a longer one")
    put(store, "a", b"short")
    assert store.read("a") == b"short"


def test_lists_are_of_a_folder_with_all_below(store: Store) -> None:
    for name in ("x/2", "x/1/deep", "y/3"):
        put(store, name, b"")
    assert store.list() == ["x/1/deep", "x/2", "y/3"]
    assert store.list("x") == ["x/1/deep", "x/2"]
    assert store.list("nothing") == []


def test_removing_takes_files_and_folders_and_can_be_repeated(store: Store) -> None:
    put(store, "x/1", b"")
    put(store, "x/2", b"")
    store.remove("x/1")
    store.remove("x/1")
    assert store.list() == ["x/2"]
    store.remove("x")
    assert not store.exists("x/2")


def test_a_missing_file_is_told(store: Store) -> None:
    with pytest.raises(OutputMissing, match=r"there is no file .*store/a"):
        store.read("a")


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", "a/", "a\nb", "a\0b", "\x1b[2J", "\udcff", "x" * 201,
     ".a.123.part"],
)  # fmt: skip
def test_unsafe_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(BadJobSpec), store.write(name):
        pass
    for method in (store.read, store.exists, store.remove):
        with pytest.raises(BadJobSpec):
            method(name)


def test_ordinary_names_are_taken(store: Store) -> None:
    for name in ("a b", "..a", "log.part", ".hidden", "µ/ü", "a:b@c=1"):
        put(store, name, b"")
        assert store.exists(name)


def test_a_full_disk_is_the_stores_failure_even_inside_a_network_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - new_file closes it
    monkeypatch.setattr(os, "fdopen", lambda *_: full)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with pytest.raises(StorageUnavailable, match=os.strerror(errno.ENOSPC)), Store(tmp_path).write("a") as file:
        try:
            file.write(b"x")
        except OSError:
            pytest.fail("taken for a failure of the network")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    put(Store(tmp_path), "a", b"")
    with pytest.raises(StorageUnavailable, match="could not be written"):
        put(Store(tmp_path / "a"), "b", b"")


def test_files_are_for_owner_and_group_only(tmp_path: Path) -> None:
    put(Store(tmp_path / "store"), "x/a", b"")
    assert stat.S_IMODE((tmp_path / "store" / "x" / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "store" / "x").stat().st_mode) == 0o750


def test_people_are_told_the_path_or_the_url(tmp_path: Path) -> None:
    assert Store(tmp_path).where("x/a") == str(tmp_path / "x/a")
    assert Store("memory://act").where("x/a") == "memory:///act/x/a"


def test_an_unknown_kind_of_store_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="nosuch://x"):
        Store("nosuch://x")


def test_a_fault_before_the_commit_leaves_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACT_FAULT", "store.commit:before:fail")
    with pytest.raises(StorageUnavailable, match="injected"):
        put(store, "a", b"x")
    assert store.list() == []
    put(store, "a", b"x")
    assert store.list() == ["a"]


def test_a_secret_file_is_replaced_in_one_step_with_its_mode(tmp_path: Path) -> None:
    write_file(tmp_path / "p", b"one", 0o600)
    write_file(tmp_path / "p", b"two", 0o600)
    assert (tmp_path / "p").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["p"]

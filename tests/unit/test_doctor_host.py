"""What `actctl doctor` says of a host: its clock, disks, files and whether it may submit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from act import keys
from act.config import CoreConfig
from act.config.core import Paths
from act.config.credentials import Proxies
from act.doctor import host, measures
from act.doctor.check import Verdict
from act.doctor.measures import GIB, Space
from tests.unit.doctor_checks import BAD, GOOD, UNCHECKED, WARNING, only


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(0, GOOD), (-4, GOOD), (6, WARNING), (-6, WARNING), (61, BAD), (-600, BAD), (None, UNCHECKED)],
)
def test_clocks_that_differ_are_told(ahead_s: float | None, verdict: Verdict) -> None:
    assert measures.clock("clock", ahead_s).verdict is verdict


@pytest.mark.parametrize(
    ("space", "verdict"),
    [
        (Space(400 * GIB, 1000 * GIB, 10, 10), GOOD),
        (Space(60 * GIB, 1000 * GIB, 10, 10), GOOD),
        (Space(40 * GIB, 1000 * GIB, 10, 10), WARNING),
        (Space(10 * GIB, 1000 * GIB, 10, 10), BAD),
        (Space(0, GIB, 10, 10), BAD),
        (Space(GIB // 2, GIB, 0, 0), GOOD),
        (Space(400 * GIB, 1000 * GIB, 50, 1000), WARNING),
        (Space(400 * GIB, 1000 * GIB, 0, 1000), BAD),
    ],
)
def test_a_disk_that_gets_full_is_told_by_bytes_and_inodes(space: Space, verdict: Verdict) -> None:
    assert measures.space("disk", "/x", space).verdict is verdict


def test_a_secret_that_others_can_read_or_that_is_not_ours_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    me = host._name(os.geteuid())
    assert only(host.secret("secret", path, me)).verdict is GOOD
    assert only(host.secret("secret", path, "somebody")).verdict is BAD
    path.chmod(0o640)
    assert "chmod 600" in only(host.secret("secret", path, me)).todo
    path.unlink()
    assert "is not there" in only(host.secret("secret", path, me)).found


def test_a_key_file_that_others_can_read_is_told_once_and_need_not_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "proxy.key"
    keys.make_key(path)
    path.chmod(0o644)
    config = CoreConfig(proxies=Proxies(key_file=path), paths=Paths(state_dir=tmp_path))
    (check,) = host.sealing_key(config)
    assert (check.verdict, check.todo) == (Verdict.BAD, f"others can get at it: chmod 600 {path}")


def test_a_key_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "proxy.key"
    config = CoreConfig(proxies=Proxies(key_file=path), paths=Paths(state_dir=tmp_path))
    assert only(host.sealing_key(config)).verdict is BAD
    keys.make_key(path)
    assert only(host.sealing_key(config)).verdict is GOOD
    path.write_text("nonsense")
    assert [c.verdict for c in host.sealing_key(config)] == [GOOD, BAD]


def test_a_directory_that_is_not_there_is_bad(tmp_path: Path) -> None:
    assert only(host.directory("store_dir", tmp_path / "none", "act")).verdict is BAD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write what is not its own")
def test_a_directory_of_another_account_is_told_to_root(tmp_path: Path) -> None:
    assert len(list(host.directory("store_dir", tmp_path, "root"))) == 1
    told = next(host.directory("store_dir", tmp_path, "somebody"))
    assert (told.verdict, told.found) == (WARNING, f"{tmp_path} belongs to root, the tower runs as somebody")


def test_submission_that_is_stopped_is_bad() -> None:
    assert only(host.no_alarm(None)).verdict is GOOD
    assert "a copy" in only(host.no_alarm("a copy")).found

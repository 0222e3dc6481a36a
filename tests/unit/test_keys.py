"""Promises of act.keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from act.errors import CredentialError
from act.keys import load_secret, make_key, make_secret, seal, unseal


def test_a_sealed_proxy_is_unreadable_without_the_key_and_whole_with_it(tmp_path: Path) -> None:
    assert make_key(tmp_path / "key")
    sealed = seal(b"-----BEGIN secret", tmp_path / "key")
    assert b"secret" not in sealed
    assert unseal(sealed, tmp_path / "key") == b"-----BEGIN secret"


def test_a_key_file_is_private_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    assert make_key(path)
    first = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not make_key(path)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    make_key(tmp_path / "one")
    make_key(tmp_path / "two")
    with pytest.raises(CredentialError, match="was not sealed with"):
        unseal(seal(b"x", tmp_path / "one"), tmp_path / "two")


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="actctl init"):
        seal(b"x", tmp_path / "key")


def test_an_unreadable_key_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        seal(b"x", tmp_path)


def test_a_key_file_open_to_everybody_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(CredentialError, match="chmod 600"):
        seal(b"x", tmp_path / "key")


def test_a_damaged_key_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(CredentialError, match="is not a key file"):
        seal(b"x", tmp_path / "key")


def test_a_key_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot be written"):
        make_key(tmp_path / ("k" * 300))


def test_a_secret_is_private_long_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "web.key"
    assert make_secret(path)
    first = load_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) >= 32
    assert not make_secret(path)
    assert load_secret(path) == first
    make_secret(tmp_path / "other")
    assert load_secret(tmp_path / "other") != first


@pytest.mark.parametrize(("content", "mode", "told"), [
    (None, 0o600, "actctl init"), (b"short", 0o600, "holds no secret"), (b"x" * 64, 0o644, "chmod 600"),
])  # fmt: skip
def test_a_secret_that_is_none_is_told(tmp_path: Path, content: bytes | None, mode: int, told: str) -> None:
    path = tmp_path / "web.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(CredentialError, match=told):
        load_secret(path)

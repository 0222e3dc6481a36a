"""Whom TLS connections trust, and what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from act.errors import ConfigError, CredentialError
from act.https import client_context
from act.simulation import TestCA
from act.x509 import make_proxy


def test_only_the_authorities_of_the_directory_are_trusted(tmp_path: Path) -> None:
    ca = TestCA(tmp_path / "ca")
    context = client_context(ca.ca_dir)
    assert context.check_hostname
    assert context.cert_store_stats()["x509"] == 0  # a directory is read when a certificate asks for it


def test_a_missing_directory_of_authorities_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is not there"):
        client_context(tmp_path / "nowhere")


def test_a_proxy_is_shown_without_ever_being_a_file_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCA(tmp_path / "ca")
    certificate, key = (path.read_bytes() for path in ca.user("alice"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no-such-directory"))
    monkeypatch.chdir("/proc/self")  # nothing can be written here
    client_context(ca.ca_dir, make_proxy(certificate, key, 3600))


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"\0"])
def test_a_useless_proxy_is_a_credential_error(tmp_path: Path, pem: bytes) -> None:
    with pytest.raises(CredentialError, match="the proxy cannot be used"):
        client_context(TestCA(tmp_path / "ca").ca_dir, pem)


def test_a_proxy_with_the_key_of_another_is_a_credential_error(tmp_path: Path) -> None:
    ca = TestCA(tmp_path / "ca")
    (certificate, _), (_, key) = ca.user("alice"), ca.user("bob")
    with pytest.raises(CredentialError, match="the proxy cannot be used"):
        client_context(ca.ca_dir, certificate.read_bytes() + key.read_bytes())

"""Storage elements over HTTPS that are in trouble, or send us elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from act.errors import ConfigError, CredentialError, JobError, StorageUnavailable
from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.replicas import Checked, Finding, Replica, Storage, Storages, open_storage
from tests.services.webdav import WebDAV

CONTENT = b"content"
ADLER32 = f"{zlib.adler32(CONTENT):08x}"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    """The CA of servers and users."""
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(ca: TestCA) -> Iterator[WebDAV]:
    """A storage with four files and a directory."""
    with WebDAV(ca) as server:
        server.files = {f"/a/{n}": CONTENT for n in range(4)} | {"/a/": b"", "/a/dir/": b"", "/a/dir/f": CONTENT}
        yield server


@pytest.fixture
def other(ca: TestCA) -> Iterator[WebDAV]:
    """Another one with the same files."""
    with WebDAV(ca) as server:
        server.files = {f"/a/{n}": CONTENT for n in range(4)}
        yield server


def url(server: WebDAV, path: str = "/a/0") -> str:
    return f"davs://localhost:{server.port}{path}"


@contextmanager
def storage_of(
    server: WebDAV, ca_dir: Path, *, proxy: bytes = b"", token: str = "", **changes: Any
) -> Iterator[Storage]:
    settings = Storages(**{"removable": (url(server, "/a/"),), "read_s": 1, "total_s": 5} | changes)
    storage = open_storage(f"localhost:{server.port}", "https", settings, proxy, ca_dir, token)
    try:
        yield storage
    finally:
        storage.close()


def replicas(server: WebDAV) -> list[Replica]:
    return [Replica(url(server, f"/a/{n}"), len(CONTENT), ADLER32) for n in range(4)]


@pytest.mark.parametrize(
    "fault",
    [{"action": "error-before", "status": status} for status in (503, 429, 418)] + [{"action": "hang"}],
    ids=lambda fault: str(fault.get("status", "hang")),
)
def test_trouble_with_one_file_is_no_trouble_for_the_others(server: WebDAV, ca: TestCA, fault: dict[str, Any]) -> None:
    server.faults.add({"path": "/a/2", **fault})
    with storage_of(server, ca.ca_dir) as storage:
        answers = storage.check(replicas(server))
    assert isinstance(answers.pop(url(server, "/a/2")), StorageUnavailable)
    assert set(answers.values()) == {Checked(Finding.GOOD)}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_storage_that_fails_for_all_files_is_unavailable(server: WebDAV, ca: TestCA, status: int) -> None:
    server.faults.add({"action": "error-before", "status": status})
    with storage_of(server, ca.ca_dir) as storage:
        with pytest.raises(StorageUnavailable, match=str(status)):
            storage.check(replicas(server))
        with pytest.raises(StorageUnavailable, match=str(status)):
            storage.remove([url(server)])
    assert server.deleted == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_storage_that_does_not_let_us_in_means_later_and_says_why(server: WebDAV, ca: TestCA, status: int) -> None:
    server.faults.add({"action": "error-before", "status": status})
    with storage_of(server, ca.ca_dir) as storage:
        with pytest.raises(StorageUnavailable, match="credential"):
            storage.check(replicas(server))
        with pytest.raises(StorageUnavailable, match="credential"):
            storage.remove([url(server)])


def test_a_dead_storage_is_not_asked_for_every_file(server: WebDAV, ca: TestCA) -> None:
    server.faults.add({"action": "refuse"})
    many = [Replica(url(server, f"/a/{n}"), 1) for n in range(1000)]
    with storage_of(server, ca.ca_dir, parallel=4) as storage, pytest.raises(StorageUnavailable):
        storage.check(many)
    assert sum(server.requests().values()) <= 8  # each of the four tried a second time


def test_files_that_are_not_reached_in_time_come_later(server: WebDAV, ca: TestCA) -> None:
    server.faults.add({"action": "delay", "seconds": 0.4, "skip": 1})
    with storage_of(server, ca.ca_dir, parallel=1, total_s=1) as storage:
        answers = [*storage.check(replicas(server)).values()]
    assert answers[0] == Checked(Finding.GOOD)
    assert isinstance(answers[3], StorageUnavailable)


def test_a_connection_that_was_closed_meanwhile_is_made_anew(server: WebDAV, ca: TestCA) -> None:
    with storage_of(server, ca.ca_dir, parallel=1) as storage:
        storage.check(replicas(server))
        server.faults.add({"action": "cut-after", "times": 1})
        assert set(storage.check(replicas(server)).values()) == {Checked(Finding.GOOD)}


def test_checksums_in_the_newer_header_are_understood(server: WebDAV, ca: TestCA) -> None:
    server.repr_digest = True
    with storage_of(server, ca.ca_dir) as storage:
        assert set(storage.check(replicas(server)).values()) == {Checked(Finding.GOOD)}


def test_a_server_without_checksums_leaves_files_unverified(server: WebDAV, ca: TestCA) -> None:
    server.digests = False
    with storage_of(server, ca.ca_dir) as storage:
        answers = storage.check(replicas(server)).values()
    assert {a.finding for a in answers if isinstance(a, Checked)} == {Finding.UNVERIFIED}


def test_a_redirect_of_a_check_is_followed_without_the_token(server: WebDAV, other: WebDAV, ca: TestCA) -> None:
    server.redirect = f"https://localhost:{other.port}"
    with storage_of(server, ca.ca_dir, token="secret") as storage:
        assert set(storage.check(replicas(server)).values()) == {Checked(Finding.GOOD)}
    assert server.tokens == {"Bearer secret"}
    assert other.tokens == {""}


@pytest.mark.parametrize("where", ["http://localhost:1", "file:///etc", "https://[", "gopher://x", "https://é"])
def test_a_redirect_to_anything_but_https_is_not_followed(server: WebDAV, ca: TestCA, where: str) -> None:
    server.redirect = where.encode().decode("latin-1")
    with storage_of(server, ca.ca_dir) as storage, pytest.raises(StorageUnavailable, match="sends us to"):
        storage.check(replicas(server))


def test_redirects_in_a_circle_end(server: WebDAV, ca: TestCA) -> None:
    server.redirect = f"https://localhost:{server.port}"
    with storage_of(server, ca.ca_dir) as storage, pytest.raises(StorageUnavailable, match="on and on"):
        storage.check(replicas(server))


def test_a_redirect_of_a_removal_out_of_the_prefixes_removes_nothing(server: WebDAV, other: WebDAV, ca: TestCA) -> None:
    server.redirect = f"https://localhost:{other.port}"
    with storage_of(server, ca.ca_dir) as storage, pytest.raises(StorageUnavailable, match="do not go"):
        storage.remove([url(server)])
    server.redirect = f"https://localhost:{server.port}/b"
    with storage_of(server, ca.ca_dir) as storage, pytest.raises(StorageUnavailable, match="do not go"):
        storage.remove([url(server)])
    assert other.deleted == server.deleted == []


def test_a_redirect_of_a_removal_to_another_prefix_is_followed(server: WebDAV, other: WebDAV, ca: TestCA) -> None:
    server.redirect = f"https://localhost:{other.port}"
    prefixes = (url(server, "/a/"), url(other, "/a/"))
    with storage_of(server, ca.ca_dir, removable=prefixes) as storage:
        assert storage.remove([url(server)]) == {url(server): None}
    assert other.deleted == ["/a/0"]


@pytest.mark.parametrize("action", ["truncate", "garbage", "empty", "hang", "refuse", "cut-after"])
def test_nothing_is_removed_before_the_storage_has_said_that_it_is_a_file(
    server: WebDAV, ca: TestCA, action: str
) -> None:
    server.faults.add({"method": "PROPFIND", "action": action})
    with storage_of(server, ca.ca_dir) as storage, pytest.raises(StorageUnavailable):
        storage.remove([url(server)])
    assert server.deleted == []


def test_a_removal_whose_answer_was_lost_is_repeated(server: WebDAV, ca: TestCA) -> None:
    server.faults.add({"method": "DELETE", "action": "cut-after", "times": 1})
    with storage_of(server, ca.ca_dir) as storage:
        assert storage.remove([url(server)]) == {url(server): None}
    assert server.deleted == ["/a/0"]


def test_a_server_that_is_no_webdav_is_asked_to_remove_all_the_same(server: WebDAV, ca: TestCA) -> None:
    server.faults.add({"method": "PROPFIND", "action": "error-before", "status": 405})
    with storage_of(server, ca.ca_dir) as storage:
        assert storage.remove([url(server)]) == {url(server): None}


def test_a_removal_that_the_storage_will_never_do_concerns_that_file_only(server: WebDAV, ca: TestCA) -> None:
    server.faults.add({"method": "DELETE", "path": "/a/1", "action": "error-before", "status": 409})
    with storage_of(server, ca.ca_dir) as storage:
        answers = storage.remove([url(server, "/a/0"), url(server, "/a/1")])
    assert answers[url(server, "/a/0")] is None
    assert isinstance(answers[url(server, "/a/1")], JobError)


def test_a_storage_with_a_certificate_of_an_unknown_ca_is_not_spoken_to(server: WebDAV, tmp_path: Path) -> None:
    stranger = TestCA(tmp_path)
    with storage_of(server, stranger.ca_dir) as storage, pytest.raises(StorageUnavailable, match="certificate is bad"):
        storage.check(replicas(server))
    assert server.requests() == {}


def test_a_proxy_that_the_storage_does_not_trust_means_later_and_says_so(
    server: WebDAV, ca: TestCA, tmp_path: Path
) -> None:
    certificate, key = (path.read_bytes() for path in TestCA(tmp_path).user("stranger"))
    proxy = make_proxy(certificate, key, 3600)
    refused = pytest.raises(StorageUnavailable, match="does not accept our certificate")
    with storage_of(server, ca.ca_dir, proxy=proxy) as storage, refused:
        storage.check(replicas(server))


def test_what_no_storage_can_mend_is_said_at_once(server: WebDAV, ca: TestCA, tmp_path: Path) -> None:
    with pytest.raises(CredentialError):
        open_storage("localhost:1", "https", Storages(), b"no proxy", ca.ca_dir)
    with pytest.raises(ConfigError):
        open_storage("localhost:1", "https", Storages(), b"", tmp_path / "absent")

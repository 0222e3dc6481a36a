"""What every storage must do, whatever it speaks."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from replica_sites import CLOSED_TO_US, KINDS, WITHOUT_CHECKSUMS, Site

from act.errors import JobError, StorageUnavailable
from act_atlas.replicas import Checked, Finding, Replica

CONTENT = b"events of a job " * 1000
WITH_SERVER = pytest.mark.parametrize("site", [kind for kind in KINDS if kind != "file"], indirect=True)
IMPATIENT = {"connect_s": 1, "read_s": 1, "total_s": 4}


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A storage of each kind."""
    with ExitStack() as stack:
        yield KINDS[request.param](stack)


@pytest.fixture
def remote(site: Site) -> Iterator[Site]:
    """A storage with a server that may have trouble; it is well again afterwards."""
    yield site
    site.thaw()
    site.start()


def replica(site: Site, path: str, **changes: object) -> Replica:
    """The file that CONTENT would be."""
    values = {"url": site.url(path), "size": len(CONTENT), "adler32": f"{zlib.adler32(CONTENT):08x}"} | changes
    return Replica(**values)  # type: ignore[arg-type]


def check(site: Site, one: Replica) -> Checked:
    with site.storage() as storage:
        answer = storage.check([one])[one.url]
    assert isinstance(answer, Checked), answer
    return answer


def test_a_file_that_is_as_reported_is_good(site: Site) -> None:
    site.put("good", CONTENT)
    assert check(site, replica(site, "good")) == Checked(Finding.GOOD)


@pytest.mark.parametrize("content", [b"", b"\0" * 65536], ids=["empty", "zeros"])
def test_a_checksum_with_leading_zeros_or_without_is_the_same(site: Site, content: bytes) -> None:
    site.put("zeros", content)
    stripped = replica(site, "zeros", size=len(content), adler32=f"{zlib.adler32(content):X}")
    assert check(site, stripped) == Checked(Finding.GOOD)


def test_md5_is_compared_if_that_is_what_was_reported(site: Site) -> None:
    site.put("md5", CONTENT)
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert check(site, replica(site, "md5", adler32="", md5=md5)) == Checked(Finding.GOOD)
    assert check(site, replica(site, "md5", adler32="", md5="0" * 32)).finding == Finding.WRONG_CHECKSUM


def test_a_file_that_is_not_there_is_missing(site: Site) -> None:
    site.put("dir/other", CONTENT)
    assert check(site, replica(site, "dir/absent")).finding == Finding.MISSING
    assert check(site, replica(site, "no/such/dir/absent")).finding == Finding.MISSING


def test_a_wrong_size_is_said_with_both_sizes(site: Site) -> None:
    site.put("short", CONTENT[1:])
    checked = check(site, replica(site, "short"))
    assert checked.finding == Finding.WRONG_SIZE
    assert str(len(CONTENT)) in checked.detail and str(len(CONTENT) - 1) in checked.detail


def test_a_wrong_checksum_is_said_with_both_checksums(site: Site) -> None:
    changed = b"X" + CONTENT[1:]
    site.put("changed", changed)
    checked = check(site, replica(site, "changed"))
    assert checked.finding == Finding.WRONG_CHECKSUM
    assert f"{zlib.adler32(changed):08x}" in checked.detail and f"{zlib.adler32(CONTENT):08x}" in checked.detail


def test_a_report_without_checksum_leaves_a_file_unverified(site: Site) -> None:
    site.put("bare", CONTENT)
    assert check(site, replica(site, "bare", adler32="")).finding == Finding.UNVERIFIED


@pytest.mark.parametrize("kind", WITHOUT_CHECKSUMS)
def test_a_storage_without_checksums_leaves_a_file_unverified_but_not_wrong(kind: str) -> None:
    with ExitStack() as stack:
        site = WITHOUT_CHECKSUMS[kind](stack)
        site.put("plain", CONTENT)
        assert check(site, replica(site, "plain")).finding == Finding.UNVERIFIED
        assert check(site, replica(site, "plain", size=1)).finding == Finding.WRONG_SIZE


@pytest.mark.parametrize("kind", CLOSED_TO_US)
def test_a_storage_that_does_not_let_us_in_means_later_and_says_why(kind: str) -> None:
    with ExitStack() as stack:
        site = CLOSED_TO_US[kind](stack)
        site.put("removable/a", CONTENT)
        one = replica(site, "removable/a")
        with site.storage() as storage:
            with pytest.raises(StorageUnavailable, match="credential"):
                storage.check([one])
            with pytest.raises(StorageUnavailable, match="credential"):
                storage.remove([one.url])
        assert site.has("removable/a")


def test_a_bulk_has_an_answer_for_each_file(site: Site) -> None:
    for n in range(0, 40, 2):
        site.put(f"bulk/{n}", CONTENT)
    replicas = [replica(site, f"bulk/{n}") for n in range(40)]
    with site.storage(parallel=4) as storage:
        answers = storage.check(replicas)
    found = [answers[r.url] for r in replicas]
    assert [a.finding for a in found if isinstance(a, Checked)] == [Finding.GOOD, Finding.MISSING] * 20


def test_a_url_that_no_storage_would_understand_concerns_its_file_only(site: Site) -> None:
    site.put("good", CONTENT)
    bad = Replica("not a url", 1)
    with site.storage() as storage:
        answers = storage.check([bad, replica(site, "good")])
    assert [a.finding for a in answers.values() if isinstance(a, Checked)] == [Finding.MISSING, Finding.GOOD]


def test_removed_is_gone_and_gone_stays_removed(site: Site) -> None:
    site.put("removable/a", CONTENT)
    url, absent = site.url("removable/a"), site.url("removable/x/absent")
    with site.storage() as storage:
        assert storage.remove([url, absent]) == {url: None, absent: None}
        assert not site.has("removable/a")
        assert storage.remove([url]) == {url: None}


def test_nothing_outside_the_prefixes_is_removed(site: Site) -> None:
    site.put("kept/a", CONTENT)
    site.put("removable/a", CONTENT)
    urls = [site.url(path) for path in ("kept/a", "removable/../kept/a", "removable/a?x")]
    with site.storage() as storage:
        answers = storage.remove(urls)
    assert all(isinstance(answers[url], JobError) for url in urls)
    assert site.has("kept/a") and site.has("removable/a")


@pytest.mark.parametrize("content", ["removable/dir/a", None], ids=["full", "empty"])
def test_a_directory_is_never_removed(site: Site, content: str | None) -> None:
    site.put("removable/dir/a", CONTENT)
    with site.storage() as storage:
        if content is None:
            storage.remove([site.url("removable/dir/a")])
        answer = storage.remove([site.url("removable/dir")])[site.url("removable/dir")]
        assert isinstance(answer, JobError) and "directory" in str(answer)
    assert content is None or site.has(content)


@WITH_SERVER
def test_a_storage_that_is_down_means_later_and_works_when_it_is_back(remote: Site) -> None:
    remote.put("removable/late", CONTENT)
    one = replica(remote, "removable/late")
    with remote.storage() as storage:
        assert storage.check([one]) == {one.url: Checked(Finding.GOOD)}
        remote.stop()
        with pytest.raises(StorageUnavailable):
            storage.check([one])
        with pytest.raises(StorageUnavailable):
            storage.remove([one.url])
        remote.start()
        assert storage.check([one]) == {one.url: Checked(Finding.GOOD)}


@WITH_SERVER
def test_a_storage_that_is_silent_means_later(remote: Site) -> None:
    remote.put("removable/silent", CONTENT)
    one = replica(remote, "removable/silent")
    with remote.storage(**IMPATIENT) as storage:
        remote.freeze()
        with pytest.raises(StorageUnavailable):
            storage.check([one] + [replica(remote, f"many/{n}") for n in range(50)])
        with pytest.raises(StorageUnavailable):
            storage.remove([one.url])
    remote.thaw()
    assert remote.has("removable/silent")

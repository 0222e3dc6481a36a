"""Libraries that hang, crash or chatter cost no more than the answers that had not come."""

from __future__ import annotations

import zlib
from pathlib import Path
from textwrap import dedent

import pytest

from act.errors import JobError, StorageUnavailable
from act_atlas.replicas import Checked, Finding, Replica, Storages
from act_atlas.replicas.children import ChildStorage, Library

CONTENT = b"content"
ADLER32 = f"{zlib.adler32(CONTENT):08x}"
XROOTD = f"""
import os, time
class Status:
    def __init__(self, errno=0, message=""):
        self.ok, self.errno, self.message = not errno, errno, message
        self.code = 400 if errno else 0
class Info:
    flags, size = 0, {len(CONTENT)}
class FileSystem:
    def __init__(self, url): pass
    def stat(self, path, timeout):
        if path == "/hang": time.sleep(1000)
        if path == "/crash": os.abort()
        if path == "/noise": os.write(1, b"noise\\nnoise")
        info = Info()
        if path == "/proxy":
            with open(os.environ["X509_USER_PROXY"]) as f: info.size = len(f.read())
            info.flags = os.stat(os.environ["X509_USER_PROXY"]).st_mode & 0o077
        return Status(), info
    def query(self, code, path, timeout):
        if path.startswith("/unsupported"): return Status(3013, "not supported"), None
        return Status(), b"adler32 {ADLER32}\\x00"
    def rm(self, path, timeout): return Status(3010, "no"), None
"""
FLAGS = """
class QueryCode: CHECKSUM = 3
class StatInfoFlags: IS_DIR = 0o077
"""
GFAL = f"""
import errno, stat, types
class GError(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.message, self.code = message, code
def fail(url):
    for name in ("ENOENT", "EACCES", "ECOMM"):
        if name in url: raise GError(name, getattr(errno, name))
class Context:
    def set_opt_integer(self, group, name, value): pass
    def stat(self, url):
        fail(url)
        return types.SimpleNamespace(st_size={len(CONTENT)}, st_mode=stat.S_IFDIR if "dir" in url else stat.S_IFREG)
    def checksum(self, url, algorithm):
        if "ENOSYS" in url: raise GError("ENOSYS", errno.ENOSYS)
        return "{ADLER32}"
    def unlink(self, url): fail(url)
def creat_context(): return Context()
"""


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes of the bindings that child processes find first."""
    (tmp_path / "XRootD/client").mkdir(parents=True)
    (tmp_path / "XRootD/__init__.py").touch()
    (tmp_path / "XRootD/client/__init__.py").write_text(dedent(XROOTD))
    (tmp_path / "XRootD/client/flags.py").write_text(dedent(FLAGS))
    (tmp_path / "gfal2.py").write_text(dedent(GFAL))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def storage(library: Library = "xrootd", *, total_s: float = 60, proxy: bytes = b"") -> ChildStorage:
    settings = Storages(removable=("root://se//a/", "root://other//a/", "srm://se/a/"), parallel=1, total_s=total_s)
    scheme, host = ("root", "se:1094") if library == "xrootd" else ("srm", "se:8443")
    return ChildStorage(library, scheme, host, settings, proxy, Path("/"), "")


def replica(url: str, size: int = len(CONTENT)) -> Replica:
    return Replica(url, size, ADLER32)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("trouble", ["hang", "crash"])
def test_what_a_library_answered_before_it_died_counts(trouble: str) -> None:
    urls = ["root://se//good", f"root://se//{trouble}", "root://se//after"]
    answers = storage(total_s=5).check([replica(url) for url in urls])
    assert answers[urls[0]] == Checked(Finding.GOOD)
    assert isinstance(answers[urls[1]], StorageUnavailable)
    assert isinstance(answers[urls[2]], StorageUnavailable)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("trouble", ["hang", "crash"])
def test_a_library_that_gives_no_answer_makes_the_storage_unavailable(trouble: str) -> None:
    with pytest.raises(StorageUnavailable, match="se:1094"):
        storage(total_s=2).check([replica(f"root://se//{trouble}")])
    with pytest.raises(StorageUnavailable, match="se:1094"):
        storage(total_s=2).remove(["root://se//a/" + trouble, "root://se//a/other"])


@pytest.mark.usefixtures("libraries")
def test_a_file_of_another_host_is_never_taken_for_one_of_this_host() -> None:
    good, other = "root://se//good", "root://other//a/good"
    answers = storage().check([replica(good), replica(other)])
    assert answers[good] == Checked(Finding.GOOD)
    assert answers[other] == Checked(Finding.MISSING, f"'{other}' is not at root://se:1094")
    assert isinstance(storage().remove([other])[other], JobError)


@pytest.mark.usefixtures("libraries")
def test_what_a_library_prints_is_not_taken_for_an_answer() -> None:
    url = "root://se//noise"
    assert storage().check([replica(url)]) == {url: Checked(Finding.GOOD)}


@pytest.mark.usefixtures("libraries")
def test_a_library_is_shown_the_proxy_as_a_file_that_only_its_owner_may_read() -> None:
    url = "root://se//proxy"
    assert storage(proxy=b"p" * 99).check([replica(url, 99)]) == {url: Checked(Finding.GOOD)}


@pytest.mark.usefixtures("libraries")
def test_a_storage_without_checksums_is_told_apart() -> None:
    url = "root://se//unsupported"
    answer = storage().check([replica(url)])[url]
    assert isinstance(answer, Checked) and answer.finding == Finding.UNVERIFIED


@pytest.mark.usefixtures("libraries")
def test_what_gfal_says_is_understood() -> None:
    names = ["good", "ENOENT", "ENOSYS", "ECOMM", "EACCES", "dir"]
    answers = storage("gfal").check([replica(f"srm://se/{name}") for name in names])
    good, missing, bare, failed, denied, directory = answers.values()
    assert good == Checked(Finding.GOOD)
    assert [a.finding for a in (missing, directory) if isinstance(a, Checked)] == [Finding.MISSING] * 2
    assert isinstance(bare, Checked) and bare.finding == Finding.UNVERIFIED
    assert isinstance(failed, StorageUnavailable)
    assert isinstance(denied, StorageUnavailable) and "credential" in str(denied)


@pytest.mark.usefixtures("libraries")
def test_gfal_removes_files_and_never_directories() -> None:
    urls = [f"srm://se/a/{name}" for name in ("good", "ENOENT", "dir")] + ["srm://se/b/good"]
    answers = storage("gfal").remove(urls)
    assert [answers[url] for url in urls[:2]] == [None, None]
    assert all(isinstance(answers[url], JobError) for url in urls[2:])

"""URLs, checksums and the safety of deletion, whatever URLs a job reports."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from act.errors import JobError
from act.simulation import Request, Response, SimServer, TestCA
from act_atlas.config import load_atlas
from act_atlas.replicas import Finding, Replica, Storages, host_of, open_storage, removable, scheme_of
from act_atlas.replicas.checksums import from_header, judge, normal

PREFIXES = ("davs://se.example.org:443/atlas/a/", "root://se.example.org//atlas/a", "file:///data/out/")


@pytest.mark.parametrize(
    ("url", "host", "scheme"),
    [
        ("davs://SE.example.org/atlas/f", "se.example.org:443", "https"),
        ("https://se.example.org:2880/atlas/f", "se.example.org:2880", "https"),
        ("root://se.example.org//atlas/f", "se.example.org:1094", "root"),
        ("xroots://[::1]//atlas/f", "[::1]:1094", "roots"),
        ("srm://se.example.org:8446/srm/managerv2?SFN=/atlas/f", "se.example.org:8446", "srm"),
        ("file:///data/f", "file", "file"),
        ("file://localhost/data/f", "file", "file"),
        ("mock://se.example.org/f", "se.example.org", "mock"),
    ],
)  # fmt: skip
def test_work_is_grouped_by_protocol_host_and_port(url: str, host: str, scheme: str) -> None:
    assert (host_of(url), scheme_of(url)) == (host, scheme)


@pytest.mark.parametrize(
    "url",
    ["", "f", "/data/f", "davs://se.example.org", "davs:///f", "davs://u@se.example.org/f", "davs://se:99999/f",
     "file://elsewhere/f", "davs://se/a b", "davs://se/a\r\nHost: x", "davs://se/é", "davs://se/" + "x" * 5000],
)  # fmt: skip
def test_what_is_no_url_of_a_file_is_said_to_be_none(url: str) -> None:
    with pytest.raises(JobError):
        host_of(url)


@pytest.mark.parametrize(
    "url",
    ["davs://se.example.org:443/atlas/a/f", "https://SE.example.org/atlas/a/dir/f.1", "root://se.example.org//atlas/a/f",
     "xroot://se.example.org:1094//atlas/a/f", "file:///data/out/f", "file://localhost/data/out/dir/f"],
)  # fmt: skip
def test_what_is_below_a_prefix_may_be_removed(url: str) -> None:
    assert removable(url, PREFIXES)


@pytest.mark.parametrize(
    "path",
    ["/atlas/a", "/atlas/a/", "/atlas/ab", "/atlas/ab/f", "/atlas/f", "/", "/atlas/a/../b", "/atlas/a/x/../../../b",
     "/atlas/a/.", "/atlas/a/./f", "/atlas/a//f", "//atlas/a/f", "/atlas/a/%2e%2e/f", "/atlas/a/%2E./f",
     "/atlas/a%2Ff", "/atlas/a/f%00", "/atlas/a/f?x=1", "/atlas/a/f#x", "/atlas/a/f;x", "/atlas/a/f/", "/atlas/A/f",
     "/atlas/a\\f", "/atlas/a/f\n", "/atlas/a/*"],
)  # fmt: skip
def test_what_is_not_plainly_below_a_prefix_may_not_be_removed(path: str) -> None:
    assert not removable(f"davs://se.example.org:443{path}", PREFIXES)


@pytest.mark.parametrize(
    "place",
    ["davs://se.example.org:444", "davs://se.example.org.", "davs://example.org", "davs://u@se.example.org",
     "davs://u:p@se.example.org:443", "http://se.example.org:443", "dav://se.example.org:443", "file://",
     "davs://se.example.org:443@evil.org", "roots://se.example.org/", "srm://se.example.org:443"],
)  # fmt: skip
def test_another_place_is_not_below_a_prefix(place: str) -> None:
    assert not removable(f"{place}/atlas/a/f", PREFIXES)


def test_without_prefixes_nothing_may_be_removed() -> None:
    assert not removable("davs://se.example.org:443/atlas/a/f", ())


@pytest.mark.parametrize("prefix", ["davs://se.example.org/", "davs://se.example.org/a/../", "/data", "davs://se/a//"])
def test_a_prefix_that_could_mean_more_than_a_directory_is_refused(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "atlas.xml"
    file.write_text(f"<config><storages><removable>{prefix}</removable></storages></config>")
    with pytest.raises(Exception, match=r"atlas.xml:1: element storages/removable\[1\]"):
        load_atlas(file)


@pytest.mark.parametrize("text", ["0a1b2c3d", "a1b2c3d", "A1B2C3D", "ad:0a1b2c3d", "adler32=A1B2C3D", "0x0a1b2c3d",
                                  ":ChssPQ==:", " 0a1b2c3d ", "000000000a1b2c3d"])  # fmt: skip
def test_an_adler32_is_understood_in_every_form(text: str) -> None:
    assert normal("adler32", text) == 0x0A1B2C3D


def test_an_md5_is_understood_in_hexadecimal_and_base64() -> None:
    value = 0x00FF0123456789ABCDEF0123456789AB
    raw = value.to_bytes(16, "big")
    forms = [raw.hex(), f"{value:X}", f"md5={raw.hex()}", base64.b64encode(raw).decode()]
    assert {normal("md5", form) for form in forms} == {value}


@given(st.binary(min_size=16, max_size=16))
def test_every_md5_survives_base64_in_a_header(raw: bytes) -> None:
    stored = from_header(f"md5={base64.b64encode(raw).decode()}")
    assert judge(Replica("davs://se/f", 1, md5=raw.hex()), 1, stored).finding == Finding.GOOD


@pytest.mark.parametrize("text", ["", "zzz", "adler32=", "123456789a", "-1", "0x", "none", "\0", "１２"])
def test_what_is_no_checksum_is_not_taken_for_one(text: str) -> None:
    assert normal("adler32", text) is None


def test_a_checksum_in_the_report_that_is_none_counts_as_wrong() -> None:
    assert judge(Replica("davs://se/f", 1, "junk"), 1, {"adler32": "1"}).finding == Finding.WRONG_CHECKSUM


def test_headers_with_several_digests_are_taken_apart() -> None:
    assert from_header("sha-256=:abc=:, adler=:ChssPQ==:;q=1, MD5=x") == {"adler32": ":ChssPQ==:", "md5": "x"}


def test_an_unknown_protocol_is_said_with_what_to_install() -> None:
    storage = open_storage("se:8446", "srm", Storages(removable=("srm://se:8446/a/",)), b"", Path())
    url = "srm://se:8446/a/f"
    checked = storage.check([Replica(url, 1)])[url]
    assert checked.finding == Finding.UNKNOWN_SCHEME and "gfal2" in checked.detail  # type: ignore[union-attr]
    assert isinstance(storage.remove([url])[url], JobError)
    storage.close()


# --- nothing outside the prefixes is ever removed ---------------------------------------------------------------------

NAMES = st.sampled_from(
    ["atlas", "a", "ab", "f", "..", ".", "", "...", "%2e%2e", "%2E", "%2f", "%2Fb", "%5c..", "..%00", "..;x",
     "f?x=/../", "#", "\\..\\", "\r\nDELETE /b", "\t", "é", "\u2025", "~", "*", "a" * 300,
     "%252e%252e", "@", ":", "..%c0%af"]
) | st.text(max_size=4)  # fmt: skip
PATHS = st.lists(NAMES, max_size=6).map("/".join)
HEADS = st.sampled_from(["/atlas/a/", "/atlas/a", "//atlas/a/", "/", "/atlas/", "/atlas/a/../", "/atlas/a/%2e%2e/", ""])


class Everything(SimServer):
    """Has every file, and remembers every target it was asked to remove."""

    def __init__(self, ca: TestCA) -> None:
        super().__init__(ca)
        self.removed: list[tuple[str, bool]] = []

    def handle(self, request: Request) -> Response:
        if request.method == "PROPFIND":
            return Response(405)
        if request.method == "DELETE":
            self.removed.append((request.path, bool(request.query)))
        return Response(204)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Everything, Everything, Path]]:
    """The storage with a prefix, and one without."""
    ca = TestCA(tmp_path_factory.mktemp("ca"))
    with Everything(ca) as ours, Everything(ca) as other:
        yield ours, other, ca.ca_dir


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_url_makes_a_server_lose_what_is_outside_the_prefixes(
    servers: tuple[Everything, Everything, Path], data: st.DataObject
) -> None:
    ours, other, ca_dir = servers
    places = [f"{scheme}://{user}{host}:{port}" for scheme in ("davs", "https", "DAVS", "http", "root")
              for user in ("", "u@", f"localhost:{ours.port}@") for host in ("localhost", "LOCALHOST", "127.0.0.1")
              for port in (ours.port, other.port, f"0{ours.port}", "")]  # fmt: skip
    url = st.tuples(st.sampled_from(places), HEADS, PATHS).map("".join)
    urls = [f"davs://localhost:{ours.port}/atlas/a/proof", *data.draw(st.lists(url, min_size=20, max_size=60))]
    ours.removed.clear()
    prefix = f"davs://localhost:{ours.port}/atlas/a/"
    storage = open_storage(f"localhost:{ours.port}", "https", Storages(removable=(prefix,)), b"", ca_dir)
    storage.remove(urls)
    storage.close()
    assert ("/atlas/a/proof", False) in ours.removed
    for path, query in ours.removed:
        assert not query and path == unquote(path) == posixpath.normpath(path) and path.startswith("/atlas/a/")
    assert other.removed == []


INSIDE = ["out", "dir", "up", "down", "file", "link", "loop", "in"]
STEPS = (
    st.lists(st.sampled_from(INSIDE), min_size=1, max_size=3)
    | st.lists(st.sampled_from([*INSIDE, "..", ".", "", "%2e%2e"]), max_size=6)
).map("/".join)  # fmt: skip


def _tree(top: Path) -> dict[str, object]:
    """in/ is the prefix; links lead out of it and back."""
    (top / "in/dir").mkdir(parents=True, exist_ok=True)
    (top / "out/dir").mkdir(parents=True, exist_ok=True)
    for name in ("in/file", "in/dir/file", "out/file", "out/dir/file", "out/in"):
        (top / name).write_text("precious")
    links = {"in/out": "../out", "in/dir/up": "..", "in/dir/down": top / "out/dir", "in/link": "../out/file",
             "in/loop": "loop", "out/link": "../in"}  # fmt: skip
    for name, target in links.items():
        (top / name).unlink(missing_ok=True)
        (top / name).symlink_to(target)
    return {str(p): p.is_symlink() or p.is_dir() or p.read_text() for p in (top / "out").rglob("*")}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=30))
def test_no_url_makes_a_file_system_lose_what_is_outside_the_prefixes(tmp_path: Path, steps: list[str]) -> None:
    before = _tree(tmp_path)
    storage = open_storage("file", "file", Storages(removable=(f"file://{tmp_path}/in/",)), b"", Path())
    storage.remove([f"file://{tmp_path}/in/{step}" for step in steps] + [f"file://{tmp_path}/{s}" for s in steps])
    after = {str(p): p.is_symlink() or p.is_dir() or p.read_text() for p in (tmp_path / "out").rglob("*")}
    assert after == before
    assert (tmp_path / "in/dir").is_dir()


def test_a_file_of_a_server_is_not_taken_for_one_of_this_host(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("precious")
    prefixes = (f"davs://se{tmp_path}/", f"root://se/{tmp_path}/")
    storage = open_storage("file", "file", Storages(removable=prefixes), b"", Path())
    urls = [f"{prefix}f" for prefix in prefixes]
    assert all(isinstance(answer, JobError) for answer in storage.remove(urls).values())
    assert (tmp_path / "f").exists()


def test_a_symbolic_link_is_removed_itself_and_not_what_it_leads_to(tmp_path: Path) -> None:
    _tree(tmp_path)
    storage = open_storage("file", "file", Storages(removable=(f"file://{tmp_path}/in/",)), b"", Path())
    link, through = f"file://{tmp_path}/in/link", f"file://{tmp_path}/in/out/file"
    answers = storage.remove([link, through])
    assert answers[link] is None and not (tmp_path / "in/link").is_symlink()
    assert isinstance(answers[through], JobError)
    assert (tmp_path / "out/file").read_text() == "precious"

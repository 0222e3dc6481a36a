"""The HTTP client for ARC CEs: no half answer is taken for a whole one, nothing that acts is sent twice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from act.errors import CEBroken, CEUnreachable, ConfigError, CredentialError, StorageUnavailable
from act.model import CEAddress, Proxy
from act.simulation import Request, Response, SimServer, TestCA
from act_arc import transport as module
from act_arc.ce import factory
from act_arc.transport import Transport
from tests.fakes import Stored

REASONS = {"/unmapped": (500, "User can't be assigned configuration"), "/moved": (302, None), "/broken": (503, None)}


class Echo(SimServer):
    """Answers with what it was sent; ``/status/<n>`` with a status."""

    def handle(self, request: Request) -> Response:
        if request.path in REASONS:
            status, reason = REASONS[request.path]
            return Response(status, b"", reason=reason)
        if request.path.startswith("/status/"):
            return Response(int(request.path.removeprefix("/status/")), b"why")
        if request.path == "/x/rest":
            return Response.json({"version": ["1.0", "1.1"]})
        headers = {"x-accept": request.headers.get("accept", ""), "x-auth": request.headers.get("authorization", "")}
        return Response(200, request.body or b"hello" * 1000, headers)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(ca: TestCA) -> Iterator[Echo]:
    with Echo(ca) as echo:
        yield echo


def pem(ca: TestCA) -> bytes:
    certificate, key = ca.user("alice")
    return certificate.read_bytes() + key.read_bytes()


@contextmanager
def connected(server: SimServer, ca: TestCA, total_s: float = 20.0) -> Iterator[Transport]:
    address = CEAddress(ce_id=1, flavour="arc", url=f"https://localhost:{server.port}/x", ca_dir=ca.ca_dir)
    transport = Transport(address, pem(ca))
    try:
        with transport.within(total_s):
            yield transport
    finally:
        transport.close()


def test_an_answer_is_complete(server: Echo, ca: TestCA) -> None:
    with connected(server, ca) as http:
        answer = http.request("POST", "/a", {"Accept": "text/plain"}, data="grüße", params={"q": "a b&c"})
        assert (answer.status, answer.read().decode(), answer.getheader("x-accept")) == (200, "grüße", "text/plain")


def test_headers_of_one_request_do_not_reach_the_next(server: Echo, ca: TestCA) -> None:
    headers: dict[str, str] = {}
    with connected(server, ca) as http:
        http.request("POST", "/a", headers, jsonData={"a": 1})
        assert headers == {}
        assert http.request("GET", "/a").getheader("x-auth") == ""


def test_a_token_goes_with_every_request_of_its_own_connection_and_no_other(server: Echo, ca: TestCA) -> None:
    address = CEAddress(ce_id=1, flavour="arc", url=f"https://localhost:{server.port}/x", ca_dir=ca.ca_dir)
    one, two, none = Transport(address, b"", "first"), Transport(address, b"", "second"), Transport(address, pem(ca))
    shared: dict[str, str] = {}
    try:
        for transport, sent in ((one, "Bearer first"), (two, "Bearer second"), (none, ""), (one, "Bearer first")):
            with transport.within(20):
                assert transport.request("GET", "/a", shared).getheader("x-auth") == sent
                assert transport.download("/a", io.BytesIO())[0].getheader("x-auth") == sent
        assert shared == {}
    finally:
        for transport in (one, two, none):
            transport.close()


@pytest.mark.parametrize("action", ["truncate", "cut-after", "refuse"])
def test_a_broken_off_answer_is_no_answer(server: Echo, ca: TestCA, action: str) -> None:
    server.faults.add({"path": "/a", "action": action})
    with connected(server, ca) as http, pytest.raises(CEUnreachable) as caught:
        http.request("POST", "/a", data=b"x" * 1000)
    assert caught.value.sent is True
    assert not isinstance(caught.value, CEBroken)


def test_a_broken_off_download_is_no_file(server: Echo, ca: TestCA) -> None:
    server.faults.add({"path": "/a", "action": "truncate"})
    with connected(server, ca) as http, pytest.raises(CEUnreachable):
        http.download("/a", io.BytesIO())


def test_a_request_that_acts_is_never_sent_twice(server: Echo, ca: TestCA) -> None:
    with connected(server, ca) as http:
        http.request("GET", "/warm")
        server.faults.add({"path": "/a", "action": "refuse", "times": 1})
        with pytest.raises(CEUnreachable):
            http.request("POST", "/a", data=b"x")
        assert server.requests()["POST /a"] == 1


def test_a_question_is_asked_again_once_if_an_old_connection_broke(server: Echo, ca: TestCA) -> None:
    with connected(server, ca) as http:
        http.request("GET", "/warm")
        server.faults.add({"path": "/a", "action": "refuse", "times": 1})
        assert http.request("GET", "/a").status == 200
        server.faults.add({"path": "/b", "action": "refuse"})
        with pytest.raises(CEUnreachable):
            http.request("GET", "/b")
        assert server.requests()["GET /b"] == 2


def test_a_new_connection_is_tried_once(server: Echo, ca: TestCA) -> None:
    server.faults.add({"path": "/a", "action": "refuse"})
    with connected(server, ca) as http:
        with pytest.raises(CEUnreachable):
            http.request("GET", "/a")
        assert server.requests()["GET /a"] == 1


@pytest.mark.parametrize("path", ["/status/500", "/broken", "/moved"])
def test_an_answer_that_helps_nobody_means_a_broken_ce(server: Echo, ca: TestCA, path: str) -> None:
    with connected(server, ca) as http, pytest.raises(CEBroken) as caught:
        http.request("GET", path)
    assert caught.value.sent is True


@pytest.mark.parametrize("path", ["/status/401", "/status/403", "/unmapped"])
def test_a_ce_that_does_not_let_us_in_is_a_credential_error(server: Echo, ca: TestCA, path: str) -> None:
    with connected(server, ca) as http, pytest.raises(CredentialError):
        http.download(path, io.BytesIO())


def test_not_found_is_an_answer(server: Echo, ca: TestCA) -> None:
    with connected(server, ca) as http:
        assert http.request("GET", "/status/404").status == 404
        out = io.BytesIO()
        answer, size = http.download("/status/404", out)
        assert (answer.status, answer.body, size, out.getvalue()) == (404, b"why", 0, b"")


def test_a_file_is_uploaded_in_pieces_and_as_it_is(server: Echo, ca: TestCA) -> None:
    with connected(server, ca) as http:
        assert http.upload("/a", iter([b"one", b"", b"\0\xff"]), 5).body == b"one\0\xff"
        assert http.upload("/a", iter([]), 0).status == 200
        assert http.upload("/status/404", iter([b"x"]), 1).status == 404


def test_an_upload_whose_source_fails_ends_with_what_the_source_says_and_the_next_goes_well(
    server: Echo, ca: TestCA
) -> None:
    def source() -> Iterator[bytes]:
        yield b"half"
        raise StorageUnavailable("the disk is gone")

    with connected(server, ca) as http:
        http.request("GET", "/warm")
        with pytest.raises(StorageUnavailable):
            http.upload("/a", source(), 8)
        assert http.upload("/a", iter([b"whole"]), 5).body == b"whole"


def test_an_upload_that_takes_too_long_is_given_up(server: Echo, ca: TestCA) -> None:
    def slow() -> Iterator[bytes]:
        while True:
            yield b"x"

    with connected(server, ca, total_s=0.5) as http, pytest.raises(CEUnreachable):
        http.upload("/a", slow(), 10**12)


def test_an_answer_without_end_is_given_up(server: Echo, ca: TestCA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 100)
    with connected(server, ca) as http, pytest.raises(CEBroken):
        http.request("GET", "/a")


def test_a_file_that_cannot_be_kept_is_not_the_fault_of_the_ce(server: Echo, ca: TestCA) -> None:
    with (
        connected(server, ca) as http,
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(StorageUnavailable),
    ):
        http.download("/a", full)


def test_all_requests_together_end_in_time(server: Echo, ca: TestCA) -> None:
    server.faults.add({"path": "/a", "action": "hang"})
    with connected(server, ca, total_s=0.5) as http, pytest.raises(CEUnreachable):
        http.request("GET", "/a")


def test_only_https_is_spoken(ca: TestCA) -> None:
    with pytest.raises(ConfigError):
        Transport(CEAddress(ce_id=1, flavour="arc", url="http://localhost/x", ca_dir=ca.ca_dir), pem(ca))


@pytest.mark.parametrize("action", ["garbage", "empty"])
def test_a_list_that_is_none_is_not_an_empty_list(server: Echo, ca: TestCA, action: str) -> None:
    server.faults.add({"path": "/jobs|/delegations", "action": action})
    address = CEAddress(ce_id=1, flavour="arc", url=f"https://localhost:{server.port}/x", ca_dir=ca.ca_dir)
    ce = factory(address, Proxy(proxy_id=1, role="", identity="alice", pem=pem(ca)), Stored())
    try:
        for ask in (ce.list_ids, ce.list_delegations, lambda: ce.status(["a"])):
            with pytest.raises(CEBroken):
                ask()
    finally:
        ce.close()

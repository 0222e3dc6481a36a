"""What all simulators share: certificates that verify, faults that strike as ordered, a server that stops at once."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from act.simulation import Faults, Request, Response, SimServer, TestCA
from act.simulation.ca import subject_hash
from act.x509 import make_proxy


class Echo(SimServer):
    acted = 0

    def handle(self, request: Request) -> Response:
        self.acted += 1
        return Response.json({"id": request.identity, "size": len(request.body), "query": request.query})


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def echo(ca: TestCA) -> Iterator[Echo]:
    with Echo(ca) as server:
        yield server


@pytest.fixture
def connection(ca: TestCA, echo: Echo) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(capath=str(ca.ca_dir))
    connected = http.client.HTTPSConnection("localhost", echo.port, context=context, timeout=10)
    yield connected
    connected.close()


def call(connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection.request(method, path, body)  # type: ignore[arg-type]
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_hashed_name_is_the_one_openssl_computes() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "act"),
                      x509.NameAttribute(x509.NameOID.COMMON_NAME, "aCT  test CA")])  # fmt: skip
    assert subject_hash(name) == "6c02221b"


def test_a_directory_is_used_again(ca: TestCA) -> None:
    again = TestCA(ca.directory)
    assert again.host() == ca.host()
    assert again.user("eve")[0].read_bytes() == ca.user("eve")[0].read_bytes()


def test_behind_a_proxy_stands_the_user(ca: TestCA, echo: Echo, tmp_path: Path) -> None:
    cert, key = ca.user("alice")
    proxy = make_proxy(cert.read_bytes(), key.read_bytes(), 3600)
    (tmp_path / "proxy.pem").write_bytes(make_proxy(proxy, proxy, 3600))
    context = ssl.create_default_context(capath=str(ca.ca_dir))
    context.load_cert_chain(tmp_path / "proxy.pem")
    connected = http.client.HTTPSConnection("localhost", echo.port, context=context, timeout=10)
    assert json.loads(call(connected, "GET", "/")[1])["id"] == "/O=act/CN=alice"
    connected.close()


def test_a_client_that_is_not_trusted_is_told_so(echo: Echo, ca: TestCA, tmp_path: Path) -> None:
    context = ssl.create_default_context(capath=str(ca.ca_dir))
    context.load_cert_chain(*TestCA(tmp_path).user("alice"))
    for _ in range(20):
        connected = http.client.HTTPSConnection("localhost", echo.port, context=context, timeout=10)
        with pytest.raises(ssl.SSLError, match="ALERT"):
            call(connected, "GET", "/")
        connected.close()


def test_without_a_certificate_there_is_no_identity(connection: http.client.HTTPSConnection) -> None:
    assert json.loads(call(connection, "GET", "/?a=1&a=2")[1]) == {"id": None, "size": 0, "query": {"a": ["1", "2"]}}


def test_an_expired_host_certificate_is_seen_as_one(ca: TestCA) -> None:
    context = ssl.create_default_context(capath=str(ca.ca_dir))
    with (
        Echo(ca, cert_expired=True) as server,
        socket.create_connection(("localhost", server.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_chunked_and_large_bodies_arrive_whole(connection: http.client.HTTPSConnection) -> None:
    assert json.loads(call(connection, "PUT", "/", iter([b"ab", b"c"]))[1])["size"] == 3
    assert json.loads(call(connection, "PUT", "/", b"x" * (5 << 20))[1])["size"] == 5 << 20


@pytest.mark.parametrize(
    ("action", "acted", "status"),
    [("delay", 1, 200), ("late", 1, 200), ("error-before", 0, 503), ("error-after", 1, 503), ("empty", 1, 200),
     ("garbage", 1, 200)],
)  # fmt: skip
def test_a_fault_with_an_answer_acts_or_not_as_named(
    connection: http.client.HTTPSConnection, echo: Echo, action: str, acted: int, status: int
) -> None:
    rule = {"action": action, "status": 503, "seconds": 0.01, "times": 1}
    assert call(connection, "POST", "/_sim/faults", json.dumps(rule).encode())[0] == 200
    got, body = call(connection, "GET", "/")
    assert (got, echo.acted) == (status, acted)
    if action not in ("delay", "late"):
        with pytest.raises(ValueError, match=r"codec|Expecting"):
            json.loads(body)
    assert json.loads(call(connection, "GET", "/")[1])["id"] is None


@pytest.mark.parametrize(
    ("action", "acted"), [("refuse", 0), ("hang", 0), ("cut-after", 1), ("truncate", 1)]
)  # fmt: skip
def test_a_fault_without_an_answer_acts_or_not_as_named(
    connection: http.client.HTTPSConnection, echo: Echo, action: str, acted: int
) -> None:
    echo.faults.add({"action": action, "seconds": 0.01})
    with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
        call(connection, "GET", "/")
    assert echo.acted == acted
    connection.close()
    assert call(connection, "DELETE", "/_sim/faults")[0] == 200
    assert call(connection, "GET", "/")[0] == 200


def test_rules_choose_by_method_path_and_number() -> None:
    faults = Faults()
    faults.add({"method": "POST", "path": "action=new", "action": "refuse", "skip": 1, "times": 1})
    assert faults.strike("GET", "/jobs?action=new") is None
    hits = [faults.strike("POST", "/jobs?action=new") is not None for _ in range(3)]
    assert hits == [False, True, False]
    assert faults.state()[0]["hits"] == 1


@pytest.mark.parametrize(
    "rule", [{"action": "explode"}, {"action": "hang", "when": 1}, {"action": "hang", "path": "("}]
)
def test_a_wrong_rule_is_refused(connection: http.client.HTTPSConnection, rule: dict[str, object]) -> None:
    status, body = call(connection, "POST", "/_sim/faults", json.dumps(rule).encode())
    assert status == 400
    assert "error" in json.loads(body)


def test_requests_are_counted(connection: http.client.HTTPSConnection) -> None:
    for _ in range(2):
        call(connection, "GET", "/a")
    assert json.loads(call(connection, "GET", "/_sim/state")[1])["requests"] == {"GET /a": 2}


def test_stopping_frees_a_client_that_hangs_and_the_port_can_be_used_again(
    connection: http.client.HTTPSConnection, echo: Echo
) -> None:
    echo.faults.add({"action": "hang", "times": 1})
    broken = threading.Event()

    def ask() -> None:
        try:
            call(connection, "GET", "/")
        except (ConnectionError, http.client.HTTPException, ssl.SSLError):
            broken.set()

    asking = threading.Thread(target=ask)
    asking.start()
    while not echo.requests():
        time.sleep(0.001)
    port = echo.port
    echo.stop()
    assert broken.wait(5)
    asking.join()
    connection.close()
    assert echo.start().port == port
    assert call(connection, "GET", "/")[0] == 200

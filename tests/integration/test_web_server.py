"""The server process: TLS, slow clients, broken bodies, restarts and killed workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from act.simulation import TestCA
from tests.integration.web_scene import SCRIPT, V1, Person, Scene, scene_in
from tests.integration.web_server import ANY_PORT, PATIENCE_S, WebServer

THREADS = 4


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[Scene]:
    cert, key = ca.host()
    web = (
        f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>1</processes>"
        f"<threads>{THREADS}</threads><header_s>1</header_s><stall_s>1</stall_s>"
    )
    with scene_in(tmp_path_factory.mktemp("server"), sqlite_template, ca, web=web) as scene:
        yield scene


@pytest.fixture(scope="module")
def one_server(scene: Scene, ca: TestCA) -> Iterator[WebServer]:
    with WebServer(scene.file, ca.ca_cert) as server:
        yield server


@pytest.fixture
def server(one_server: WebServer) -> Iterator[WebServer]:
    """The same for all tests; connections are closed after each."""
    yield one_server
    one_server.drop()


@pytest.fixture(scope="module")
def alice(scene: Scene) -> Person:
    return scene.person("alice")


def healthy(server: WebServer) -> bool:
    connection = server.connection()
    connection.request("GET", f"{V1}/health")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status == 200


def answer_of(sock: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            received += data
    return received


def test_only_tls_of_today_is_spoken(server: WebServer) -> None:
    assert server.tls().version() in ("TLSv1.2", "TLSv1.3")
    plain = server.raw()
    plain.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer_of(plain) == b""


def test_connections_are_kept_for_the_next_request(server: WebServer, alice: Person) -> None:
    connection = server.connection()
    for _ in range(5):
        connection.request("GET", "/info", headers=alice.headers)
        assert connection.getresponse().read()
    first = connection.sock
    connection.request("GET", "/jobs/1/results/x", headers=alice.headers)
    assert connection.getresponse().read()
    assert connection.sock is first


def test_clients_that_do_not_finish_their_heads_hold_no_thread_and_are_cut_off(server: WebServer) -> None:
    slow = [server.tls() for _ in range(5 * THREADS)]
    for sock in slow:
        sock.sendall(b"GET /info HTTP/1.1\r\nHost: lo")
    silent = [server.raw() for _ in range(5 * THREADS)]
    assert healthy(server)
    assert {answer_of(sock) for sock in slow} == {b""}
    assert {answer_of(sock) for sock in silent} == {b""}


def test_a_head_that_drips_is_cut_off_although_it_never_stops(server: WebServer) -> None:
    with server.tls() as sock:
        sock.sendall(b"GET /info HTTP/1.1\r\n")
        end = time.monotonic() + PATIENCE_S
        with pytest.raises(OSError):
            while time.monotonic() < end:
                sock.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.1)


def test_a_body_that_stalls_is_ended_and_leaves_nothing(server: WebServer, scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    head = f"PUT /jobs/{job}/data/run.sh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    slow = [server.tls() for _ in range(2 * THREADS)]
    for sock in slow:
        sock.sendall(f"{head}Authorization: Bearer {alice.token}\r\n\r\n5\r\nab".encode())
    for sock in slow:
        answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b'"msg"' in answer or b'"msg"' in sock.recv(65536)
    assert healthy(server)
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []
    assert scene.store.list(f"inputs/{job // 1000}/{job}") == []


def test_a_body_that_drips_is_ended_although_it_never_stalls(server: WebServer, scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    with server.tls() as sock:
        head = f"PUT /jobs/{job}/data/run.sh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        sock.sendall(f"{head}Authorization: Bearer {alice.token}\r\n\r\n".encode())
        sock.settimeout(0.2)
        end = time.monotonic() + PATIENCE_S
        answer = b""
        while not answer and time.monotonic() < end:
            sock.sendall(b"1\r\nx\r\n")
            try:
                answer = sock.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 "), answer


@pytest.mark.parametrize(
    "length", ["Content-Length: 100\r\n\r\nshort", "Transfer-Encoding: chunked\r\n\r\n64\r\nshort"]
)
def test_a_body_that_breaks_off_leaves_nothing(server: WebServer, scene: Scene, alice: Person, length: str) -> None:
    job = scene.begin(alice)
    with server.tls() as sock:
        head = f"PUT /jobs/{job}/data/run.sh HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {alice.token}\r\n"
        sock.sendall(f"{head}{length}".encode())
        sock.shutdown(socket.SHUT_WR)
    end = time.monotonic() + PATIENCE_S
    while f"/jobs/{job}/data/run.sh' -> 400" not in server.said() and time.monotonic() < end:
        time.sleep(0.05)
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []


def test_chunked_uploads_without_end_are_ended_at_the_limit(server: WebServer, scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    for path in (f"/jobs/{job}/data/run.sh", f"{V1}/jobs/{job}/inputs/run.sh", f"{V1}/jobs", "/proxies"):
        with server.tls() as sock:
            verb = "POST" if path.endswith(("jobs", "proxies")) else "PUT"
            head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            sock.sendall(f"{head}Transfer-Encoding: chunked\r\nAuthorization: Bearer {alice.token}\r\n\r\n".encode())
            sent = 0
            with pytest.raises(OSError):
                while sent < 256 << 20:
                    sent += sock.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
            assert sent < 64 << 20, path
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []


def test_a_refused_upload_still_brings_its_answer_to_a_client_that_sends_all_first(
    server: WebServer, alice: Person
) -> None:
    connection = server.connection()
    pieces = (b"x" * 65536 for _ in range(64))
    connection.request("PUT", "/jobs/424242/data/run.sh", body=pieces, headers=alice.headers)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (404, {"msg": "there is no job 424242"})


def test_a_killed_worker_leaves_nothing_half_and_is_replaced(server: WebServer, scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    with server.tls() as sock:
        head = f"PUT /jobs/{job}/data/run.sh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        sock.sendall(f"{head}Authorization: Bearer {alice.token}\r\n\r\n".encode() + b"x" * 300_000)
        time.sleep(0.3)
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        end = time.monotonic() + PATIENCE_S
        while server.workers() in ([], before) and time.monotonic() < end:
            time.sleep(0.05)
    assert healthy(server)
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []
    assert scene.store.list(f"inputs/{job // 1000}/{job}") == []
    assert scene.call(alice, "PUT", f"/jobs/{job}/inputs/run.sh", data=SCRIPT).status_code == 201


def test_sighup_renews_and_a_broken_configuration_changes_nothing(server: WebServer, scene: Scene) -> None:
    assert server.process is not None
    good = scene.file.read_text()
    scene.file.write_text("<config><nonsense/></config>")
    before = server.workers()
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + PATIENCE_S
    while set(server.workers()) & set(before) and time.monotonic() < end:
        time.sleep(0.05)
    scene.file.write_text(good)
    assert "everything stays as it is" in server.said()
    assert healthy(server)


def test_systemd_is_told_ready_and_watchdog(server: WebServer, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(PATIENCE_S)
        server.restart(NOTIFY_SOCKET=address)
        heard: list[str] = []
        while not {"READY=1", "WATCHDOG=1"} <= set(heard):
            heard += systemd.recv(1000).decode().splitlines()
    server.restart()
    assert healthy(server)


def test_after_a_restart_sessions_and_jobs_that_were_begun_go_on(
    server: WebServer, scene: Scene, alice: Person
) -> None:
    job = scene.begin(alice)
    connection = server.connection()
    connection.request("PUT", f"/jobs/{job}/data/run.sh", body=iter([SCRIPT]), headers=alice.headers)
    assert connection.getresponse().status == 204
    server.restart()
    connection = server.connection()
    body = json.dumps({"ids": [job]})
    connection.request("POST", f"{V1}/jobs/confirm", body, alice.headers | {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    assert answer == {"jobs": [{"id": job, "state": "tosubmit", "name": "slow"}]}


# -- stopping ----------------------------------------------------------------------------------------------------------

NEVER_S = 3600
PATIENT = f"""from act.web import server
server.STOP_S = {NEVER_S}
from act.cli.actctl import main
main()"""


@pytest.fixture
def patient_scene(tmp_path: Path, sqlite_template: Path, ca: TestCA) -> Iterator[Scene]:
    cert, key = ca.host()
    web = (
        f"{ANY_PORT}<certificate>{cert}</certificate><key>{key}</key><processes>1</processes>"
        f"<header_s>{NEVER_S}</header_s><stall_s>{NEVER_S}</stall_s>"
    )
    with scene_in(tmp_path, sqlite_template, ca, web=web) as scene:
        yield scene


@pytest.fixture
def patient(patient_scene: Scene, ca: TestCA) -> Iterator[WebServer]:
    """A server that waits for requests, those under way when it is to stop too, much longer than tests do."""
    with WebServer(patient_scene.file, ca.ca_cert, program=("-c", PATIENT)) as server:
        yield server
        if server.process is not None and server.process.poll() is None:
            server.stop(signal.SIGKILL)


def test_it_stops_although_browsers_hold_connections_without_a_request(patient: WebServer) -> None:
    silent, greeted, kept = patient.raw(), patient.tls(), patient.connection()
    kept.request("GET", f"{V1}/health")
    assert kept.getresponse().read()
    assert patient.stop() == 0
    assert kept.sock is not None
    assert [answer_of(sock) for sock in (silent, greeted, kept.sock)] == [b"", b"", b""]


def test_a_request_that_is_under_way_when_it_is_to_stop_is_answered(patient: WebServer, patient_scene: Scene) -> None:
    alice = patient_scene.person("alice")
    job = patient_scene.begin(alice)
    idle, busy = patient.raw(), patient.tls()
    head = f"PUT {V1}/jobs/{job}/inputs/run.sh HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(SCRIPT)}\r\n"
    busy.sendall(f"{head}Authorization: Bearer {alice.token}\r\n\r\n".encode() + SCRIPT[:1])
    assert patient.process is not None
    patient.process.send_signal(signal.SIGTERM)
    assert answer_of(idle) == b""
    assert patient.process.poll() is None
    busy.sendall(SCRIPT[1:])
    assert answer_of(busy).startswith(b"HTTP/1.1 201 ")
    assert patient.process.wait(PATIENCE_S) == 0
    assert [i["name"] for i in patient_scene.call(alice, "GET", f"/jobs/{job}").json["inputs"]] == ["run.sh"]

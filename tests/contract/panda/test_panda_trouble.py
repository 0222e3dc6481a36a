"""The client and a server that is broken, slow, strange or does not trust it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from panda_kit import QUEUE, acquire, connected, one_job

from act.errors import CredentialError, SourceUnreachable
from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.panda import JobUpdate, PandaClient, PandaServer
from act_atlas.simulator import Access, Order, PandaSimulator


@pytest.mark.parametrize(
    "action", ["refuse", "error-before", "error-after", "cut-after", "truncate", "garbage", "empty"]
)
def test_every_broken_answer_is_source_unreachable(sim: PandaSimulator, client: PandaClient, action: str) -> None:
    pandaid = one_job(sim, client)
    sim.faults.add({"path": "panda|api", "action": action})
    with pytest.raises(SourceUnreachable) as error:
        acquire(client)
    assert error.value.sent
    for call in (
        lambda: client.update_bulk([JobUpdate(pandaid, "running", 1)]), lambda: client.job_status([pandaid]),
        client.queue_stats, client.is_alive,
    ):  # fmt: skip
        with pytest.raises(SourceUnreachable):
            call()
    sim.faults.clear()
    client.is_alive()


def test_a_silent_server_costs_no_more_than_the_deadline(sim: PandaSimulator, server: PandaServer) -> None:
    sim.faults.add({"path": "", "action": "hang"})
    with connected(replace(server, read_s=30, total_s=0.3)) as c, pytest.raises(SourceUnreachable):
        c.is_alive()


def test_a_server_that_trickles_costs_no_more_than_the_deadline(ca: TestCA) -> None:
    with trickling(ca) as port:
        server = PandaServer(f"https://localhost:{port}", ca.ca_dir, read_s=30, total_s=0.5)
        with connected(server) as c, pytest.raises(SourceUnreachable):
            c.is_alive()


@contextmanager
def trickling(ca: TestCA) -> Iterator[int]:
    """A TLS server that sends its answer a header a time, for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.host())
    stop = threading.Event()

    def serve() -> None:
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            try:
                while not stop.wait(0.05):
                    connection.sendall(b"X-More: 1\r\n")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


def test_a_server_that_is_not_there_has_certainly_not_acted(server: PandaServer, sim: PandaSimulator) -> None:
    sim.stop()
    with connected(server) as c, pytest.raises(SourceUnreachable) as error:
        acquire(c)
    assert not error.value.sent


def test_a_server_with_a_bad_certificate_is_not_spoken_to(ca: TestCA, server: PandaServer, tmp_path: Path) -> None:
    other = TestCA(tmp_path)
    with connected(replace(server, ca_dir=other.ca_dir)) as c, pytest.raises(SourceUnreachable) as error:
        c.is_alive()
    assert not error.value.sent
    with PandaSimulator(ca, cert_expired=True) as expired:
        old = replace(server, url=expired.url)
        with connected(old) as c, pytest.raises(SourceUnreachable, match="certificate has expired"):
            c.is_alive()


def test_roles_are_asked_for(ca: TestCA, server: PandaServer) -> None:
    access = Access(True, ("/CN=tower",), {"secret": "atlas/production", "weak": "atlas/pilot"})
    with PandaSimulator(ca, access=access) as sim:
        base = replace(server, url=sim.url)
        (pandaid,) = sim.board.define(Order(QUEUE))
        update = [JobUpdate(pandaid, "running", 1)]
        proxies = {}
        for name in ("tower", "nobody"):
            certificate, key = ca.user(name)
            proxies[name] = make_proxy(certificate.read_bytes(), key.read_bytes(), 3600)
        good = [{"proxy_pem": proxies["tower"]}, {"token": "secret", "origin": "atlas.production"}]
        bad: list[dict[str, Any]] = [
            {}, {"proxy_pem": proxies["nobody"]}, {"token": "secret"},
            {"token": "forged", "origin": "atlas.production"}, {"token": "weak", "origin": "atlas.pilot"},
        ]  # fmt: skip
        for credential in bad:
            with connected(replace(base, **credential)) as c, pytest.raises(CredentialError):
                c.update_bulk(update)
        for credential in good:
            with connected(replace(base, **credential)) as c:
                assert c.update_bulk(update)[0].accepted


def test_a_certificate_the_server_refuses_is_a_credential_error(server: PandaServer, tmp_path: Path) -> None:
    certificate, key = TestCA(tmp_path).user("stranger")
    stranger = replace(server, proxy_pem=certificate.read_bytes() + key.read_bytes())
    with connected(stranger) as c, pytest.raises(CredentialError):
        c.is_alive()

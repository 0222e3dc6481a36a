"""Proxies by real VOMS clients, with attributes of a real VOMS server, are believed when they are handed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from act.client.identity import Caller, Forbidden, Gate
from act.config import CoreConfig, Group, Proxies, Timeouts, Users, Web
from act.daemons.credentials.voms_client import VomsClient
from act.db.engine import Database
from act.keys import make_key, make_secret
from act.simulation import TestCA
from act.x509 import make_proxy
from tests.needs import need
from tests.people import Proxy, read_proxy_file
from tests.services.mariadb import MariaDB
from tests.services.voms import VomsServer

HOUR_S = 3600.0
CA, ROBOT, HOST = "/O=act/CN=aCT test CA", "/O=act/CN=robot", "voms.example.org"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(mariadb: MariaDB, ca: TestCA) -> Iterator[VomsServer]:
    need(VomsServer.installed())
    with VomsServer(mariadb, ca.ca_dir, *ca.host(HOST, rsa=True)) as server:
        server.grant(ROBOT, CA, "production")
        yield server


@pytest.fixture
def config(ca: TestCA, tmp_path: Path) -> CoreConfig:
    (tmp_path / "vomsdir/atlas").mkdir(parents=True)
    (tmp_path / f"vomsdir/atlas/{HOST}.lsc").write_text(f"/O=act/CN={HOST}\n{CA}\n")
    make_key(tmp_path / "proxy.key")
    make_secret(tmp_path / "web.key")
    return CoreConfig(
        ca_dir=ca.ca_dir, proxies=Proxies(key_file=tmp_path / "proxy.key"), timeouts=Timeouts(call_s=30),
        users=Users(group=(Group(name="production", fqan=("/atlas/Role=production",)),), voms_dir=tmp_path / "vomsdir"),
        web=Web(secret_file=tmp_path / "web.key"),
    )  # fmt: skip


@pytest.fixture
def gate(config: CoreConfig, new_database: object) -> Iterator[Gate]:
    database = Database(new_database("sqlite"))  # type: ignore[operator]
    yield Gate(config, database)
    database.close()


def hand_over(gate: Gate, proxy: Proxy) -> Caller:
    offer = gate.offer(proxy.cert, proxy.chain)
    return gate.accept(offer.token, proxy.sign(offer.request), f"{proxy.cert}{proxy.chain}")[1]


@pytest.mark.parametrize("command", ["voms-proxy-init", "arcproxy", "arcproxy of a proxy"])
def test_the_attributes_of_a_real_proxy_are_believed(
    server: VomsServer, ca: TestCA, gate: Gate, tmp_path: Path, command: str
) -> None:
    cert, key = ca.user("robot")
    program, _, of_proxy = command.partition(" of a ")
    if of_proxy:
        long = tmp_path / "long.pem"
        long.write_bytes(make_proxy(cert.read_bytes(), key.read_bytes(), 30 * HOUR_S))
        long.chmod(0o600)
        cert = key = long
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).symlink_to(f"/usr/bin/{program}")
    client = VomsClient(ca.ca_dir, server.vomses, tmp_path, 60, str(tmp_path / "bin"))
    made = client.make(cert, key, "atlas", "/atlas/Role=production", 12 * HOUR_S)
    caller = hand_over(gate, read_proxy_file(made))
    assert (caller.subject, caller.issuer, caller.groups) == (ROBOT, CA, {"production"})


def test_the_same_proxy_is_nothing_where_another_server_is_known(
    server: VomsServer, ca: TestCA, gate: Gate, config: CoreConfig, tmp_path: Path
) -> None:
    (config.users.voms_dir / f"atlas/{HOST}.lsc").write_text(f"/O=act/CN=new.example.org\n{CA}\n")
    client = VomsClient(ca.ca_dir, server.vomses, tmp_path, 60)
    proxy = read_proxy_file(client.make(*ca.user("robot"), "atlas", "", 12 * HOUR_S))
    with pytest.raises(Forbidden, match=rf"which is not the VOMS server {HOST} of VO atlas"):
        gate.offer(proxy.cert, proxy.chain)

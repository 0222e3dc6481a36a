"""Proxies with attributes from a real VOMS server: made, checked, renewed, and taken by a real CE."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from act import voms
from act.config import CoreConfig, Paths, Proxies, ProxySource
from act.daemons.credentials.sources import Sources
from act.daemons.credentials.voms_client import VomsClient
from act.errors import CredentialError
from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.run import complaints
from tests.acceptance.trial import Trial
from tests.needs import need
from tests.services.mariadb import MariaDB
from tests.services.voms import VomsServer

HOUR_S = 3600.0
LIFE_H = 96.0
PRODUCTION, PILOT = "/atlas/Role=production", "/atlas/Role=pilot"
CA, ROBOT = "/O=act/CN=aCT test CA", "/O=act/CN=robot"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(mariadb: MariaDB, ca: TestCA) -> Iterator[VomsServer]:
    """A VOMS server that knows the robot as a member with the role production."""
    need(VomsServer.installed())
    with VomsServer(mariadb, ca.ca_dir, *ca.host("voms.example.org", rsa=True)) as server:
        server.grant(ROBOT, CA, "production")
        yield server


@pytest.fixture
def sources(server: VomsServer, ca: TestCA, tmp_path: Path) -> Sources:
    return Sources(config(server, ca, tmp_path))


def config(server: VomsServer, ca: TestCA, directory: Path) -> CoreConfig:
    proxies = Proxies(vomses=server.vomses)
    return CoreConfig(ca_dir=ca.ca_dir, proxies=proxies, paths=Paths(state_dir=directory / "state"))


def robot(ca: TestCA, fqan: str = PRODUCTION) -> ProxySource:
    """Proxies of the robot with an attribute."""
    certificate, key = ca.user("robot")
    return ProxySource(role="r", source_cert=certificate, source_key=key, voms="atlas", fqan=fqan)


def left_h(expires: float) -> float:
    """Hours until then."""
    return (expires - time.time()) / HOUR_S


def test_a_proxy_with_the_attribute_is_made_for_its_whole_life(sources: Sources, ca: TestCA) -> None:
    made = sources.proxy(robot(ca))
    assert made.fqans == (PRODUCTION, "/atlas")
    assert made.identity == ROBOT
    assert left_h(made.expires) == pytest.approx(LIFE_H, abs=0.1)
    (attributes,) = voms.read(made.pem)
    assert attributes.issuer == "/O=act/CN=voms.example.org"


def test_membership_alone_is_an_attribute_too(sources: Sources, ca: TestCA) -> None:
    assert sources.proxy(robot(ca, "/atlas")).fqans[0] == "/atlas"
    assert sources.proxy(robot(ca, "")).fqans


def test_a_role_that_the_vo_does_not_grant_is_told_in_the_servers_words(sources: Sources, ca: TestCA) -> None:
    with pytest.raises(CredentialError, match="Unable to satisfy"):
        sources.proxy(robot(ca, PILOT))


def test_who_is_no_member_gets_nothing(sources: Sources, ca: TestCA) -> None:
    certificate, key = ca.user("stranger")
    source = robot(ca).model_copy(update={"source_cert": certificate, "source_key": key})
    with pytest.raises(CredentialError, match="voms-proxy-init: "):
        sources.proxy(source)


def test_a_proxy_may_be_the_source_and_bounds_the_life(sources: Sources, ca: TestCA, tmp_path: Path) -> None:
    certificate, key = (path.read_bytes() for path in ca.user("robot"))
    path = tmp_path / "long.pem"
    path.write_bytes(make_proxy(certificate, key, 30 * HOUR_S))
    path.chmod(0o600)
    made = sources.proxy(robot(ca).model_copy(update={"source_cert": path, "source_key": None}))
    assert made.fqans == (PRODUCTION, "/atlas")
    assert left_h(made.expires) == pytest.approx(30, abs=0.1)


def test_arcproxy_does_where_voms_proxy_init_is_not(server: VomsServer, ca: TestCA, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/arcproxy").symlink_to("/usr/bin/arcproxy")
    client = VomsClient(ca.ca_dir, server.vomses, tmp_path, 60, str(tmp_path / "bin"))
    pem = client.make(*ca.user("robot"), "atlas", PRODUCTION, LIFE_H * HOUR_S)
    assert voms.check(pem, "atlas", PRODUCTION).fqans == (PRODUCTION, "/atlas")


def test_attributes_that_the_server_cuts_short_end_the_proxys_use(mariadb: MariaDB, ca: TestCA, tmp_path: Path) -> None:
    with VomsServer(mariadb, ca.ca_dir, *ca.host("voms.example.org", rsa=True), max_s=12 * 3600) as server:
        server.grant(ROBOT, CA, "production")
        made = Sources(config(server, ca, tmp_path)).proxy(robot(ca))
    assert left_h(made.expires) == pytest.approx(12, abs=0.1)


def test_a_server_that_is_down_is_told(mariadb: MariaDB, ca: TestCA, tmp_path: Path) -> None:
    with VomsServer(mariadb, ca.ca_dir, *ca.host("voms.example.org", rsa=True)) as server:
        server.grant(ROBOT, CA, "production")
        server.stop()
        with pytest.raises(CredentialError, match="no proxy with attributes of atlas: voms-proxy-init: "):
            Sources(config(server, ca, tmp_path)).proxy(robot(ca))
        server.start()
        assert Sources(config(server, ca, tmp_path)).proxy(robot(ca)).fqans


def test_a_server_with_a_certificate_of_nobody_we_trust_gets_no_proxy(
    server: VomsServer, ca: TestCA, tmp_path: Path
) -> None:
    other = TestCA(tmp_path / "other")
    with pytest.raises(CredentialError):
        Sources(config(server, other, tmp_path)).proxy(robot(ca))


# -- towers --------------------------------------------------------------------------------------------------------

CE, QUEUE = "ce3", "VOMS"
JOBS = {
    "production": Kind("production", QUEUE, "finished", DONE, {"seconds": 1}),
    "pilot": Kind("a user's", QUEUE, "finished", DONE, {"seconds": 1, "label": "user"}),
}
SOURCE = """<proxy><role>{role}</role><source_cert>{cert}</source_cert><source_key>{key}</source_key>
    <voms>atlas</voms><fqan>/atlas/Role={role}</fqan></proxy>"""


@pytest.mark.real
@pytest.mark.group(name="contract")
@pytest.mark.slow
def test_a_role_that_the_vo_does_not_grant_stops_its_own_jobs_only_until_it_does(
    real_trial: Callable[..., Trial], mariadb: MariaDB
) -> None:
    need(VomsServer.installed())
    trial = real_trial(CE)
    grid = trial.grid
    assert grid is not None
    voms_cert = grid.root / "certs/voms-cert.pem"
    with VomsServer(mariadb, grid.ca_dir, voms_cert, voms_cert.with_name("voms-key.pem")) as server:
        server.grant("/O=Grid/O=aCT/CN=alice", "/O=Grid/O=aCT/CN=aCT test CA", "production")
        tower = trial.set_up({QUEUE: trial.real_ces(CE)})
        cert, key = grid.user_cert("alice")
        roles = "".join(SOURCE.format(role=role, cert=cert, key=key) for role in JOBS)
        renew_from(trial, f"<vomses>{server.vomses}</vomses>{roles}")
        log = grid.log_dir(CE) / "ws-interface.log"
        before = log.stat().st_size
        ids = {role: trial.order(kind, 3) for role, kind in JOBS.items()}
        tower.start()

        trial.wait("production done", lambda p: all(p.jobs[i].settled for i in ids["production"]), 120)
        waiting = trial.wait("waiting", lambda p: all(p.jobs[i].attempts for i in ids["pilot"]), 60)
        assert {a.state for i in ids["pilot"] for a in waiting.jobs[i].attempts} == {"tosubmit"}
        said = tower.actctl("status").stdout
        assert "Unable to satisfy" in said
        assert "/atlas/Role=production" in said
        server.grant_role("/O=Grid/O=aCT/CN=alice", "pilot")
        picture = trial.settle(180)
    assert tower.stop() == 0
    assert list(complaints(picture, trial.kinds)) == []
    with log.open() as lines:
        lines.seek(before)
        mapped = {line.split("'")[1] for line in lines if "mapped to local identity" in line}
    assert mapped == {"gridprod", "gridatlas"}  # without attributes it would be gridother


def renew_from(trial: Trial, sources: str) -> None:
    """Give the tower these sources of proxies instead of those it has."""
    text = trial.core_file.read_text()
    head, rest = text.partition("<proxy>")[0], text.partition("</proxies>")[2]
    trial.core_file.write_text(f"{head}<check_s>1</check_s>{sources}</proxies>{rest}")


@pytest.mark.slow
def test_a_renewed_proxy_reaches_jobs_that_wait_at_the_ce_longer_than_the_old_one_lives(trial: Trial) -> None:
    """The pilot could not speak with PanDA if it were given a proxy that has run out."""
    trial.world.start_panda("--adder", "1")
    ce = trial.world.start_ce("ce", "--queue-s", "50", "--allow", "/O=act/CN=tower")
    tower = trial.set_up({QUEUE: [ce]})
    cert, key = trial.world.ca.user("tower")
    life = f"<lifetime_h>{36 / HOUR_S}</lifetime_h><renew_below_h>{27 / HOUR_S}</renew_below_h>"
    source = f"<source_cert>{cert}</source_cert><source_key>{key}</source_key>"
    renew_from(trial, f"<proxy><role>production</role>{source}{life}</proxy>")
    trial.order(JOBS["production"], 2)
    tower.start()
    picture = trial.settle(180)
    assert list(complaints(picture, trial.kinds)) == []

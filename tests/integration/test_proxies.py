"""Proxies are renewed in time, checked, and one that is broken stops its own jobs and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from act.daemons.credentials.voms_client import VomsClient
from act.errors import CredentialError
from act.simulation import TestCA
from act.x509 import make_proxy, read_proxy
from tests.integration.renewal import PILOT, PRODUCTION, Renewal

HOUR_S = 3600.0


# -- proxies -----------------------------------------------------------------------------------------------------------


def test_a_proxy_is_made_once_and_renewed_when_a_quarter_of_its_life_is_over(renewal: Callable[..., Renewal]) -> None:
    tower = renewal(PRODUCTION)
    assert [tower.once(), tower.once()] == [1, 0]
    assert abs(tower.row().expires - time.time() - 96 * HOUR_S) < 60
    tower.age(0.2)
    assert tower.once() == 0
    tower.age(0.1)
    assert tower.once() == 1
    assert tower.row().generation == 2
    assert abs(read_proxy(tower.pem()).expires - time.time() - 96 * HOUR_S) < 60


def test_what_lives_shorter_than_asked_for_is_not_renewed_at_every_look(
    renewal: Callable[..., Renewal], ca: TestCA
) -> None:
    tower = renewal("<proxy><role>production</role><source_cert>{dir}/short.pem</source_cert></proxy>")
    short = make_proxy(tower.cert.read_bytes(), tower.key.read_bytes(), 10 * HOUR_S)
    (tower.directory / "short.pem").write_bytes(short)
    assert [tower.once(), tower.once()] == [1, 0]
    assert abs(tower.row().expires - time.time() - 10 * HOUR_S) < 60


def test_a_role_that_cannot_have_a_proxy_says_why_and_the_others_get_theirs(renewal: Callable[..., Renewal]) -> None:
    tower = renewal(PILOT + PRODUCTION)
    assert tower.once() == 1
    assert tower.row().error is None
    assert "no good proxy for role 'pilot'" in tower.row("pilot").error
    with pytest.raises(CredentialError, match=r"there is no proxy of role 'pilot': no good proxy"):
        tower.pem("pilot")


def test_a_proxy_that_cannot_be_renewed_stays_in_use_until_it_has_run_out(renewal: Callable[..., Renewal]) -> None:
    tower = renewal("<proxy><role>production</role><source_cert>{dir}/robot.pem</source_cert></proxy>")
    source = tower.directory / "robot.pem"
    source.write_bytes(tower.cert.read_bytes() + tower.key.read_bytes())
    tower.once()
    source.unlink()
    tower.age(0.5)
    assert tower.once() == 0
    assert "robot.pem cannot be read" in tower.row().error
    assert tower.pem()
    tower.age(0.6)
    with pytest.raises(CredentialError, match=r"ran out at .* UTC; it cannot be renewed: .*robot.pem cannot be read"):
        tower.pem()
    source.write_bytes(tower.cert.read_bytes() + tower.key.read_bytes())
    assert tower.once() == 1
    assert tower.row().error is None
    assert tower.pem()


def test_who_renews_by_hand_is_told_of_each_credential_that_is_not_there(renewal: Callable[..., Renewal]) -> None:
    token = '<ces><ce url="https://ce.example.org/arex"><token><file>no-token</file></token></ce></ces>'
    tower = renewal(PILOT + PRODUCTION, token)
    command = [sys.executable, "-m", "act.cli", "daemon", "proxy", "--once"]
    done = subprocess.run(
        command, env=os.environ | {"ACTCONFIGARC": str(tower.file)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (75, "proxy: 1 moved\n")
    told = done.stderr[done.stderr.index("actctl: ") :]
    assert "the proxy of role 'pilot' cannot be renewed: no good proxy" in told
    assert "the token for https://ce.example.org/arex cannot be renewed" in told
    assert "production" not in told


# -- a directory of proxies that something else renews -----------------------------------------------------------------


@pytest.fixture
def pilot(renewal: Callable[..., Renewal]) -> Renewal:
    tower = renewal(PILOT)
    (tower.directory / "proxies").mkdir()
    return tower


def put(tower: Renewal, name: str, hours: float) -> bytes:
    """A proxy in the directory."""
    pem = make_proxy(tower.cert.read_bytes(), tower.key.read_bytes(), hours * HOUR_S)
    (tower.directory / "proxies" / name).write_bytes(pem)
    return pem


def test_the_proxy_in_the_directory_that_lives_longest_is_used(pilot: Renewal) -> None:
    put(pilot, "pilot.pem", 5)
    longest = put(pilot, "pilot.2.pem", 9)
    put(pilot, "pilots.pem", 50)
    put(pilot, "production.pem", 50)
    assert [pilot.once(), pilot.once()] == [1, 0]
    assert pilot.pem("pilot") == longest


def test_a_half_written_file_hides_no_good_one(pilot: Renewal) -> None:
    good = put(pilot, "pilot.1.pem", 5)
    (pilot.directory / "proxies/pilot.pem").write_bytes(put(pilot, "pilot.2.pem", 9)[:900])
    (pilot.directory / "proxies/pilot.2.pem").write_text("")
    pilot.once()
    assert pilot.pem("pilot") == good


def test_a_proxy_that_was_renewed_from_outside_is_taken_at_the_next_look(pilot: Renewal) -> None:
    put(pilot, "pilot.pem", 5)
    pilot.once()
    renewed = put(pilot, "pilot.pem", 6)
    assert pilot.once() == 1
    assert pilot.pem("pilot") == renewed


def test_a_directory_with_expired_proxies_only_is_an_error(pilot: Renewal) -> None:
    put(pilot, "pilot.pem", 1 / HOUR_S)
    time.sleep(1.5)
    pilot.once()
    assert "pilot.pem: the proxy has expired: renew it" in pilot.row("pilot").error


def test_a_proxy_without_the_attribute_that_was_asked_for_is_an_error(renewal: Callable[..., Renewal]) -> None:
    wanted = "<voms>atlas</voms><fqan>/atlas/Role=pilot</fqan></proxy>"
    tower = renewal(PILOT.replace("</proxy>", wanted))
    (tower.directory / "proxies").mkdir()
    put(tower, "pilot.pem", 5)
    tower.once()
    assert "has no VOMS attributes, wanted is /atlas/Role=pilot of VO atlas" in tower.row("pilot").error


# -- VOMS clients ------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Path, ca: TestCA) -> VomsClient:
    (tmp_path / "bin").mkdir()
    return VomsClient(ca.ca_dir, tmp_path / "vomses", tmp_path / "work", 5, f"{tmp_path}/bin:/usr/bin:/bin")


def command(client: VomsClient, script: str) -> None:
    """What is found as voms-proxy-init."""
    path = Path(client.path.partition(":")[0]) / "voms-proxy-init"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(client: VomsClient, ca: TestCA) -> bytes:
    return client.make(*ca.user("robot"), "atlas", "/atlas/Role=pilot", 96 * HOUR_S)


OUT = 'while [ "$1" != -out ]; do shift; done; '


def test_a_client_runs_alone_with_a_clean_environment(
    client: VomsClient, ca: TestCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", "/somebody/else")
    command(client, OUT + 'env >"$2"; stat -c %a "$(dirname "$2")" >>"$2"')
    said = run(client, ca).decode()
    assert "somebody" not in said
    assert f"X509_CERT_DIR={ca.ca_dir}\n" in said
    assert said.endswith("700\n")
    assert list(client.work_dir.iterdir()) == []


def test_what_a_client_says_is_in_the_error_without_its_noise(client: VomsClient, ca: TestCA) -> None:
    command(client, "echo '....++++*...' >&2; echo 'Unable to satisfy the request' >&2; exit 1")
    with pytest.raises(CredentialError, match=r"of atlas: voms-proxy-init: Unable to satisfy the request(;|$)"):
        run(client, ca)


def test_a_client_that_hangs_is_ended(client: VomsClient, ca: TestCA) -> None:
    command(client, "exec sleep 600")
    with pytest.raises(CredentialError, match="no end within 1 s"):
        run(replace(client, deadline_s=1), ca)
    assert list(client.work_dir.iterdir()) == []


def test_a_client_that_fails_after_writing_is_not_believed(client: VomsClient, ca: TestCA) -> None:
    command(client, OUT + 'echo something >"$2"; exit 3')
    with pytest.raises(CredentialError, match="no proxy with attributes"):
        run(client, ca)


def test_a_host_without_clients_is_told_what_to_do(client: VomsClient, ca: TestCA, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="install voms-clients"):
        run(replace(client, path=str(tmp_path / "bin")), ca)


def test_keys_that_a_crash_left_are_removed(client: VomsClient, ca: TestCA) -> None:
    command(client, OUT + 'echo made >"$2"')
    left = client.work_dir / "making-proxy-crashed"
    young = client.work_dir / "making-proxy-young"
    for directory in (left, young):
        directory.mkdir(parents=True)
        (directory / "proxy.pem").write_text("a key")
    os.utime(left, (0, 0))
    assert run(client, ca) == b"made\n"
    assert list(client.work_dir.iterdir()) == [young]

"""Options of a CE behind HTCondor: the way to it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from act.errors import ConfigError, CredentialError
from act.model import CEAddress, Proxy
from act.simulation import TestCA
from act.x509 import make_proxy
from act_condor.ce import factory
from act_condor.holds import Policy
from act_condor.options import read
from tests.fakes import Stored


def address(submit_point: str = "", **options: str) -> CEAddress:
    return CEAddress(1, "condor", "ce01.example.org:9619", Path("/ca"), submit_point=submit_point, options=options)


def test_straight_to_the_ce_its_host_names_the_schedd_and_its_url_the_collector() -> None:
    found = read(address())
    assert (found.route, found.schedd, found.collector) == ("direct", "ce01.example.org", "ce01.example.org:9619")


def test_behind_a_submit_point_the_ce_is_a_grid_resource_by_default() -> None:
    found = read(address("submit.example.org"))
    assert (found.route, found.schedd, found.collector) == ("grid", "submit.example.org", "")
    assert found.grid_resource == "condor ce01.example.org ce01.example.org:9619"
    named = read(address("submit.example.org", schedd="ce", collector="c:1", submit_collector="pool:2"))
    assert (named.grid_resource, named.collector) == ("condor ce c:1", "pool:2")
    assert read(address("submit.example.org", grid_resource="batch slurm")).grid_resource == "batch slurm"


def test_names_in_capitals_are_settings_of_htcondor() -> None:
    assert read(address(SEC_TOKEN_DIRECTORY="/tokens")).macros == {"SEC_TOKEN_DIRECTORY": "/tokens"}


def test_the_policy_for_a_hold_code_can_be_changed() -> None:
    found = read(address(hold_release="26, 34", hold_keep="13", hold_release_after_s="60"))
    assert [found.policies[code] for code in (26, 34, 13)] == [Policy.RELEASE, Policy.RELEASE, Policy.KEEP]
    assert found.policies[12] == Policy.FAIL
    assert found.release_after_s == 60


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rote": "pool"}, "option rote of the CE ce01.example.org:9619 behind s is unknown"),
        ({"route": "direct"}, "it may be grid or pool"),
        ({"hold_fail": "memory"}, "it lists hold codes"),
        ({"hold_release_after_s": "soon"}, "it is a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_told_and_the_ce_not_used(
    options: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        read(address("s", **options))
    certificate, key = (path.read_bytes() for path in TestCA(tmp_path).user("alice"))
    with pytest.raises(CredentialError, match=told):
        factory(address("s", **options), Proxy(1, "", "alice", make_proxy(certificate, key, 3600)), Stored())

"""Tokens are renewed in time, checked, and one that is broken stops its own CE and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from act.errors import CredentialError
from act.simulation import TestCA
from act.simulation.issuer import OidcSimulator
from act.x509 import read_proxy
from act_arc.simulator import ArcSimulator
from tests.integration.renewal import PRODUCTION, Renewal


@pytest.fixture
def issuer(ca: TestCA) -> Iterator[OidcSimulator]:
    with OidcSimulator(ca, {"act": "secret"}, lifetime_s=1200) as issuer:
        yield issuer


def token_of(issuer: OidcSimulator, url: str) -> str:
    """Elements for a CE that takes tokens."""
    return f"""<ces><ce url="{url}"><token><issuer>{issuer.url}</issuer><client_id>act</client_id>
        <client_secret_file>secret</client_secret_file></token></ce></ces>"""


def test_a_ce_with_a_token_is_spoken_to_with_it_and_jobs_still_get_the_proxy(
    renewal: Callable[..., Renewal], issuer: OidcSimulator, ca: TestCA, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    keys = issuer.keys.public()
    with ArcSimulator(tmp_path / "ce", ca, token_keys=keys) as sim:
        tower = renewal(PRODUCTION, token_of(issuer, sim.url + "/"))
        assert tower.once() == 2
        delegation = tower.context.ce(tower.lane(sim.url)).delegate()
        (known,) = sim.state()["delegations"]
        assert (known["id"], known["owner"]) == (delegation, f"{issuer.url}/act")
        given = sim.delegations.known[delegation].proxy()
        assert read_proxy(given).identity == tower.row().identity


def test_a_token_is_renewed_when_half_of_its_life_is_over_and_the_ce_is_shown_the_new_one(
    renewal: Callable[..., Renewal], issuer: OidcSimulator, ca: TestCA, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    issuer.lifetime_s = 6
    with ArcSimulator(tmp_path / "ce", ca, token_keys=issuer.keys.public()) as sim:
        tower = renewal(PRODUCTION, token_of(issuer, sim.url))
        assert [tower.once(), tower.once()] == [2, 0]
        lane = tower.lane(sim.url)
        first = tower.context.ce(lane)
        first.probe()
        assert tower.context.ce(lane) is first
        time.sleep(3.5)
        issuer.lifetime_s = 600
        assert tower.once() == 1
        assert tower.token(sim.url).generation == 2
        time.sleep(3)
        with pytest.raises(CredentialError):
            first.probe()
        tower.context.ce(lane).probe()


def test_a_token_that_cannot_be_had_stops_only_its_own_ce(
    renewal: Callable[..., Renewal], issuer: OidcSimulator, ca: TestCA, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("wrong")
    with ArcSimulator(tmp_path / "ce", ca) as other:
        url = "https://ce.example.org/arex"
        tower = renewal(PRODUCTION, token_of(issuer, url))
        assert tower.once() == 1
        with pytest.raises(
            CredentialError, match=r"there is no token for https://ce.example.org.* 401 .*invalid_client"
        ):
            tower.context.ce(tower.lane(url))
        tower.context.ce(tower.lane(other.url)).probe()


def test_a_token_file_is_read_again_when_it_was_replaced(
    renewal: Callable[..., Renewal], issuer: OidcSimulator, tmp_path: Path
) -> None:
    url = "https://ce.example.org/arex"
    tower = renewal("", f'<ces><ce url="{url}"><token><file>token</file></token></ce></ces>')
    (tmp_path / "token").write_text(issuer.keys.sign("robot", 600))
    assert [tower.once(), tower.once()] == [1, 0]
    (tmp_path / "token").write_text(issuer.keys.sign("robot", 900))
    assert tower.once() == 1
    (tmp_path / "token").write_text("nothing")
    assert tower.once() == 0
    assert "token: that is no JWT" in tower.token(url).error

"""What `actctl doctor` says of whom the tower trusts, and of its own credentials."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from act.config import CoreConfig
from act.config.credentials import ProxySource
from act.config.users import Group, Users
from act.doctor import credentials, trust
from act.doctor.check import Check, Verdict
from tests.people import People
from tests.unit.doctor_checks import BAD, GOOD, HOUR, NOW, WARNING, look_at, only, row

# -- whom we trust -----------------------------------------------------------------------------------------------------


def trusted(people: People, **more: Any) -> list[Check]:
    return list(trust.look(CoreConfig(ca_dir=people.ca_dir, **more)))


SOME = Users(group=(Group(name="all", subject=("/CN=x",)),))


def test_a_revocation_list_that_ran_out_is_bad_where_people_come_with_certificates(own: People) -> None:
    own.revoke(next_update=datetime.timedelta(days=9))
    assert [c.verdict for c in trusted(own, users=SOME)] == [GOOD, GOOD]
    own.revoke(next_update=datetime.timedelta(hours=2))
    assert [c.verdict for c in trusted(own, users=SOME)] == [GOOD, WARNING]
    own.revoke(next_update=-datetime.timedelta(hours=2))
    told = trusted(own, users=SOME)[1]
    assert told.verdict is BAD
    assert "1 list ran out, the first 2 h ago" in told.found
    assert "fetch-crl" in told.todo
    assert trusted(own)[1].verdict is WARNING


def test_a_broken_revocation_list_is_told(own: People) -> None:
    own.revoke().write_bytes(b"-----BEGIN nothing")
    assert "is broken" in trusted(own)[1].found


def test_a_directory_without_cas_is_bad(own: People) -> None:
    for path in own.ca_dir.iterdir():
        path.unlink()
    assert only(trusted(own)).verdict is BAD


def test_no_directory_of_cas_is_a_verdict(tmp_path: Path) -> None:
    config = CoreConfig(ca_dir=tmp_path / "none")
    check = look_at(lambda: list(trust.look(config)))[0]
    assert check.verdict is BAD
    assert "cannot be read" in check.found


# -- credentials -------------------------------------------------------------------------------------------------------

SOURCE = ProxySource(role="production", directory=Path("/x"), voms="atlas", fqan="/atlas/Role=production")
PROXY = {"identity": "/CN=x", "issued": NOW, "expires": NOW + 96 * HOUR, "error": None,
         "fqans": "/atlas/Role=production/Capability=NULL"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict", "found"),
    [
        ({}, GOOD, "good for 4 d"),
        ({"expires": NOW - HOUR, "error": "no VOMS server"}, BAD, "ran out 1 h ago: no VOMS server"),
        ({"expires": 0.0, "error": "no key"}, BAD, "never came: no key"),
        ({"error": "no VOMS server"}, WARNING, "cannot be renewed: no VOMS server"),
        ({"fqans": "/atlas"}, WARNING, "has not /atlas/Role=production"),
        ({"issued": NOW - 90 * HOUR, "expires": NOW + 6 * HOUR}, WARNING, "should have been renewed"),
    ],
)
def test_a_proxy_that_will_not_do_is_told(changes: dict[str, Any], verdict: Verdict, found: str) -> None:
    check = credentials.proxy(SOURCE, row(**{**PROXY, **changes}), NOW)
    assert check.verdict is verdict
    assert found in check.found


def test_a_role_without_a_proxy_is_bad() -> None:
    assert credentials.proxy(SOURCE, None, NOW).verdict is BAD


def test_the_end_of_a_long_lived_certificate_is_told_in_time(tmp_path: Path, people: People) -> None:
    path = tmp_path / "cert.pem"
    certificate = people.user("alice").certificates[0]
    path.write_bytes(people.user("alice").cert.encode())
    ends = certificate.not_valid_after_utc.timestamp()
    life = ends - certificate.not_valid_before_utc.timestamp()
    lefts = (life / 2, min(life / 5, 13 * 24 * HOUR), -1)
    verdicts = [credentials.certificate("source", path, ends - left).verdict for left in lefts]
    assert verdicts == [GOOD, WARNING, BAD]
    path.write_text("nothing")
    assert credentials.certificate("source", path, NOW).verdict is BAD

"""What `actctl doctor` says of those who may submit generic jobs."""

from __future__ import annotations

from typing import Any

import pytest

from act.client import doctor as people_s
from act.config import CoreConfig
from act.config.users import Group, Quota, UserCE, Users
from act.doctor.check import Check, Verdict
from tests.people import People
from tests.unit.doctor_checks import BAD, GOOD, WARNING, only


def of_group(group: dict[str, Any], *ces: UserCE, free: int = 10**12) -> list[Check]:
    config = CoreConfig(users=Users(group=(Group(name="g", **group),), ce=ces))
    return [*people_s.groups(config), *people_s.quotas(config, free)]


CE = UserCE(name="lund", url="https://ce1.example.org/arex", flavour="arc")
HIM = {"subject": ("/CN=x",)}


@pytest.mark.parametrize(
    ("group", "ces", "found"),
    [
        (HIM, [], "there is no CE for its members"),
        ({**HIM, "role": "none"}, [CE], "no proxy of its role 'none'"),
        ({"token_group": ("/g",)}, [CE], "no issuer is believed"),
        ({"issuer": ("https://x",)}, [CE], "is none of users/issuer"),
    ],
)
def test_a_group_that_can_do_nothing_is_bad(group: dict[str, Any], ces: list[UserCE], found: str) -> None:
    check = of_group(group, *ces)[0]
    assert check.verdict is BAD
    assert found in check.found


def test_a_quota_larger_than_the_disk_is_told() -> None:
    assert [c.verdict for c in of_group(HIM, CE)] == [GOOD, GOOD]
    small = of_group({**HIM, "quota": Quota(max_mb=2000)}, CE, free=10**9)
    assert [c.verdict for c in small] == [GOOD, WARNING]


def test_attributes_of_an_unknown_vo_are_told(people: People) -> None:
    def told(fqan: str) -> Verdict:
        users = Users(group=(Group(name="g", fqan=(fqan,)),), voms_dir=people.voms_dir)
        return only(people_s.vomsdir(CoreConfig(users=users))).verdict

    assert told("/atlas/Role=x") is GOOD
    assert told("/cms") is BAD

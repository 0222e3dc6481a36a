"""What `actctl doctor` says of facts, and that no look can hold it up or end it."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from act import keys
from act.client import doctor as people_s
from act.config import CoreConfig
from act.config.core import Paths
from act.config.credentials import Proxies, ProxySource
from act.config.users import Group, Quota, UserCE, Users
from act.db.server import Server
from act.doctor import credentials, daemons, database, host, measures, sidebyside, trust
from act.doctor.check import Check, Examination, Verdict, good
from act.doctor.facts import Facts
from act.doctor.measures import GIB, Space
from act.errors import CredentialError, DatabaseBusy, SourceUnreachable
from tests.people import People

GOOD, WARNING, BAD, UNCHECKED = Verdict
NOW = 1_000_000.0
HOUR = 3600.0


def only(checks: Any) -> Check:
    (check,) = checks
    assert isinstance(check, Check)
    assert check.todo or check.verdict in (GOOD, UNCHECKED)
    return check


def row(**values: Any) -> Any:
    return SimpleNamespace(**values)


# --- looks side by side ------------------------------------------------------------------------------------------


def look_at(*looks: Callable[[], list[Check]], deadline_s: float = 30, threads: int = 4) -> list[Check]:
    examinations = [Examination(f"look {n}", look) for n, look in enumerate(looks)]
    return sidebyside.run(examinations, threads=threads, deadline_s=deadline_s)


def test_a_look_that_hangs_is_bad_and_holds_up_no_other() -> None:
    never = threading.Event()
    hangs = [lambda: [good("late", str(never.wait()))]] * 3
    checks = look_at(*hangs, lambda: [good("other", "well")], deadline_s=0.2, threads=1)
    assert [(c.what, c.verdict) for c in checks] == [
        ("look 0", BAD), ("look 1", BAD), ("look 2", BAD), ("other", GOOD)
    ]  # fmt: skip
    assert checks[0].found == "no answer within 0 s"
    never.set()


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (SourceUnreachable("gone away"), BAD),
        (CredentialError("gone away"), BAD),
        (DatabaseBusy("gone away"), UNCHECKED),
        (OSError(13, "gone away"), BAD),
        (ZeroDivisionError("gone away"), BAD),
    ],
)
def test_a_look_that_raises_is_a_verdict_with_something_to_do(error: Exception, verdict: Verdict) -> None:
    def look() -> list[Check]:
        raise error

    check = look_at(look)[0]
    assert (check.what, check.verdict) == ("look 0", verdict)
    assert "gone away" in check.found
    assert check.todo


def test_checks_come_in_the_order_of_their_examinations() -> None:
    first_may_end = threading.Event()

    def first() -> list[Check]:
        first_may_end.wait(30)
        return [good("first", "")]

    def second() -> list[Check]:
        first_may_end.set()
        return [good("second", "")]

    assert [c.what for c in look_at(first, second)] == ["first", "second"]


# --- measures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(0, GOOD), (-4, GOOD), (6, WARNING), (-6, WARNING), (61, BAD), (-600, BAD), (None, UNCHECKED)],
)
def test_clocks_that_differ_are_told(ahead_s: float | None, verdict: Verdict) -> None:
    assert measures.clock("clock", ahead_s).verdict is verdict


@pytest.mark.parametrize(
    ("space", "verdict"),
    [
        (Space(400 * GIB, 1000 * GIB, 10, 10), GOOD),
        (Space(60 * GIB, 1000 * GIB, 10, 10), GOOD),
        (Space(40 * GIB, 1000 * GIB, 10, 10), WARNING),
        (Space(10 * GIB, 1000 * GIB, 10, 10), BAD),
        (Space(0, GIB, 10, 10), BAD),
        (Space(GIB // 2, GIB, 0, 0), GOOD),
        (Space(400 * GIB, 1000 * GIB, 50, 1000), WARNING),
        (Space(400 * GIB, 1000 * GIB, 0, 1000), BAD),
    ],
)
def test_a_disk_that_gets_full_is_told_by_bytes_and_inodes(space: Space, verdict: Verdict) -> None:
    assert measures.space("disk", "/x", space).verdict is verdict


# --- this host ---------------------------------------------------------------------------------------------------


def test_a_secret_that_others_can_read_or_that_is_not_ours_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    me = host._name(os.geteuid())
    assert only(host.secret("secret", path, me)).verdict is GOOD
    assert only(host.secret("secret", path, "somebody")).verdict is BAD
    path.chmod(0o640)
    assert "chmod 600" in only(host.secret("secret", path, me)).todo
    path.unlink()
    assert "is not there" in only(host.secret("secret", path, me)).found


def test_a_key_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "proxy.key"
    config = CoreConfig(proxies=Proxies(key_file=path), paths=Paths(state_dir=tmp_path))
    assert only(host.sealing_key(config)).verdict is BAD
    keys.make_key(path)
    assert only(host.sealing_key(config)).verdict is GOOD
    path.write_text("nonsense")
    assert [c.verdict for c in host.sealing_key(config)] == [GOOD, BAD]


def test_a_directory_that_is_not_there_is_bad(tmp_path: Path) -> None:
    assert only(host.directory("store_dir", tmp_path / "none", "act")).verdict is BAD


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write what is not its own")
def test_a_directory_of_another_account_is_told_to_root(tmp_path: Path) -> None:
    assert len(list(host.directory("store_dir", tmp_path, "root"))) == 1
    told = next(host.directory("store_dir", tmp_path, "somebody"))
    assert (told.verdict, told.found) == (WARNING, f"{tmp_path} belongs to root, the tower runs as somebody")


def test_submission_that_is_stopped_is_bad() -> None:
    assert only(host.no_alarm(None)).verdict is GOOD
    assert "a copy" in only(host.no_alarm("a copy")).found


# --- whom we trust -----------------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def trusted(people: People, **more: Any) -> list[Check]:
    return list(trust.look(CoreConfig(ca_dir=people.ca_dir, **more)))


SOME = Users(group=(Group(name="all", subject=("/CN=x",)),))


def test_a_revocation_list_that_ran_out_is_bad_where_people_come_with_certificates(people: People) -> None:
    people.revoke(next_update=datetime.timedelta(days=9))
    assert [c.verdict for c in trusted(people, users=SOME)] == [GOOD, GOOD]
    people.revoke(next_update=datetime.timedelta(hours=2))
    assert [c.verdict for c in trusted(people, users=SOME)] == [GOOD, WARNING]
    people.revoke(next_update=-datetime.timedelta(hours=2))
    told = trusted(people, users=SOME)[1]
    assert told.verdict is BAD
    assert "1 list ran out, the first 2 h ago" in told.found
    assert "fetch-crl" in told.todo
    assert trusted(people)[1].verdict is WARNING


def test_a_broken_revocation_list_is_told(people: People) -> None:
    people.revoke().write_bytes(b"-----BEGIN nothing")
    assert "is broken" in trusted(people)[1].found


def test_a_directory_without_cas_is_bad(people: People) -> None:
    for path in people.ca_dir.iterdir():
        path.unlink()
    assert only(trusted(people)).verdict is BAD


def test_no_directory_of_cas_is_a_verdict(tmp_path: Path) -> None:
    config = CoreConfig(ca_dir=tmp_path / "none")
    check = look_at(lambda: list(trust.look(config)))[0]
    assert check.verdict is BAD
    assert "cannot be read" in check.found


# --- credentials -------------------------------------------------------------------------------------------------

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


def test_the_end_of_a_long_lived_certificate_is_told_in_time(people: People) -> None:
    path = people.directory / "cert.pem"
    certificate = people.user("alice").certificates[0]
    path.write_bytes(people.user("alice").cert.encode())
    ends = certificate.not_valid_after_utc.timestamp()
    life = ends - certificate.not_valid_before_utc.timestamp()
    lefts = (life / 2, min(life / 5, 13 * 24 * HOUR), -1)
    verdicts = [credentials.certificate("source", path, ends - left).verdict for left in lefts]
    assert verdicts == [GOOD, WARNING, BAD]
    path.write_text("nothing")
    assert credentials.certificate("source", path, NOW).verdict is BAD


# --- daemons -----------------------------------------------------------------------------------------------------


def beat(name: str, age_s: float = 1.0, **more: Any) -> Any:
    return row(**{"host": "here", "name": name, "age_s": age_s, "error": None, "error_at": None, **more})


def seen(enabled: dict[str, int], *beats: Any, master: Any = None) -> list[Check]:
    running = {"pid": 1, "daemons": []} if master is None else master
    return list(daemons.look("here", enabled, beats, NOW, running, 60.0))


def test_a_daemon_that_is_silent_is_bad_by_name() -> None:
    enabled = {"a": 1, "b": 1, "c": 2}
    beats = [beat("a"), beat("b"), beat("c.1"), beat("c.2")]
    assert [c.verdict for c in seen(enabled, *beats)] == [GOOD, GOOD]
    told = seen(enabled, beat("a"), beat("b", 100), beat("c.1"), beat("c.2", host="there"))
    assert [(c.what, c.verdict) for c in told[1:]] == [("daemon b", BAD), ("daemon c", BAD)]
    assert "1 min 40 s ago" in told[1].found
    assert "1 of 2 processes" in told[2].found


def test_when_nearly_all_are_silent_one_line_says_so() -> None:
    assert [c.what for c in seen(dict.fromkeys("abcd", 1))] == ["master", "daemons"]


def test_a_daemon_s_error_of_now_is_told_and_an_old_one_is_not() -> None:
    told = seen({"a": 1}, beat("a", error="oh\nno", error_at=NOW - 60))
    assert (told[-1].verdict, told[-1].found) == (WARNING, "1 min ago: oh no")
    assert [c.verdict for c in seen({"a": 1}, beat("a", error="oh no", error_at=NOW - 9000))] == [GOOD, GOOD]


def test_a_host_without_a_master_is_bad_and_restarts_are_told() -> None:
    assert next(daemons.look("here", {"a": 1}, [beat("a")], NOW, None, 60.0)).verdict is BAD
    restarts = {"pid": 1, "daemons": [{"name": "a", "restarts": 2, "last_end": "signal 9"}]}
    assert "a (2 restarts, last: signal 9)" in seen({"a": 1}, beat("a"), master=restarts)[0].found


# --- the database ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("10.11.6-MariaDB-0+deb12u1", GOOD), ("11.4.2-MariaDB", GOOD), ("5.5.5-10.11.6-MariaDB", GOOD),
        ("10.6.16-MariaDB", BAD), ("8.0.36", BAD),
    ],
)  # fmt: skip
def test_a_server_that_is_too_old_or_no_mariadb_is_bad(told: str, verdict: Verdict) -> None:
    assert only(database.version(False, told)).verdict is verdict


def facts(*hosts: str, server: Server) -> Facts:
    return Facts(NOW, 0, 0.001, server, daemons=[row(host=h, age_s=5) for h in hosts])


def test_two_hosts_on_one_sqlite_file_are_bad() -> None:
    lite = Server("3.40", "SERIALIZABLE", None)
    assert list(database.use(CoreConfig(), {"a": 1}, True, facts("one", server=lite))) == []
    assert only(database.use(CoreConfig(), {"a": 1}, True, facts("one", "two", server=lite))).verdict is BAD


def test_connections_of_all_hosts_must_fit_and_have_the_right_isolation() -> None:
    server = Server("10.11", "READ COMMITTED", 100)
    assert only(database.use(CoreConfig(), {"a": 5}, False, facts("one", server=server))).verdict is GOOD
    assert only(database.use(CoreConfig(), {"a": 5}, False, facts("one", "two", server=server))).verdict is WARNING
    other = Server("10.11", "REPEATABLE-READ", 1000)
    assert next(database.use(CoreConfig(), {"a": 1}, False, facts(server=other))).verdict is BAD


# --- generic jobs ------------------------------------------------------------------------------------------------


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

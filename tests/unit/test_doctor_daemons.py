"""What `actctl doctor` says of daemons, and of the database that they share."""

from __future__ import annotations

from typing import Any

import pytest

from act.config import CoreConfig
from act.db.server import Server
from act.doctor import daemons, database
from act.doctor.check import Check, Verdict
from act.doctor.facts import Facts
from tests.unit.doctor_checks import BAD, GOOD, NOW, WARNING, only, row

# -- daemons -----------------------------------------------------------------------------------------------------------


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


# -- the database ------------------------------------------------------------------------------------------------------


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

"""Alarms are raised when somebody has to look, and not before; all of them are in the operators' manual."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from act.alarms import ces, credentials, daemons, hosts
from act.alarms.alarm import Alarm, Severity
from act.config import CoreConfig
from act.daemons.report import failing
from act.db.hosts import Disk, Failing, Host, Seen
from act.db.orders import Standing
from act.explain.moment import Moment

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "operations.md"
NOW = 1_000_000.0
HOUR = 3600.0
CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
CONFIG: dict[str, Any] = {
    "alarms": {"silent_s": 45, "ce_down_s": 30, "credential_h": 12, "clock_s": 30, "database_s": 1, "disk_mb": 1000},
    "proxies": {"proxy": [{"role": "production", "source_cert": "/x", "lifetime_h": 96, "renew_below_h": 72}]},
    "ces": {"ce": [{"url": "https://token", "token": {"file": "/y"}}, {"url": "https://off", "status": "offline"}]},
}


def row(**values: Any) -> Any:
    return SimpleNamespace(**values)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CoreConfig:
    return CoreConfig.model_validate(CONFIG, context={"base": tmp_path_factory.mktemp("etc")})


def told(alarms: Iterator[Alarm]) -> list[tuple[str, Severity, str]]:
    return [(a.name, a.severity, a.about) for a in alarms]


# --- daemons and hosts -------------------------------------------------------------------------------------------


def beat(name: str, age_s: float, host: str = "one") -> Any:
    return row(name=name, age_s=age_s, host=host)


def silent(*beats: Any) -> list[tuple[str, Severity, str]]:
    return told(daemons.silent(beats, 45.0))


def test_daemons_that_report_raise_no_alarm() -> None:
    assert silent(beat("getjob", 1), beat("status.1", 44), beat("status.2", 10, "two")) == []


def test_a_daemon_that_is_silent_is_critical_unless_another_does_its_work() -> None:
    assert silent(beat("getjob", 1), beat("status", 50)) == [("daemon_silent", CRITICAL, "status@one")]
    assert silent(beat("status.1", 50), beat("status.2", 1)) == [("daemon_silent", WARNING, "status.1@one")]


def test_a_host_that_is_silent_is_one_alarm() -> None:
    here, there = [beat("getjob", 1), beat("status", 1)], [beat("getjob", 300, "two"), beat("status", 300, "two")]
    assert silent(*here, *there) == [("host_silent", WARNING, "two")]
    assert silent(*here, *there, beat("proxy", 300, "two")) == [("host_silent", CRITICAL, "two")]


def test_a_tower_that_is_silent_is_one_alarm_however_long() -> None:
    for age_s in (50, 1e7):
        assert silent(beat("getjob", age_s), beat("status", age_s, "two")) == [("tower_silent", CRITICAL, "")]
    assert silent() == [("tower_silent", CRITICAL, "")]


def test_what_was_taken_away_is_forgotten_after_a_day() -> None:
    assert silent(beat("getjob", 1), beat("status", 90_000), beat("getjob", 90_000, "two")) == []


def seen(age_s: float = 1.0, **facts: Any) -> Seen:
    well: dict[str, Any] = {"version": "1", "started": 0.0, "clock_skew_s": 1.0, "database_s": 0.01, "load": 0.5}
    return Seen("one", NOW, age_s, Host(**{**well, "disks": (Disk("/store", 50_000, 100_000),), **facts}))


@pytest.mark.parametrize(
    ("facts", "alarm"),
    [
        ({"clock_skew_s": 600.0}, "clock_wrong"),
        ({"clock_skew_s": -600.0}, "clock_wrong"),
        ({"database_s": 1.5}, "database_slow"),
        ({"disks": (Disk("/store", 999, 10_000),)}, "disk_full"),
        ({"disks": (Disk("/store", 1_500, 100_000),)}, "disk_full"),
        ({"failing": (Failing("getjob", 7, "exit code 1"),)}, "daemon_failing"),
    ],
)
def test_a_host_that_is_ill_is_told_with_its_name(config: CoreConfig, facts: dict[str, Any], alarm: str) -> None:
    (found,) = hosts.of_hosts([seen(**facts)], config.alarms)
    assert (found.name, found.severity) == (alarm, CRITICAL)
    assert "host one" in found.text
    assert list(hosts.of_hosts([seen(age_s=100, **facts)], config.alarms)) == []  # it is silent, which is told


def test_a_host_that_is_well_raises_no_alarm(config: CoreConfig) -> None:
    assert list(hosts.of_hosts([seen()], config.alarms)) == []


def test_a_daemon_fails_that_ends_again_and_again_or_is_refused() -> None:
    def process(**changes: Any) -> dict[str, Any]:
        return {"name": "a", "state": "running", "restarts": 9, "uptime_s": 999.0, "last_end": "signal 9"} | changes

    def found(**changes: Any) -> list[Failing]:
        return list(failing({"daemons": [process(**changes)]}))

    assert list(failing(None)) == found() == found(restarts=1, uptime_s=1.0) == []
    assert found(uptime_s=5.0) == found(uptime_s=None, state="waiting") == [Failing("a", 9, "signal 9")]
    assert found(state="refused", restarts=0, last_end="no such queue") == [Failing("a", 0, "no such queue")]


# --- credentials -------------------------------------------------------------------------------------------------


def moment(config: CoreConfig, *, proxy: Any = None, token: Any = None, orders: tuple[Any, ...] = ()) -> Moment:
    good = row(id=1, role="production", issued=NOW - HOUR, expires=NOW + 95 * HOUR, error=None)
    return Moment(
        NOW,
        config,
        proxies={1: proxy or good},
        tokens={"https://token": token or row(issued=NOW - HOUR, expires=NOW + 5 * HOUR, error=None)},
        orders=Standing(orders),
    )


def of_proxy(config: CoreConfig, left_h: float, error: str | None = None) -> list[tuple[str, Severity, str]]:
    issued = NOW - (96 - left_h) * HOUR
    proxy = row(id=1, role="production", issued=issued, expires=NOW + left_h * HOUR, error=error)
    return told(credentials.of_credentials(moment(config, proxy=proxy)))


def test_credentials_that_are_well_raise_no_alarm(config: CoreConfig) -> None:
    assert told(credentials.of_credentials(moment(config))) == []


def test_a_proxy_that_cannot_be_renewed_is_a_warning_until_little_is_left(config: CoreConfig) -> None:
    assert of_proxy(config, 70, "no voms server") == [("credential_not_renewed", WARNING, "production")]
    assert of_proxy(config, 11, "no voms server") == [("credential_expiring", CRITICAL, "production")]


def test_a_proxy_that_nobody_renews_is_critical_when_little_is_left(config: CoreConfig) -> None:
    assert of_proxy(config, 13) == []
    assert of_proxy(config, 11) == [("credential_expiring", CRITICAL, "production")]


def test_a_credential_that_ran_out_or_never_came_is_critical(config: CoreConfig) -> None:
    assert of_proxy(config, -1, "no voms server") == [("credential_expired", CRITICAL, "production")]
    nothing = Moment(NOW, config)
    about = ["production", "https://token"]
    assert told(credentials.of_credentials(nothing)) == [("credential_expired", CRITICAL, a) for a in about]


def test_a_token_has_as_little_left_as_its_life_is_short(config: CoreConfig) -> None:
    def of_token(left_h: float, error: str | None) -> list[tuple[str, Severity, str]]:
        token = row(issued=NOW - (6 - left_h) * HOUR, expires=NOW + left_h * HOUR, error=error)
        return told(credentials.of_credentials(moment(config, token=token)))

    assert of_token(2, None) == []
    assert of_token(2, "issuer away") == [("credential_not_renewed", WARNING, "https://token")]
    assert of_token(1, "issuer away") == [("credential_expiring", CRITICAL, "https://token")]


# --- CEs ---------------------------------------------------------------------------------------------------------

URLS = {1: "https://a", 2: "https://b", 3: "https://off"}


def breaker(ce_id: int, failures: int = 3, *, is_open: bool = True, good_s: float = 500) -> Any:
    until = NOW + 20 if is_open else None
    return row(ce_id=ce_id, host="one", failures=failures, open_until=until, last_good=NOW - good_s,
               last_error="connection refused", last_error_at=NOW - 5)  # fmt: skip


def of_ces(config: CoreConfig, *breakers: Any, lanes: tuple[Any, ...] = (), orders: tuple[Any, ...] = ()) -> Any:
    at = moment(config, orders=orders)
    known = [row(id=i, url=url, submit_point="") for i, url in URLS.items()]
    facts = ces.Facts(known, breakers, lanes, set(URLS))
    return told(ces.of_ces(at, facts))


def well(ce_id: int) -> Any:
    return breaker(ce_id, 0, is_open=False)


def test_a_ce_that_fails_again_and_again_is_a_warning(config: CoreConfig) -> None:
    assert of_ces(config, breaker(1), well(2)) == [("ce_down", WARNING, "https://a")]
    assert of_ces(config, breaker(1, 2, is_open=False), well(2)) == [("ce_down", WARNING, "https://a")]


def test_one_failure_or_several_in_a_moment_are_no_alarm(config: CoreConfig) -> None:
    assert of_ces(config, breaker(1, 1, is_open=False), breaker(2, good_s=10)) == []


def test_it_is_critical_when_no_ce_answers(config: CoreConfig) -> None:
    assert [s for _, s, _ in of_ces(config, breaker(1), breaker(2))] == [CRITICAL, CRITICAL]


def test_ces_that_somebody_wants_left_alone_are_not_told(config: CoreConfig) -> None:
    pause = row(kind="ce", name="https://a/", queue="", what="pause", value=None)
    assert of_ces(config, breaker(1), breaker(3), well(2), orders=(pause,)) == []


def test_ces_without_jobs_are_not_told(config: CoreConfig) -> None:
    facts = ces.Facts([row(id=1, url="https://a", submit_point="")], [breaker(1)], [], in_use=())
    assert told(ces.of_ces(moment(config), facts)) == []


def lane(ce_id: int, role: str, error: str | None = None) -> Any:
    return row(ce_id=ce_id, role=role, error=error, paused_until=NOW - 3 if error else None)


def test_a_ce_that_refuses_a_credential_of_the_tower_is_told_until_it_takes_it(config: CoreConfig) -> None:
    lanes = (lane(1, "production", "403"), lane(1, "user-1"), lane(2, "production"))
    assert of_ces(config, lanes=lanes) == [("ce_credential", WARNING, "https://a")]


def test_a_ce_that_refuses_what_somebody_brought_is_told_if_it_takes_nothing_at_all(config: CoreConfig) -> None:
    refused = (lane(1, "user-1", "403"), lane(1, "user-2", "403"))
    assert of_ces(config, lanes=(*refused, lane(1, "user-3"))) == []
    assert of_ces(config, lanes=refused) == [("ce_credential", WARNING, "https://a")]


def test_a_black_hole_is_told_with_its_reason(config: CoreConfig) -> None:
    probe = row(kind="cequeue", name="https://a", queue="short", what="probe", value=None, since=NOW - 60, until=None,
                who="guard", why="18 of 20 jobs died within 3 s")  # fmt: skip
    (found,) = ces.black_holes(moment(config, orders=(probe,)))
    assert (found.name, found.about, found.since) == ("black_hole", "https://a queue short", NOW - 60)
    assert "18 of 20 jobs died" in found.text


# --- the manual --------------------------------------------------------------------------------------------------


def raised() -> dict[str, set[str]]:
    """Name of each alarm in the product -> its severities, as far as they stand beside it."""
    found: dict[str, set[str]] = {}
    for package in ("act", "act_arc", "act_condor", "act_atlas"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Alarm":
                    assert isinstance(node.args[0], ast.Constant), f"{path}: an alarm without a constant name"
                    severity = ast.unparse(node.args[1]).removeprefix("Severity.").lower()
                    found.setdefault(str(node.args[0].value), set()).add(severity)
    return found


def test_the_manual_has_every_alarm_with_its_severity_and_no_other() -> None:
    table = MANUAL.read_text().partition("| alarm | severity |")[2].partition("\n\n")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))
    assert documented.keys() == raised().keys()
    for name, severities in raised().items():
        known = severities & {"critical", "warning"} or {"critical", "warning"}
        assert {s for s in ("critical", "warning") if s in documented[name]} == known, name

"""The units: systemd reads them without a word, and they are locked up as far as the tower's work allows."""

from __future__ import annotations

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.needs import need

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
EXPOSED_AT_MOST = 2.5
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda p: p.name)
needs_systemd = pytest.mark.usefixtures("analyze")


@pytest.fixture
def analyze() -> None:
    need(None if shutil.which("systemd-analyze") else "systemd-analyze is not installed")


def settings(service: Path, section: str = "Service") -> dict[str, str]:
    """The last value of each setting."""
    parsed = RawConfigParser(strict=False, comment_prefixes=("#",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(service)
    return dict(parsed[section])


@needs_systemd
def test_systemd_has_nothing_against_the_units(tmp_path: Path) -> None:
    """Of copies that start programs which are there, as systemd looks for them."""
    program = tmp_path / "bin" / "actctl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = []
    for unit in [*SERVICES, *UNITS.glob("*.t[ai]*")]:
        if unit.suffix in (".service", ".target", ".timer"):
            copies.append(tmp_path / unit.name.replace("@.", "@act."))
            text = unit.read_text().replace("/opt/act/", f"{tmp_path}/")
            (tmp_path / unit.name).write_text(text)
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", *copies], capture_output=True, text=True)
    ours = [line for line in said.stderr.splitlines() if str(tmp_path) in line or line.startswith("act")]
    assert (said.returncode, ours) == (0, [])


@needs_systemd
@each_service
def test_no_service_is_exposed_more_than_it_must(service: Path) -> None:
    threshold = f"--threshold={EXPOSED_AT_MOST * 10:.0f}"
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", threshold, service]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout[-200:]


@each_service
def test_every_service_is_locked_up(service: Path) -> None:
    found = settings(service)
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectHome", "LockPersonality",
                 "ProtectKernelTunables", "ProtectControlGroups", "RestrictNamespaces"):  # fmt: skip
        assert found[name] == "yes", name
    assert (found["ProtectSystem"], found["CapabilityBoundingSet"]) == ("strict", "")
    assert found.get("User") == "act" or found.get("DynamicUser") == "yes"


@pytest.mark.parametrize("name", ["act.service", "act-web.service"])
def test_services_notify_are_watched_limited_and_reload(name: str) -> None:
    found = settings(UNITS / name)
    assert (found["Type"], found["Restart"], found["RestartPreventExitStatus"]) == ("notify", "always", "78")
    assert found["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert {"WatchdogSec", "MemoryMax", "TasksMax"} <= found.keys()
    unit = settings(UNITS / name, "Unit")
    assert (unit["PartOf"], unit["OnFailure"]) == ("act.target", "act-alarm@%N.service")

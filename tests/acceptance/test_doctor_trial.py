"""`actctl doctor` beside a whole tower: nothing is wrong where nothing is, and a CE that hangs holds up nothing."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.acceptance.trial import Trial

pytestmark = pytest.mark.slow
PATIENCE_S = 60


def told(trial: Trial) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and of each thing the verdict and what was found."""
    done = trial.tower.actctl("doctor", "--format", "json", "--timeout", "5")
    assert not done.stderr
    return done.returncode, {c["what"]: (c["verdict"], c["found"]) for c in json.loads(done.stdout)["checks"]}


def test_a_tower_that_is_well_is_found_well_and_a_ce_that_hangs_is_found_alone(trial: Trial) -> None:
    ces = [trial.world.start_ce(name) for name in ("one", "two")]
    known = "".join(f'<ce url="{ce.url}" flavour="arc"/>' for ce in ces)
    trial.set_up({"Q": ces}, more=f"<ces>{known}</ces>")
    trial.tower.start()
    until = time.monotonic() + PATIENCE_S
    while (found := told(trial))[0] and time.monotonic() < until:  # daemons are still starting
        time.sleep(1)
    code, checks = found
    assert code == 0, checks
    assert {checks[f"CE {ce.url}"][0] for ce in ces} == {"good"}
    hanging = ces[0]
    assert hanging.pid is not None
    os.kill(hanging.pid, signal.SIGSTOP)
    try:
        code, checks = told(trial)
    finally:
        os.kill(hanging.pid, signal.SIGCONT)
    assert code == 1
    assert {what for what, (verdict, _) in checks.items() if verdict == "bad"} == {f"CE {hanging.url}"}

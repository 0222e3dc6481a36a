"""A CE that is spoken to with a bearer token, by a whole tower; jobs still act with the proxy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from act.config import CEs, load_core
from act.daemons.base import Lane
from act.daemons.context import Context
from act_atlas.demo.mix import DONE, FAILED, KILLED, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from tests.acceptance.trial import Trial, sole_use

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="contract")]

QUEUE = "TOKENS"
GOOD = Kind("small job", QUEUE, "finished", DONE, {"seconds": 1})
FAILING = Kind("payload fails", QUEUE, "failed", (*FAILED, "donecancelled"),
               {"kind": "fail", "exit_code": 65, "seconds": 1})  # fmt: skip
DOOMED = Kind("killed while it runs", QUEUE, "cancelled", KILLED, {"seconds": 600}, killed=True)


def test_jobs_come_through_a_ce_that_is_shown_a_token(real_trial: Callable[..., Trial]) -> None:
    with sole_use("ce3"):
        trial = real_trial("ce3")
        assert trial.grid is not None
        (ce,) = trial.real_ces("ce3")
        token = trial.world.directory / "token"
        token.write_text(trial.grid.token("ce3"))
        ces = f'<ces><ce url="{ce.url}"><token><file>{token}</file></token></ce></ces>'
        tower = trial.set_up({QUEUE: [ce]}, more=ces)
        trial.order(GOOD, 3)
        trial.order(FAILING)
        (doomed,) = trial.order(DOOMED)
        tower.start()
        running = trial.wait("running", lambda p: p.jobs[doomed].panda["status"] == "running", 120)
        assert seen_with_the_proxy(trial, running, doomed) is False
        trial.kill_at_panda(doomed)
        picture = trial.settle(180)
        assert tower.stop() == 0
        assert list(complaints(picture, trial.kinds)) == []


def seen_with_the_proxy(trial: Trial, picture: Picture, pandaid: int) -> bool:
    """Whether the CE has the job also for who shows it no more than the tower's proxy."""
    (attempt,) = picture.jobs[pandaid].attempts
    context = Context(load_core(trial.core_file).model_copy(update={"ces": CEs()}))
    try:
        return attempt.ce_job_id in context.ce(Lane(attempt.ce_id, attempt.proxy_id)).list_ids()
    finally:
        context.close()

"""An operator of a tower with a PanDA: gives orders on its jobs, and looks at what came of them."""

from __future__ import annotations

from typing import Any

from act.control.apply import Action, apply
from act.control.jobs import Filter, Verb
from act.db import cejobs
from act_atlas import db
from tests.integration.panda_tower import PandaTower

ME, WHY = "operator-joe", "its site is broken"
SOON = 31 * 60.0  # the next heartbeat


def act(tower: PandaTower, verb: Verb, *pandaids: int, value: Any = None) -> dict[str, str]:
    """Job -> why it was not done to it, "" if it was."""
    wanted = Filter(names=tuple(str(i) for i in pandaids))
    pages = apply(tower.db, Action(verb, wanted, ME, WHY, value))
    return {done.job.name: done.refused for page in pages for done in page}


def done_to(tower: PandaTower, verb: Verb, pandaid: int, value: Any = None) -> None:
    """The order is carried out."""
    assert act(tower, verb, pandaid, value=value) == {str(pandaid): ""}


def refused(tower: PandaTower, verb: Verb, pandaid: int, value: Any = None) -> str:
    """The order is not carried out; why."""
    answer = act(tower, verb, pandaid, value=value)[str(pandaid)]
    assert answer
    return answer


def written(tower: PandaTower, pandaid: int, event: str) -> list[tuple[str, str]]:
    """(who, why) of such events of a job."""
    job = tower.job(pandaid).id
    rows = tower.db.read("t", lambda c: cejobs.history(c, db.LEDGER.kind, [job]))
    return [(r.who, r.why) for r in rows if r.event == event]


def attempts(tower: PandaTower, pandaid: int) -> list[str]:
    """States of all attempts of a job."""
    job = tower.job(pandaid).id
    return [r.state for r in tower.db.read("t", lambda c: cejobs.of_application(c, db.SOURCE, job))]


def reported(tower: PandaTower, pandaid: int) -> str:
    """What PanDA was told of a job."""
    return str(tower.panda.board.describe([pandaid])[pandaid]["values"])


def there(tower: PandaTower, pandaid: int) -> Any:
    """The job at the CE."""
    return tower.site.jobs[tower.get(tower.job(pandaid).cejob_id).ce_job_id]

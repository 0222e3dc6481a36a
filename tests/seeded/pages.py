"""The pages of the seeded tower, each with an address that shows much of it."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from act_atlas.db.tables import pandajobs
from tests.seeded.jobs import FIRST_PANDAID
from tests.seeded.tower import SeededTower

ARCHIVED = FIRST_PANDAID + 3 * 98  # of every hundred jobs those from 96 on are
CLIENT = "client:90"


def pages(tower: SeededTower) -> dict[str, str]:
    """What each is called -> its path."""
    busy = tower.world.queues[0]
    running = _a_job(tower, "running")
    broken = _a_job(tower, "toclean")
    return {
        "overview": "",
        "login": "/login",
        "errors": "/errors",
        "queues": "/queues",
        "queue": f"/queues/{quote(busy, safe='')}",
        "hostile queue": f"/queues/{quote(tower.world.queues[-1], safe='')}",
        "CEs": "/ces",
        "CE": "/ces/3",
        "CE that is down": "/ces/5",
        "hostile CE": "/ces/1",
        "users": "/users",
        "jobs": "/jobs?" + urlencode({"older": "0s"}),
        "jobs by state": "/jobs?" + urlencode({"state": "running"}),
        "jobs by error": "/jobs?" + urlencode({"error": "vmem"}),
        "jobs by CE": "/jobs?" + urlencode({"ce": "lyon", "state": "submitted"}),
        "no jobs": "/jobs?" + urlencode({"node": "nowhere"}),
        "job": f"/jobs/{tower.publish_logs(running)}",
        "job that failed": f"/jobs/{tower.publish_logs(broken)}",
        "user's job": f"/jobs/{CLIENT}",
        "archive": "/archive?" + urlencode({"newer": "30d"}),
        "archived job": f"/jobs/{ARCHIVED}",
    }


def _a_job(tower: SeededTower, state: str) -> int:
    """The first job of PanDA in a state."""
    query = pandajobs.select().where(pandajobs.c.state == state).order_by(pandajobs.c.id).limit(1)
    return int(tower.db.read("test", lambda c: c.execute(query).one()).id)

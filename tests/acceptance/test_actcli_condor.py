"""actcli takes its user through a tower to real HTCondor and back: its own pool, a CE behind it, straight to a CE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from act.db import meta
from tests.acceptance.pools import Pools, tokens_in_queues
from tests.acceptance.scientist import Behind, Scientist
from tests.grid.control import Grid
from tests.integration.web_pump import Pump
from tests.integration.web_scene import Scene
from tests.integration.web_server import WebServer

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="pools")]

ROUTES = ("pool", "grid", "direct")
SUBMIT = """# three jobs, each with its own number
executable            = count.sh
arguments             = "$(Process) 'two words'"
transfer_input_files  = data/words.txt
transfer_output_files = counted.txt
output                = out.$(Process)
error                 = err.$(Process)
request_memory        = 100
max_runtime           = 600
queue 3
"""
COUNT = '#!/bin/sh\nwc -l < words.txt > counted.txt\necho "$1: $2"\necho trouble >&2\n'
COPY = "#!/bin/sh\nmkdir -p res/deep && cp blob.bin res/deep/copy.bin && echo copied\n"
BLOB = bytes(range(256)) * 1000


def test_jobs_of_people_on_each_way_to_condor(
    tmp_path: Path, real_ces: Callable[..., Grid], real_scene: Callable[..., Scene]
) -> None:
    grid = real_ces("condorA", "condorB")
    pools = Pools(grid)
    places = [(route, place.url, place.queue) for route in ROUTES for place in [getattr(pools, route)]]
    with grid.share("gridprod") as work:
        scene = real_scene(grid, places, extra=pools.settings, flavour="condor", work_dir=work)
        proxy = grid.proxy("alice.prod").read_bytes()
        with (
            WebServer(scene.file, scene.ca.ca_cert) as server,
            Pump(scene.config, "condor") as pump,
        ):
            actcli, behind = Scientist(tmp_path / "home", server.url, scene.ca.ca_cert, proxy), Behind(scene, pump)
            prepare(actcli)
            on_all(actcli, behind)
            assert behind.left() == []
        identity = str(scene.db.read("identity", meta.identity))
        assert tokens_in_queues(grid, identity, "condorA", "condorB") == []


def prepare(actcli: Scientist) -> None:
    """Files of a user, who opens a session."""
    actcli.write("job.sub", SUBMIT)
    actcli.write("count.sh", COUNT)
    actcli.write("copy.sh", COPY)
    actcli.write("data/words.txt", "one\ntwo\n")
    actcli.write("data/blob.bin", BLOB)
    actcli("proxy")
    said = actcli("info")
    assert all(f"{route} " in said for route in ROUTES)


def on_all(actcli: Scientist, behind: Behind) -> None:
    """Jobs of each kind on all ways, at the same time."""
    run = ("run", "--memory", "100", "--ce")
    counting, copying, broken, long = {}, {}, {}, {}
    for route in ROUTES:
        (long[route],) = actcli.ids(*run, route, "--name", f"long-{route}", "--", "/bin/sleep", "300")
        counting[route] = actcli.ids("sub", "job.sub", "--ce", route)
        (copying[route],) = actcli.ids(*run, route, "--input", "data/blob.bin", "--output", "res/", "--", "./copy.sh")
        (broken[route],) = actcli.ids(*run, route, "--", "/bin/sh", "-c", "echo this went wrong; exit 3")
    followers = [actcli.start("cat", "-f", str(job)) for job in copying.values()]
    killed = [*long.values()]
    behind.until(killed, "running")
    assert behind.at_ces() != []
    assert actcli("kill", "--name", "long").startswith("3 jobs being killed (")
    well = [*(job for jobs in counting.values() for job in jobs), *copying.values()]
    behind.until(well, "done")
    for follower in followers:  # HTCondor shows what a job wrote when it has ended
        assert follower.communicate(timeout=60) == ("copied\n", "")
    behind.until([*broken.values()], "donefailed")
    behind.until(killed, "cancelled")
    for job in actcli.jobs("--state", "donefailed"):
        assert (job["exit_code"], job["ce"]) == (3, next(r for r in ROUTES if broken[r] == job["id"]))
        assert actcli("cat", str(job["id"])) == "this went wrong\n"
    assert len(actcli("get", "--all").splitlines()) == len(well) + len(broken)
    for route in ROUTES:
        check(actcli.home, counting[route], copying[route])
    assert actcli("clean", "--all").startswith("3 jobs removed (")
    assert actcli("stat") == ""


def check(home: Path, counting: list[int], copying: int) -> None:
    """The results of one way."""
    for process, job in enumerate(counting):
        folder = home / str(job)
        assert (folder / f"out.{process}").read_text() == f"{process}: two words\n"
        assert (folder / f"err.{process}").read_text() == "trouble\n"
        assert (folder / "counted.txt").read_text() == "2\n"
    assert (home / f"{copying}/res/deep/copy.bin").read_bytes() == BLOB
    assert (home / f"{copying}/stdout.txt").read_text() == "copied\n"

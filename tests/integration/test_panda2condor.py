"""PanDA jobs of queues with HTCondor-CEs: true pilots go by every way that leads there, others never go there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from act.db import specs
from act.db.schema import candidates, cequeues, ces
from act.simulation import TestCA
from act_atlas import db
from act_atlas.joblog import joblog_name
from act_atlas.simulator import PandaSimulator
from tests.integration.beats import PANDA_DAEMONS, beat
from tests.integration.panda_tower import ARC_CE, QUEUE, PandaTower
from tests.truth import assert_explained, explain, reasons, words

CE = ("HTCONDOR-CE", "ce1.example.org:9619")
POINTS = """<ces><submit_point name="schedd1"><flavour>condor</flavour></submit_point>
<submit_point name="schedd2"><flavour>condor</flavour><host>elsewhere</host></submit_point></ces>"""
NORDUGRID: dict[str, Any] = {"copytools": {"mv": {}}, "acopytools": {}}

MakeTower = Callable[..., PandaTower]


@pytest.fixture
def new_tower(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeTower]:
    """A tower whose queue has an HTCondor-CE."""
    with ExitStack() as stack:
        panda = stack.enter_context(PandaSimulator(panda_ca, adder_s=1))

        def make(**changes: Any) -> PandaTower:
            tower = PandaTower(tmp_path, sqlite_template, panda_ca, panda, **{"ce": CE, **changes})
            stack.callback(tower.close)
            for variable, value in tower.environment.items():
                monkeypatch.setenv(variable, value)
            tower.once("proxy", "cric")
            return tower

        yield make


def ways(tower: PandaTower, attempt: int) -> list[tuple[str, str, str]]:
    """(CE type, URL, submit point) of an attempt's candidates."""
    there = candidates.join(cequeues, candidates.c.cequeue_id == cequeues.c.id).join(ces, cequeues.c.ce_id == ces.c.id)
    query = select(ces.c.flavour, ces.c.url, ces.c.submit_point).select_from(there)
    rows = tower.db.read("t", lambda c: c.execute(query.where(candidates.c.cejob_id == attempt)).all())
    return sorted((r.flavour, r.url, r.submit_point) for r in rows)


def test_a_job_may_go_by_every_submit_point(new_tower: MakeTower) -> None:
    tower = new_tower(core=POINTS)
    pandaid = tower.taken()
    tower.once("panda2condor")
    attempt = tower.get(tower.job(pandaid).cejob_id)
    assert attempt.flavour == "condor"
    assert ways(tower, attempt.id) == [("condor", CE[1], "schedd1"), ("condor", CE[1], "schedd2")]


def test_a_job_goes_straight_to_the_ce_where_no_submit_point_is_set_up(new_tower: MakeTower) -> None:
    tower = new_tower()
    pandaid = tower.taken()
    tower.once("panda2condor")
    assert ways(tower, tower.job(pandaid).cejob_id) == [("condor", CE[1], "")]


def test_logs_of_a_job_are_published_under_its_pandaid(new_tower: MakeTower) -> None:
    tower = new_tower()
    pandaid = tower.taken()
    tower.once("panda2condor", "heartbeat", "submitter-condor", "pandastatus")
    job = tower.job(pandaid)
    attempt = tower.get(job.cejob_id)
    (spec,) = tower.db.read("t", lambda c: specs.get(c, [attempt.jobspec_id])).values()
    assert spec.fetch == ("diagnose=log", f"{pandaid}.out", f"{pandaid}.err")
    tower.site.files |= {name: f"text of {name}".encode() for name in spec.fetch}
    tower.site.jobs[attempt.ce_job_id].state = "finished"
    tower.pass_time(61)
    tower.once("status-condor", "fetcher-condor", "pandastatus")
    joblog = tower.directory / "joblog"
    found = {ending: (joblog / joblog_name(job, ending)).read_text() for ending in ("out", "err", "log")}
    assert found == {"out": f"text of {pandaid}.out", "err": f"text of {pandaid}.err", "log": "text of diagnose=log"}
    assert (joblog / joblog_name(job, "jdl")).stat().st_size > 0


def test_a_queue_in_nordugrid_mode_gets_no_jobs_for_its_htcondor_ces_and_says_why(new_tower: MakeTower) -> None:
    tower = new_tower(facts=NORDUGRID)
    beat(tower, *PANDA_DAEMONS, "panda2condor")
    (pandaid,) = tower.order()
    tower.once("getjob")
    assert tower.db.read("t", lambda c: db.find(c, pandaid)) is None
    (told,) = explain(tower.environment, "--queue", QUEUE)
    assert reasons(told) == {"settings"}
    assert "of type condor, which runs true pilots only, and it is in NorduGrid mode" in words(
        tower.environment, "--queue", QUEUE
    )


def test_a_job_that_is_here_when_its_queue_changes_to_nordugrid_mode_waits_and_says_why(new_tower: MakeTower) -> None:
    tower = new_tower()
    pandaid = tower.taken()
    tower.panda.board.cric[QUEUE] |= NORDUGRID
    tower.once("cric")
    beat(tower, *PANDA_DAEMONS, "panda2condor")
    tower.once("panda2condor", "panda2arc")
    assert tower.job(pandaid).state == "sent"
    assert "runs true pilots only" in words(tower.environment, str(pandaid))


def test_a_job_of_a_queue_with_ces_of_both_types_gets_one_attempt(new_tower: MakeTower) -> None:
    both = [{"ce_endpoint": url.removeprefix("https://"), "ce_flavour": flavour, "ce_queue_name": "long",
             "ce_state": "ACTIVE"} for flavour, url in (CE, ARC_CE)]  # fmt: skip
    tower = new_tower(facts={"queues": both})
    jobs = [tower.taken() for _ in range(2)]
    tower.once("panda2condor")
    later = tower.taken()
    tower.once("panda2arc", "panda2condor", "panda2arc")
    attempts = [tower.get(tower.job(pandaid).cejob_id) for pandaid in (*jobs, later)]
    assert [row.flavour for row in attempts] == ["condor", "condor", "arc"]
    assert len({row.id for row in attempts}) == 3


CONDOR_DAEMONS = ("panda2condor", "submitter-condor", "reconciler-condor", "status-condor")
FAR = '<ces><submit_point name="schedd2"><flavour>condor</flavour><host>elsewhere</host></submit_point></ces>'


def test_that_a_job_can_only_go_through_a_submit_point_of_another_host_is_told_until_a_submitter_runs_there(
    new_tower: MakeTower,
) -> None:
    tower = new_tower(core=FAR)
    beat(tower, *PANDA_DAEMONS, *CONDOR_DAEMONS)
    pandaid = tower.taken()
    tower.once("panda2condor", "heartbeat", "submitter-condor")
    assert tower.get(tower.job(pandaid).cejob_id).state == "tosubmit"
    told = assert_explained(
        tower.environment, pandaid, "which only host elsewhere reaches, and submitter-condor does not run there"
    )
    assert reasons(told) == {"settings"}
    assert f"{CE[1]} through schedd2 queue default: not now (settings)" in words(tower.environment, pandaid)
    (at_the_ce,) = explain(tower.environment, "--ce", CE[1])
    assert (at_the_ce["state"], reasons(at_the_ce)) == ("out of reach", {"settings"})

    beat(tower, "submitter-condor", "status-condor", host="elsewhere")
    assert reasons(assert_explained(tower.environment, pandaid)) == set()
    assert reasons(*explain(tower.environment, "--ce", CE[1])) == set()


def test_that_the_submit_point_of_a_job_is_gone_from_the_configuration_is_told(new_tower: MakeTower) -> None:
    tower = new_tower(core=FAR.replace("<host>elsewhere</host>", ""))
    beat(tower, *PANDA_DAEMONS, *CONDOR_DAEMONS)
    pandaid = tower.taken()
    tower.once("panda2condor", "heartbeat", "submitter-condor")
    assert reasons(assert_explained(tower.environment, pandaid, f"{CE[1]} through schedd2")) == set()
    path = Path(tower.environment["ACTCONFIGARC"])
    path.write_text(path.read_text().replace("schedd2", "schedd3"))
    told = assert_explained(
        tower.environment, pandaid, "behind the submit point schedd2, which is not in the configuration"
    )
    assert reasons(told) == {"settings"}

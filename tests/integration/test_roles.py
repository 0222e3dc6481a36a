"""Jobs act with the proxy of their role; a role without a good one waits, says why, and holds up no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from act.cli.actctl import main
from act.db import credentials
from act.db.schema import proxies
from act.simulation import TestCA
from act.x509 import make_proxy
from act_atlas.simulator import PandaSimulator
from tests.integration.panda_tower import PandaTower
from tests.truth import assert_all_explained

PILOT = "<proxy><role>pilot</role><directory>{}/proxies</directory></proxy></proxies>"


class TwoRoles(PandaTower):
    """A tower whose role pilot gets its proxies from outside."""

    def _configure(self, ca: TestCA, more_core: str, more_atlas: str) -> dict[str, str]:
        environment = super()._configure(ca, more_core, more_atlas)
        path = Path(environment["ACTCONFIGARC"])
        path.write_text(path.read_text().replace("</proxies>", PILOT.format(self.directory)))
        (self.directory / "proxies").mkdir(exist_ok=True)
        self.user = ca.user("pilot")
        return environment

    def give_proxy(self) -> None:
        """Somebody puts a proxy for the role pilot into its directory."""
        certificate, key = (path.read_bytes() for path in self.user)
        (self.directory / "proxies/pilot.pem").write_bytes(make_proxy(certificate, key, 90 * 3600))

    def lose_proxy(self) -> None:
        """The proxy has run out, and nobody has put a new one."""
        (self.directory / "proxies/pilot.pem").unlink()
        old = update(proxies).where(proxies.c.role == "pilot").values(expires=1e9)
        self.db.run("t", lambda c: c.execute(old))

    def role_of(self, pandaid: int) -> str:
        """Whose proxy the job's attempt acts with."""
        number = self.get(self.job(pandaid).cejob_id).proxy_id
        return next(r.role for r in self.db.read("t", credentials.by_role).values() if r.id == number)

    def state_of(self, pandaid: int) -> str:
        """Of the job's attempt."""
        return str(self.get(self.job(pandaid).cejob_id).state)

    def status(self) -> str:
        """What `actctl status` prints."""
        result = CliRunner().invoke(main, ["status"], env=self.environment)
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def tower(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwoRoles]:
    with PandaSimulator(panda_ca, adder_s=1) as panda:
        tower = TwoRoles(tmp_path, sqlite_template, panda_ca, panda)
        for variable, value in tower.environment.items():
            monkeypatch.setenv(variable, value)
        tower.once("cric")
        yield tower
        assert_all_explained(tower.environment)
        tower.close()


def both(tower: TwoRoles) -> tuple[int, int]:
    """A job of production, and one of a user."""
    jobs = tower.order(), tower.order(label="user")
    tower.once("getjob")
    tower.once("getjob")
    return jobs[0][0], jobs[1][0]


def test_jobs_act_with_the_proxy_of_their_role(tower: TwoRoles) -> None:
    tower.give_proxy()
    tower.once("proxy")
    production, user = both(tower)
    tower.once("panda2arc")
    assert (tower.role_of(production), tower.role_of(user)) == ("production", "pilot")


def test_users_jobs_act_with_the_only_role_if_there_is_but_one(panda_tower: PandaTower) -> None:
    job = panda_tower.submitted(label="user")
    number = panda_tower.get(panda_tower.job(job).cejob_id).proxy_id
    assert number == panda_tower.db.read("t", credentials.by_role)["production"].id


def test_a_role_that_never_had_a_proxy_waits_alone_and_goes_on_when_it_has(tower: TwoRoles) -> None:
    tower.once("proxy")
    production, user = both(tower)
    tower.once("panda2arc", "heartbeat", "submitter-arc")
    assert (tower.state_of(production), tower.state_of(user)) == ("submitted", "tosubmit")
    said = tower.status()
    assert "no good proxy for role 'pilot'" in said
    assert "Paused credentials" in said

    tower.give_proxy()
    tower.once("proxy")
    tower.pass_time(100)
    tower.once("submitter-arc")
    assert (tower.state_of(production), tower.state_of(user)) == ("submitted", "submitted")
    assert "Paused" not in tower.status()


def test_a_proxy_that_runs_out_while_its_jobs_run_stops_no_others(tower: TwoRoles) -> None:
    tower.give_proxy()
    tower.once("proxy")
    production, user = both(tower)
    tower.once("panda2arc", "heartbeat", "submitter-arc")
    tower.lose_proxy()
    tower.once("proxy")
    for job in tower.site.jobs.values():
        job.state = "running"
    tower.pass_time(100)
    tower.once("status-arc")
    assert (tower.state_of(production), tower.state_of(user)) == ("running", "submitted")
    said = tower.status()
    assert "RUN OUT" in said
    assert "the proxy of role 'pilot' ran out" in said

    tower.give_proxy()
    tower.once("proxy")
    tower.pass_time(100)
    tower.once("status-arc")
    assert (tower.state_of(production), tower.state_of(user)) == ("running", "running")


def test_a_job_whose_role_is_not_known_yet_waits_without_an_attempt(tower: TwoRoles) -> None:
    """The proxy daemon has not run yet: not even its failure is known."""
    production, user = tower.order(), tower.order(label="user")
    tower.once("proxy")
    gone = proxies.delete().where(proxies.c.role == "pilot")
    tower.db.run("t", lambda c: c.execute(gone))
    tower.once("getjob")
    tower.once("getjob")
    tower.once("panda2arc")
    assert tower.job(production[0]).cejob_id is not None
    assert (tower.job(user[0]).state, tower.job(user[0]).cejob_id) == ("sent", None)

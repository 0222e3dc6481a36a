"""An operator at the tower of a trial, the jobs that people have there beside those of PanDA, and what CEs know."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Column, select

from act.cli.actctl import main
from act.client.tables import clientjobs
from act.config import load_core
from act.db.engine import Database
from act_atlas.demo.picture import Picture
from act_atlas.demo.scientist import Scientist as Server
from act_atlas.trial import Tower, TrialCE
from tests.acceptance.scientist import Scientist
from tests.acceptance.trial import Trial

WHO, WHY = "olga", "the site is being moved"
SUBJECT = "/O=Grid/O=aCT/CN=alice"
_STARTED = re.compile(r' Started - job id: .* name: "[^"]*\.(act\.[^".]+\.(\d+)\.\d+\.[^".]+)".* queue: (\S+)')


class Operator:
    """Somebody with actctl, on a host of the tower."""

    def __init__(self, tower: Tower) -> None:
        self._environment = tower.environment | {"SUDO_USER": WHO}

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """What a command says, on one line."""
        result = self._run(*arguments)
        assert result.exit_code == code, f"actctl {arguments}: {result.exit_code} {result.output}"
        return " ".join(result.output.split())

    def _run(self, *arguments: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], env=self._environment, catch_exceptions=False)

    def order(self, *arguments: object) -> str:
        """The same, with a reason."""
        return self(*arguments, "--why", WHY)

    def jobs(self, verb: str, *chosen: object) -> str:
        """Do something to jobs, to all of them."""
        said = self("job", verb, *chosen, "--why", WHY)
        assert "not to" not in said, said
        return said

    def refused(self, verb: str, *chosen: object) -> str:
        """Why something is not done to jobs."""
        return self("job", verb, *chosen, "--why", WHY, code=1)

    def alarmed(self) -> str:
        """What is wrong, in the words of the watch."""
        return " ".join(self._run("alive", "--verbose").output.split())

    def page(self) -> str:
        """What needs somebody, as people read it on the page that stands alone."""
        whole = self._run("report", "--html", "-").output
        (shown,) = re.findall('<ul class="alarms">(.*?)</ul>', whole, re.DOTALL) or [""]
        return html.unescape(re.sub("<[^>]*>", "", shown))


class People:
    """A scientist with a proxy, whose jobs go to CEs by the names ce1, ce2, ... The web server ends with the trial.

    configuration: what the tower's must say of them. ran: a directory that their jobs see; each appends to a file.
    """

    def __init__(self, trial: Trial, ces: Sequence[TrialCE]) -> None:
        self._trial = trial
        self._server = Server(trial.world, ces, trial.grid.user_cert("alice") if trial.grid else None)
        self.configuration = self._server.configuration()
        self.ran = (trial.world.work_dir or trial.world.directory) / "ran"
        self.ran.mkdir()
        self.ran.chmod(0o777)  # jobs belong to another account at each CE
        self.ran.parent.chmod(0o711)

    def begin(self, home: Path) -> None:
        """Start the web server and open a session. home: a directory of theirs that there is not yet."""
        self._server.begin(self._trial.tower)
        proxy = (self._server.directory / "proxy.pem").read_bytes()
        self.actcli = Scientist(home, self._server.url, self._trial.world.ca.ca_cert, proxy)
        self.actcli("proxy")

    def run(self, ce: str, name: str, script: str, *options: str) -> list[int]:
        """Jobs that run a script of the shell at a CE, which leaves a line in the file ``name`` each time."""
        told = f"echo ran >>{self.ran / name}; {script}"
        return self.actcli.ids("run", "--ce", ce, "--name", name, *options, "--", "/bin/sh", "-c", told)

    def runs(self, name: str) -> int:
        """How often jobs of this name have run."""
        path = self.ran / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    def states(self, jobs: Sequence[int]) -> list[str]:
        """What their owner sees them as."""
        return self._read(clientjobs.c.shown, jobs)

    def attempts(self, jobs: Sequence[int]) -> list[int]:
        """Those that they have now."""
        return [number for number in self._read(clientjobs.c.cejob_id, jobs) if number is not None]

    def _read(self, column: Column[Any], jobs: Sequence[int]) -> list[Any]:
        database = Database(load_core(self._trial.core_file).database.connect_url())
        try:
            query = select(column).where(clientjobs.c.id.in_(jobs)).order_by(clientjobs.c.id)
            return list(database.read("people", lambda c: c.scalars(query).all()))
        finally:
            database.close()

    @staticmethod
    def names(jobs: Sequence[int]) -> list[str]:
        """As operators know them."""
        return [f"client:{job}" for job in jobs]


class Ledger:
    """What A-REX itself writes down of the jobs of one tower that it has begun to work on."""

    def __init__(self, trial: Trial, *names: str) -> None:
        assert trial.grid is not None
        self._mark = f"act.{trial.observer.identity}."
        self._logs = {name: trial.grid.log_dir(name) / "arex-jobs.log" for name in names}

    def begun(self, name: str) -> Mapping[int, str]:
        """Attempt -> queue, in the order in which the CE took them in hand."""
        lines = self._logs[name].read_text(errors="replace").splitlines()
        found = [match for line in lines if (match := _STARTED.search(line)) and match[1].startswith(self._mark)]
        return {int(match[2]): match[3] for match in found}


def attempts_at(trial: Trial, pool: str, constraint: str) -> dict[int, str]:
    """Attempts of which a pool's schedd has such an ad -> the priority in it."""
    assert trial.grid is not None
    said = trial.grid.run(pool, "condor_q", "-all", "-constraint", constraint, "-af", "ActToken", "JobPrio")
    mark = f"act.{trial.observer.identity}."
    found = (line.split() for line in said.splitlines() if line.startswith(mark))
    return {int(token.removeprefix(mark).partition(".")[0]): priority for token, priority in found}


def states(picture: Picture, *pandaids: int) -> list[str]:
    """The state of the latest attempt of each, "" where there is none."""
    return [job.attempts[-1].state if job.attempts else "" for job in (picture.jobs[i] for i in pandaids)]

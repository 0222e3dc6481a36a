"""What a user of act-client 1.0 does, from the proxy to the last job cleaned, for any CE behind the tower."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import select

from act.client.tables import clientjobs
from tests.acceptance.act_client import ActClient
from tests.integration.web_scene import Scene
from tests.integration.web_server import WebServer

XRSL = """&(executable="run.sh")(arguments="{arguments}")(jobname="{name}")(walltime="10")(memory="100")
 (inputfiles=("run.sh" "")("in1.txt" "")("d/in2.txt" "other.txt"){remote})
 (outputfiles={outputs})(stdout="stdout.txt")(stderr="stderr.txt")"""
OUTPUTS = '("out.txt" "")("sub/deep.txt" "")'
SCRIPT = """#!/bin/sh
case "$1" in
sleep) sleep 300 ;;
fail) echo this went wrong; exit 3 ;;
esac
mkdir -p sub
cat in1.txt d/in2.txt {remote} > out.txt
echo deep > sub/deep.txt
echo done as "$2"
"""


class Recipe:
    """Each step is a method, to be called in the order below. wait: lets the tower work until something holds."""

    def __init__(
        self, act: ActClient, scene: Scene, server: WebServer, wait: Callable[[Callable[[], bool]], None],
        remote: str = "",
    ) -> None:  # fmt: skip
        self.act, self.scene, self.server, self._wait = act, scene, server, wait
        self._remote = f'("remote.txt" "{remote}")' if remote else ""
        act.write("run.sh", SCRIPT.format(remote="remote.txt" if remote else ""))
        act.write("in1.txt", "one\n")
        act.write("other.txt", "two\n")

    def job(self, name: str, arguments: str = "well", outputs: str = OUTPUTS) -> str:
        """The file of a description."""
        text = XRSL.format(name=name, arguments=arguments, outputs=outputs, remote=self._remote)
        return self.act.write(f"{name}.xrsl", text)

    def submit(self, *names: str, arguments: str = "well") -> list[int]:
        """Jobs of these names; their ids."""
        return _ids(self.act("sub", *(self.job(name, arguments) for name in names)), names)

    def state(self, job_id: int) -> str:
        """What stat says of a job."""
        rows = self.act("stat", "--id", str(job_id), "--client", "id", "--arc", "arcstate").splitlines()[2:]
        return rows[0].split()[1] if rows else ""

    def reaches(self, job_id: int, state: str, attempts: int = 1) -> None:
        """Wait for it, without a command each time."""
        query = select(clientjobs.c.shown, clientjobs.c.attempts).where(clientjobs.c.id == job_id)
        self._wait(lambda: self.scene.db.read("test", lambda c: c.execute(query).one()) == (state, attempts))
        assert self.state(job_id) == state

    # --- the steps -------------------------------------------------------------------------------------------------

    def all(self) -> None:
        """Everything, in order."""
        self.nothing_without_a_token()
        self.proxy_and_info()
        self.from_submission_to_results()
        self.failure_and_another_try()
        self.end_of_a_running_job()
        self.a_restart_between_post_and_put()
        self.interrupt_leaves_nothing()
        self.an_expired_token()

    def nothing_without_a_token(self) -> None:
        assert "Run act proxy" in self.act("stat", fails=True)
        self.act.token_file.write_text("nonsense")
        assert "Invalid token" in self.act("stat", fails=True)

    def proxy_and_info(self) -> None:
        assert "Successfully inserted proxy" in self.act("proxy")
        said = self.act("info")
        assert all(place.location in said for place in self.scene.config.users.ce), said

    def from_submission_to_results(self) -> None:
        first, second = self.submit("first", "second")
        table = self.act("stat")
        assert "first" in table and "second" in table
        for job in (first, second):
            self.reaches(job, "done")
        assert "Invalid column" in self.act("stat", "--arc", "nonsense", fails=True)
        row = self.act("stat", "--id", str(first), "--arc", "IDFromEndpoint,cluster,StdOut", "--client", "jobname")
        name, folder, cluster, stdout = row.splitlines()[2].split()
        assert (name, stdout) == ("first", "stdout.txt") and cluster.startswith("https://")
        assert "stored in" in self.act("get", "--id", str(first), "--noclean")
        self._check_results(self.act.home / folder)
        assert self.state(first) == "done"
        assert "Results for job second stored in second" in self.act("get", "--name", "second", "--use-jobname")
        self._check_results(self.act.home / "second")
        self.act("get")
        assert self.act("stat") == ""

    def failure_and_another_try(self) -> None:
        (job,) = self.submit("broken", arguments="fail")
        self.reaches(job, "donefailed")
        self.act("get", "--noclean", "--use-jobname", "-s", "donefailed")
        assert (self.act.home / "broken/stdout.txt").read_text() == "this went wrong\n"
        assert self.act("fetch") == "Will fetch 0 jobs\n"
        assert self.act("resub") == "Will resubmit 1 jobs\n"
        self.reaches(job, "donefailed", attempts=2)
        assert self.act("clean", "-s", "donefailed") == "Cleaned 1 jobs\n"

    def end_of_a_running_job(self) -> None:
        (job,) = self.submit("long", arguments="sleep")
        self.reaches(job, "running")
        assert self.act("kill", "--id", str(job)) == "Will kill 1 jobs\n"
        self.reaches(job, "cancelled")
        assert self.act("clean") == "Cleaned 1 jobs\n"

    def a_restart_between_post_and_put(self) -> None:
        """The client waits for the answer to its only upload while the server is stopped and started again."""
        self.act.write(
            "alone.xrsl", '&(executable="run.sh")(arguments="sleep")(jobname="alone")(inputfiles=("run.sh" ""))'
        )
        self.server.restart(ACT_FAULT="tx.upload:after:stall:4")
        client = self.act.start("sub", "alone.xrsl")
        self._until(lambda: "POST '/jobs' -> 200" in self.server.said(), client)
        self._until(lambda: any(self.scene.store.list("inputs")), client)
        os.kill(client.pid, signal.SIGSTOP)
        try:
            self.server.restart()
        finally:
            os.kill(client.pid, signal.SIGCONT)
        said, _ = client.communicate(timeout=60)
        (job,) = _ids(said, ["alone"])
        assert self.act("kill", "--id", str(job)) == "Will kill 1 jobs\n"
        self.reaches(job, "cancelled")
        assert self.act("clean") == "Cleaned 1 jobs\n"

    def interrupt_leaves_nothing(self) -> None:
        files = [self.job(f"many{n}") for n in range(60)]
        client = self.act.start("sub", *files)
        self._until(lambda: self.server.said().count("/data/") >= 10, client)
        client.send_signal(signal.SIGINT)
        said, _ = client.communicate(timeout=120)
        assert "Cleaning up failed or cancelled jobs" in said, said
        left = self.scene.db.read("test", lambda c: c.execute(select(clientjobs.c.shown)).scalars().all())
        assert set(left) <= {"toclean"}, left
        assert self.act("stat") == ""

    def an_expired_token(self) -> None:
        good = self.act.token_file.read_text()
        self.act.token_file.write_text(self.scene.expired(good))
        assert "Auth token is expired" in self.act("stat", fails=True)
        self.act.token_file.write_text(good)

    def _until(self, holds: Callable[[], bool], client: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end and client.poll() is None, client.communicate()
            time.sleep(0.01)

    def _check_results(self, folder: Path) -> None:
        expected = "one\ntwo\n" + ("remote\n" if self._remote else "")
        assert (folder / "out.txt").read_text() == expected
        assert (folder / "sub/deep.txt").read_text() == "deep\n"
        assert (folder / "stdout.txt").read_text().startswith("done as")


def _ids(said: str, names: Sequence[str]) -> list[int]:
    found = [int(n) for n in re.findall(r"Inserted job \S+ with ID (\d+)", said)]
    assert len(found) == len(names), said
    return found

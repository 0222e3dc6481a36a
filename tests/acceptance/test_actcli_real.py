"""actcli takes its user through a tower to a real A-REX and back: each step a method, in the order of a day."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.scientist import COMMAND_S, Behind, Scientist
from tests.grid.control import Grid
from tests.integration.web_pump import Pump
from tests.integration.web_scene import Scene
from tests.integration.web_server import WebServer

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

CE, QUEUE = "ce1", "fork"
BLOB_MB = 5
XRSL = """&(executable="run.sh")(jobname="{name}")(walltime="10")(memory="100")
 (inputfiles=("run.sh" "")("in1.txt" "")("d/in2.txt" "other.txt")("remote.txt" "{remote}"))
 (outputfiles=("out.txt" "")("sub/deep.txt" ""))(stdout="stdout.txt")(stderr="stderr.txt")"""
RUN = """#!/bin/sh
mkdir sub
cat in1.txt d/in2.txt remote.txt > out.txt
echo deep > sub/deep.txt
echo well done
"""
COPY = '#!/bin/sh\nmkdir res && cp "$1" res/copy.bin && echo "$2" > note.txt\n'
TICK = "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 1; done\n"
TICKS = [f"line {n}" for n in range(1, 9)]
HELD = "tx.upload:after:stall:2"  # a server that takes so many seconds to tell that a file has come


def test_everything_that_actcli_can_do(
    tmp_path: Path, real_ces: Callable[..., Grid], real_scene: Callable[..., Scene], remote: str
) -> None:
    grid = real_ces(CE)
    scene = real_scene(grid, [("arex", grid.ce(CE).url, QUEUE)], max_file_mb=2 * BLOB_MB)
    proxy = grid.proxy("alice.prod").read_bytes()
    with WebServer(scene.file, scene.ca.ca_cert) as server, Pump(scene.config) as pump:
        actcli = Scientist(tmp_path / "home", server.url, scene.ca.ca_cert, proxy)
        Day(actcli, Behind(scene, pump), server, remote).all()


class Day:
    """What a user does; remote: a file that the CE can read."""

    def __init__(self, actcli: Scientist, behind: Behind, server: WebServer, remote: str) -> None:
        self.actcli, self.behind, self.server = actcli, behind, server
        actcli.write("run.sh", RUN)
        actcli.write("in1.txt", "one\n")
        actcli.write("other.txt", "two\n")
        actcli.write("copy.sh", COPY)
        actcli.write("tick.sh", TICK)
        self.blob = random.Random(7).randbytes(BLOB_MB * 1_000_000)
        actcli.write("data/blob.bin", self.blob)
        for name in ("first", "second"):
            actcli.write(f"{name}.xrsl", XRSL.format(name=name, remote=remote))

    def all(self) -> None:
        """Everything, in order; what takes its time at the CE is submitted first."""
        self.nothing_without_a_session()
        self.proxy_and_info()
        self.submit()
        self.lines_before_the_end()
        self.end_of_a_running_job()
        self.failure_and_another_try()
        self.a_server_killed_within_a_submission()
        self.interrupt_leaves_nothing()
        self.look()
        self.results_here()
        self.an_expired_token()
        assert self.behind.left() == []

    def nothing_without_a_session(self) -> None:
        assert "run 'actcli proxy'" in self.actcli("stat", code=3)
        assert "nonsense" not in self.actcli("stat", code=3, ACTCLI_TOKEN="nonsense")

    def proxy_and_info(self) -> None:
        assert "acts for /O=Grid/O=aCT/CN=alice for" in self.actcli("proxy")
        assert re.search(r"arex +arc +fork +\S+ +https://localhost:\d+/arex", self.actcli("info"))

    def submit(self) -> None:
        self.described = self.actcli.ids("sub", "first.xrsl", "second.xrsl")
        (self.copy,) = self.actcli.ids(
            "run", "--input", "data/blob.bin", "--output", "res/", "--output", "note.txt", "--name", "copy", "--",
            "./copy.sh", "blob.bin", "a b $HOME",
        )  # fmt: skip
        (self.ticking,) = self.actcli.ids("run", "--", "./tick.sh")
        (self.long,) = self.actcli.ids("run", "--name", "long", "--", "/bin/sleep", "300")
        (self.broken,) = self.actcli.ids(
            "run", "--name", "broken", "--", "/bin/sh", "-c", "echo this went wrong; exit 3"
        )
        self.array = self.actcli.ids(
            "run", "--array", "1-3", "--name", "scan", "--", "/bin/sh", "-c", "echo {} $ACT_ARRAY_INDEX"
        )
        assert len(self.described) == 2 and len(self.array) == 3

    def lines_before_the_end(self) -> None:
        with self.actcli.start("cat", "-f", str(self.ticking)) as follower:
            assert follower.stdout is not None and follower.stderr is not None
            first = follower.stdout.readline()
            (state,) = self.behind.states([self.ticking]).values()
            assert state in ("submitted", "running")
            assert (first + follower.stdout.read()).splitlines() == TICKS
            assert (follower.wait(COMMAND_S), follower.stderr.read()) == (0, "")

    def end_of_a_running_job(self) -> None:
        self.behind.until([self.long], "running")
        told = self.actcli("explain", str(self.long))
        assert "running" in told and "https://localhost" in told
        assert self.behind.at_ces() != []
        assert self.actcli("kill", str(self.long)) == f"1 job being killed ({self.long})\n"

    def failure_and_another_try(self) -> None:
        broken = str(self.broken)
        self.behind.until([self.broken], "donefailed")
        assert self.actcli("cat", broken) == "this went wrong\n"
        assert "what there is of its files is here" in self.actcli("fetch", broken, code=1)
        assert "wrong exit code" in self.actcli("explain", broken)
        assert self.actcli("resub", "--state", "donefailed") == f"1 job submitted again ({broken})\n"

    def a_server_killed_within_a_submission(self) -> None:
        """The client waits for an answer that never comes, and asks the next server: there is one job, not two."""
        self.server.restart(ACT_FAULT=HELD)
        before = self.behind.states()
        with self._submitting("run", "-q", "--name", "alone", "--", "./copy.sh", "copy.sh", "x") as client:
            client.send_signal(signal.SIGSTOP)
            for pid in self.server.workers():
                os.kill(pid, signal.SIGKILL)
            self.server.restart(ACT_FAULT=HELD)
            client.send_signal(signal.SIGCONT)
            said, complaints = client.communicate(timeout=60)
        assert (client.returncode, complaints) == (0, "")
        (self.alone,) = self.behind.states().keys() - before.keys()
        assert said == f"{self.alone}\n"

    def interrupt_leaves_nothing(self) -> None:
        names = [f"many{n}" for n in range(20)]
        for name in names:
            self.actcli.write(f"{name}.txt", bytes(1_000_000))  # not all of it fits into buffers
            self.actcli.write(
                f"{name}.xrsl", f'&(executable="/bin/cat")(jobname="{name}")(inputfiles=("{name}.txt" ""))'
            )
        before = self.behind.states()
        with self._submitting("sub", *(f"{name}.xrsl" for name in names)) as client:
            client.send_signal(signal.SIGINT)
            said, complaints = client.communicate(timeout=60)
        assert (client.returncode, said) == (130, "")
        assert "20 jobs not submitted" in complaints and "interrupted" in complaints
        left = self.behind.states()
        assert {left[job] for job in left.keys() - before.keys()} <= {"toclean"}
        self.server.restart()

    @contextmanager
    def _submitting(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command with one of whose uploads the server is busy."""
        before = set(self.behind.scene.store.list("inputs"))
        client = self.actcli.start(*arguments)
        try:
            end = time.monotonic() + 60
            while not set(self.behind.scene.store.list("inputs")) - before:
                assert time.monotonic() < end and client.poll() is None, client.communicate()
                time.sleep(0.01)
            yield client
        finally:
            client.kill()

    def look(self) -> None:
        well = [*self.described, self.copy, self.ticking, self.alone, *self.array]
        self.behind.until(well, "done")
        self.behind.until([self.broken], "donefailed")
        self.behind.until([self.long], "cancelled")
        assert self.actcli("clean", "--state", "cancelled") == f"1 job removed ({self.long})\n"
        table = self.actcli("stat").splitlines()
        assert table[0].split()[:4] == ["ID", "NAME", "STATE", "CE"] and len(table) == 1 + len(well) + 1
        first, last = self.array[0], self.array[-1]
        chosen = self.actcli("stat", f"{first}-{last}", "--columns", "id,name,state,exit_code", "--format", "csv")
        assert chosen.split() == [
            "id,name,state,exit_code",
            *(f"{i},scan-{n},done,0" for n, i in enumerate(self.array, 1)),
        ]
        assert [job["id"] for job in self.actcli.jobs("--name", "scan", "--state", "done")] == self.array
        (broken,) = self.actcli.jobs("--state", "donefailed")
        assert (broken["id"], broken["exit_code"], broken["ce"], broken["attempt"]) == (self.broken, 3, "arex", 2)
        everything = csv.DictReader(io.StringIO(self.actcli("stat", "--format", "csv")))
        assert all(row["ce_job_id"] and row["ce_url"].startswith("https://localhost:") for row in everything)
        assert "there is no column nonsense" in self.actcli("stat", "-c", "nonsense", code=2)
        assert self.actcli("stat", "999999", code=5) == "actcli: no job of yours is like that\n"
        assert self.actcli("cat", str(self.array[1])) == "2 2\n"

    def results_here(self) -> None:
        self.actcli("get", "--noclean", "--use-jobname", "-s", "donefailed")
        assert (self.actcli.home / "broken/stdout.txt").read_text() == "this went wrong\n"
        assert self.actcli("clean", "-s", "donefailed") == f"1 job removed ({self.broken})\n"
        first, second = self.described
        assert f"job {first}: {first} (" in self.actcli("get", str(first), "--noclean")
        self._check(self.actcli.home / str(first))
        assert self.behind.states([first]) == {first: "done"}
        self.actcli("get", str(second), "--use-jobname", "-d", "results")
        self._check(self.actcli.home / "results/second")
        assert self.actcli("stat", str(second), code=5)
        assert len(self.actcli("get", "--all").splitlines()) == 7
        copy = self.actcli.home / str(self.copy)
        assert (copy / "res/copy.bin").read_bytes() == self.blob
        assert (copy / "note.txt").read_text() == "a b $HOME\n"
        assert (self.actcli.home / f"{self.alone}/stdout.txt").is_file()
        assert self.actcli("stat") == ""

    def _check(self, folder: Path) -> None:
        assert (folder / "out.txt").read_text() == "one\ntwo\nremote\n"
        assert (folder / "sub/deep.txt").read_text() == "deep\n"
        assert (folder / "stdout.txt").read_text() == "well done\n"

    def an_expired_token(self) -> None:
        expired = self.behind.scene.expired(self.actcli.session)
        assert "expired" in self.actcli("stat", code=3, ACTCLI_TOKEN=expired)
        assert self.actcli("stat") == ""

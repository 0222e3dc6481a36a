"""A scientist beside PanDA: has jobs done by the demonstration's tower with actcli, over its web server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import httpx

from act.errors import ActError
from act.x509 import make_proxy, read_proxy
from act_atlas.queueinfo import FLAVOURS
from act_atlas.trial import Tower, TrialCE, World

DAY_S = 86400.0
CALL_S = 60
START_S = 30
LOOK_S = 0.5
LINES = ("3 1 2", "6 5 4", "9 8 7")  # of the inputs, one job each; the job sorts the words
SCRIPT = "#!/bin/sh\ntr ' ' '\\n' <\"$1\" | sort | tr '\\n' ' ' >sorted.txt\necho \"sorted by $(id -un)\"\n"
JOB = """(&
  (jobname = "{name}")
  (executable = "sort.sh")
  (arguments = "words.txt")
  (inputfiles = ("sort.sh" "") ("words.txt" "words{number}.txt"))
  (outputfiles = ("sorted.txt" ""))
  (stdout = "stdout.txt") (join = "yes")
  (walltime = "5 minutes") (memory = "500"))
"""
OVER = ("done", "donefailed", "cancelled", "lost")


class Scientist:
    """One with a certificate, a proxy and a few small jobs. credential: certificate and key, default a test user's."""

    def __init__(self, world: World, ces: Sequence[TrialCE], credential: tuple[Path, Path] | None) -> None:
        self.directory = world.directory / "scientist"
        self.directory.mkdir()
        self._world, self._ces = world, ces
        cert, key = (path.read_bytes() for path in credential or world.ca.user("scientist"))
        pem = make_proxy(cert, key, DAY_S)
        self._subject = read_proxy(pem).identity
        self._port = _free_port()
        self._settings = {
            "ACTCLI_CONFIG": str(self.directory / "actcli.toml"),
            "XDG_DATA_HOME": str(self.directory / ".local"),
            "X509_USER_PROXY": str(self.directory / "proxy.pem"),
        }
        proxy = self.directory / "proxy.pem"
        proxy.touch(0o600)
        proxy.write_bytes(pem)
        (self.directory / "actcli.toml").write_text(f'server = "{self.url}"\nca = "{world.ca.ca_cert}"\n')
        self.shell = self.directory / "actcli.sh"  # to be sourced by who wants to submit jobs too
        exports = [f"export {name}='{value}'\n" for name, value in self._settings.items()]
        self.shell.write_text("".join([*exports, f"PATH='{Path(sys.executable).parent}':$PATH\n"]))

    @property
    def url(self) -> str:
        """Of the web server."""
        return f"https://localhost:{self._port}"

    def configuration(self) -> str:
        """What the tower's configuration says of users and the web server."""
        cert, key = self._world.ca.host()
        places = "".join(
            f'<ce name="ce{n}" url={quoteattr(ce.url)} queue={quoteattr(ce.queue)} flavour="{FLAVOURS[ce.flavour]}"/>'
            for n, ce in enumerate(self._ces, 1)
        )
        return (
            f'<users>{places}<group name="demo"><subject>{escape(self._subject)}</subject></group></users>'
            f"<web><bind>127.0.0.1:{self._port}</bind><certificate>{cert}</certificate><key>{key}</key>"
            "<processes>1</processes><pages>open</pages></web>"
        )

    def begin(self, tower: Tower) -> None:
        """Start the web server and hand over the proxy. Raises ActError."""
        with (self.directory / "web.log").open("wb") as log:
            server = tower.spawn("web", log=log)
        self._world.keep(server)
        end = time.monotonic() + START_S
        while not self._answers():
            if server.poll() is not None or time.monotonic() > end:
                raise ActError(f"the web server does not answer; its log is {self.directory / 'web.log'}")
            time.sleep(0.1)
        self._actcli("proxy")

    def _answers(self) -> bool:
        try:
            self._world.call("GET", "/api/v1/health", base=self.url)
        except httpx.HTTPError:
            return False
        return True

    def submit(self) -> None:
        """One small job for each line, each with an input, an output, and a script to run; all at once."""
        (self.directory / "sort.sh").write_text(SCRIPT)
        for number, line in enumerate(LINES):
            (self.directory / f"words{number}.txt").write_text(line)
        jobs = (JOB.format(name=_name(line), number=number) for number, line in enumerate(LINES))
        (self.directory / "jobs.xrsl").write_text(f"+{''.join(jobs)}")
        self._actcli("sub", "jobs.xrsl")

    def collect(self, until: float) -> Iterator[str]:
        """Bring the results of all jobs when they are over, at ``until`` of the monotonic clock at the latest; yields
        what is not as it should be."""
        while any(job["state"] not in OVER for job in self.jobs()) and time.monotonic() < until:
            time.sleep(LOOK_S)
        yield from (
            f"user's job {j['id']}: it is {j['state']}: {j['error']}" for j in self.jobs() if j["state"] != "done"
        )
        self._actcli("get", "--all", "--use-jobname", "--directory", "results")
        for line in LINES:
            path = self.directory / "results" / _name(line) / "sorted.txt"
            words = path.read_text().split() if path.is_file() else []
            if words != sorted(line.split()):
                yield f"user's job {_name(line)}: its result {path} holds {words}"

    def jobs(self) -> list[Mapping[str, object]]:
        """The scientist's jobs, as actcli tells them."""
        found: list[Mapping[str, object]] = json.loads(self._actcli("stat", "--all", "--format", "json"))
        return found

    def _actcli(self, *arguments: str) -> str:
        """What a command of actcli says. Raises ActError if it fails."""
        done = subprocess.run([sys.executable, "-m", "act.cli.user", *arguments], cwd=self.directory, text=True,
                              env=os.environ | self._settings, capture_output=True, timeout=CALL_S,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        if done.returncode:
            raise ActError(f"actcli {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def _name(line: str) -> str:
    return f"sort-{line.replace(' ', '-')}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

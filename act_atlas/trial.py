"""A world to try the tower in: a simulated PanDA, simulated or real CEs, and a configuration that fits them.

For the demo, whole-tower tests and benchmarks. Simulators are processes of their own and end with the `World`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import httpx

from act.errors import ActError
from act.simulation import TestCA

START_S = 30
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class TrialCE:
    """A CE of the world. flavour and url as in CRIC; pid of its simulator, None for a real one."""

    flavour: str
    url: str
    queue: str
    pid: int | None = None


@dataclass
class World:
    """Everything below ``directory``. Use as a context manager; `start_panda` first, then CEs, then `configure`."""

    directory: Path
    ca_dir: Path | None = None  # of real CEs; the test CA is added to it
    ca: TestCA = field(init=False)
    ces: list[TrialCE] = field(default_factory=list)
    panda: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = TestCA(self.directory / "ca")
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def start_panda(self, *options: str) -> None:
        """Start the simulated PanDA; options as of ``python -m act_atlas.simulator``."""
        extra = ["--client-ca-dir", str(self.ca_dir)] if self.ca_dir else []
        self.panda = self._start("act_atlas.simulator", "--dir", str(self.directory / "ca"), *extra, *options)

    def start_ce(self, name: str, *options: str, module: str = "act_arc.simulator", queue: str = "default") -> TrialCE:
        """Start a simulated ARC CE; options as of ``python -m act_arc.simulator``."""
        place = self.directory / name
        told = self._start(module, "--dir", str(place), "--ca", str(self.directory / "ca"), *options)
        ce = TrialCE("ARC-CE", told["url"], queue, self._processes[-1].pid)
        self.ces.append(ce)
        return ce

    def _start(self, module: str, *arguments: str) -> Mapping[str, Any]:
        """Start a simulator and read the line that says where it is."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent
        )
        self._processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ActError(f"{module} did not start: exit code {process.wait(START_S)}")
        told: Mapping[str, Any] = json.loads(line)
        return told

    def trust(self) -> Path:
        """One directory with all CAs of the world."""
        if self.ca_dir is None:
            return self.ca.ca_dir
        both = self.directory / "trusted"
        both.mkdir(exist_ok=True)
        for source in (self.ca_dir, self.ca.ca_dir):
            for path in source.iterdir():
                if path.is_file() and not (both / path.name).exists():
                    (both / path.name).write_bytes(path.read_bytes())
        return both

    def configure(
        self,
        queues: Mapping[str, Sequence[TrialCE]],
        *,
        credential: tuple[Path, Path] | None = None,
        database: str = "sqlite:///act.db",
        core: str = "",
        panda: str = "",
        rules: str = "",
        protocol: str = "v1",
    ) -> dict[str, str]:
        """Write both configuration files; returns the environment in which actctl finds them.

        queues: PanDA queue -> its CEs. credential: certificate and key of the tower, default a test user's.
        core, panda: further XML elements of the files; rules: elements of every queue.
        """
        cert, key = credential or self.ca.user("tower")
        self.call("POST", "/_sim/cric", {n: _cric_entry(n, ces) for n, ces in queues.items()})
        own = "".join(f"<queue><name>{n}</name>{rules}</queue>" for n in queues) if rules else ""
        arc = _CORE.format(
            database=escape(database), ca_dir=self.trust(), cert=cert, key=key, extra=core, base=self.directory
        )
        atlas = _ATLAS.format(
            server=self.panda["url"], cache=self.panda["cache"], wrapper=self.panda["wrapper"],
            cric=self.panda["cric"], extra=panda, protocol=protocol, queues=own, base=self.directory,
        )  # fmt: skip
        paths = {"ACTCONFIGARC": "aCTConfigARC.xml", "ACTCONFIGATLAS": "aCTConfigATLAS.xml"}
        for name, text in zip(paths.values(), (arc, atlas), strict=True):
            (self.directory / name).write_text(text)
        return os.environ | {variable: str(self.directory / name) for variable, name in paths.items()}

    def order(self, queue: str, **order: Any) -> list[int]:
        """Define jobs at PanDA, as `act_atlas.simulator.Order` says; returns their ids."""
        ids: list[int] = self.call("POST", "/_sim/jobs", [{"queue": queue, **order}])["pandaids"]
        return ids

    def stories(self) -> dict[int, dict[str, Any]]:
        """PanDA id -> what PanDA knows of the job."""
        return {int(i): story for i, story in self.call("GET", "/_sim/jobs").items()}

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """Talk to the controls of a simulator (PanDA's, unless ``base`` is given)."""
        context = ssl.create_default_context(capath=str(self.ca.ca_dir))
        answer = httpx.request(method, (base or self.panda["url"]) + path, json=body, verify=context, timeout=60)
        answer.raise_for_status()
        return answer.json()


def _cric_entry(name: str, ces: Sequence[TrialCE]) -> dict[str, Any]:
    """A queue as CRIC tells it."""
    return {
        "name": name,
        "nickname": name,
        "panda_resource": name,
        "state": "ACTIVE",
        "status": "online",
        "type": "unified",
        "workflow": "push",
        "pilot_manager": "aCT",
        "pilot_version": "3",
        "is_virtual": False,
        "corecount": 1,
        "maxtime": 86400,
        "copytools": {"rucio": {}},
        "acopytools": {"pr": ["rucio"]},
        "queues": [
            {
                "ce_endpoint": ce.url.removeprefix("https://"),
                "ce_flavour": ce.flavour,
                "ce_queue_name": ce.queue,
                "ce_state": "ACTIVE",
                "ce_jobmanager": "fork",
            }
            for ce in ces
        ],
    }


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_CORE = """<?xml version="1.0"?>
<config>
  <database><url>{database}</url></database>
  <paths>
    <state_dir>{base}/state</state_dir><store_dir>{base}/store</store_dir>
    <log_dir>{base}/log</log_dir><run_dir>{base}/run</run_dir>
  </paths>
  <ca_dir>{ca_dir}</ca_dir>
  <proxies>
    <key_file>{base}/state/proxy.key</key_file>
    <proxy><role>production</role><source_cert>{cert}</source_cert><source_key>{key}</source_key></proxy>
  </proxies>
  {extra}
</config>
"""

_ATLAS = """<?xml version="1.0"?>
<config>
  <panda><server>{server}</server><cache>{cache}</cache><protocol>{protocol}</protocol>{extra}</panda>
  <cric><url>{cric}</url></cric>
  <queues>{queues}</queues>
  <executable>
    <wrapperurl>{wrapper}</wrapperurl><wrapperurlrc>{wrapper}</wrapperurlrc>
  </executable>
  <joblog><dir>{base}/joblog</dir><urlprefix>file://{base}/joblog</urlprefix></joblog>
</config>
"""

"""Starts and stops the far sides of a trial, and writes a configuration that fits them."""

from __future__ import annotations

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

import httpx

from act.errors import ActError
from act.simulation import TestCA
from act_atlas.trial import configuration
from act_atlas.trial.tower import Tower, die_with_parent

START_S = 30


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
    work_dir: Path | None = None  # what submit points of real CEs see too
    ca: TestCA = field(init=False)
    ces: list[TrialCE] = field(default_factory=list)
    panda: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = TestCA(self.directory / "ca")
        self._processes: list[subprocess.Popen[Any]] = []
        self._towers: list[Tower] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        for tower in self._towers:
            tower.stop()
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
        self.panda = self.start("act_atlas.simulator", "--dir", str(self.directory / "ca"), *extra, *options)

    def start_ce(self, name: str, *options: str, module: str = "act_arc.simulator", queue: str = "default") -> TrialCE:
        """Start a simulated ARC CE; options as of ``python -m act_arc.simulator``."""
        place = self.directory / name
        told = self.start(module, "--dir", str(place), "--ca", str(self.directory / "ca"), *options)
        ce = TrialCE("ARC-CE", told["url"], queue, self._processes[-1].pid)
        self.ces.append(ce)
        return ce

    def start(self, module: str, *arguments: str) -> Mapping[str, Any]:
        """Start a simulator and read the line that says where it is."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ActError(f"{module} did not start: exit code {process.wait(START_S)}")
        told: Mapping[str, Any] = json.loads(line)
        return told

    def keep(self, process: subprocess.Popen[Any]) -> None:
        """Have a process end with the world."""
        self._processes.append(process)

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
        atlas: str = "",
        rules: str = "",
        protocol: str = "v1",
        storage: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Write both configuration files; returns the environment in which actctl finds them.

        queues: PanDA queue -> its CEs. credential: certificate and key of the tower, default a test user's.
        core, panda, atlas: further XML elements, of the core's file, of <panda>, and beside it. rules: elements of
        every queue. storage: PanDA queue -> base URL of what it reads and writes; such a queue is in NorduGrid mode.
        """
        cert, key = credential or self.ca.user("tower")
        storage = storage or {}
        places = {n: [(ce.flavour, ce.url, ce.queue) for ce in q] for n, q in queues.items()}
        entries = {n: configuration.cric_entry(n, p, storage=storage.get(n, "")) for n, p in places.items()}
        self.call("POST", "/_sim/cric", entries)
        elements = {n: rules + (configuration.nordugrid_rules(storage[n]) if n in storage else "") for n in queues}
        own = "".join(f"<queue><name>{n}</name>{e}</queue>" for n, e in elements.items() if e)
        texts = {
            ("ACTCONFIGARC", "aCTConfigARC.xml"): configuration.fill(
                configuration.CORE, database=database, ca_dir=self.trust(), cert=cert, key=key, extra=core,
                base=self.directory, work_dir=self.work_dir or self.directory / "work",
            ),
            ("ACTCONFIGATLAS", "aCTConfigATLAS.xml"): configuration.fill(
                configuration.ATLAS, server=self.panda["url"], cache=self.panda["cache"],
                wrapper=self.panda["wrapper"], cric=self.panda["cric"], extra=panda, protocol=protocol, queues=own,
                base=self.directory, more=atlas,
            ),
        }  # fmt: skip
        for (_, name), text in texts.items():
            (self.directory / name).write_text(text)
        return os.environ | {variable: str(self.directory / name) for variable, name in texts}

    def tower(self, environment: Mapping[str, str]) -> Tower:
        """The tower in the environment that `configure` returned, set up but not started; it ends with the world."""
        tower = Tower(self.directory, environment)
        self._towers.append(tower)
        tower.set_up()
        return tower

    def order(self, queue: str, *, inputs: Mapping[str, bytes] | None = None, **order: Any) -> list[int]:
        """Define jobs at PanDA, as `act_atlas.simulator.Order` says; returns their ids.

        inputs: name -> content of the files they read, which are on the storage under `configuration.SCOPE`.
        """
        if inputs:
            order["fields"] = {**configuration.input_fields(inputs), **order.get("fields", {})}
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

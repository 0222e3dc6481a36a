"""Requests that sites have been sent for years, and what tests convert jobs with."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from act.interfaces import plugin
from act.model import JobSpec
from act_atlas.config import AtlasConfig, load_atlas
from act_atlas.conversion import Conversion, convert
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import QueueInfo, from_facts

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "conversion-cases.json").read_text())
CREATED = datetime.fromisoformat(CASES["created"]).timestamp()
NAME = CASES["queue"]
JOB = {"PandaID": 7, "prodSourceLabel": "managed", "jobName": "j"}


def config_text(**queues: str) -> str:
    """A configuration with what the cases need, and rules for single queues."""
    sections: dict[str, str] = {}
    for path, value in CASES["config"].items():
        section, name = path.split("/")
        sections[section] = sections.get(section, "") + f"<{name}>{value}</{name}>"
    body = "".join(f"<{name}>{inner}</{name}>" for name, inner in sections.items())
    rules = "".join(f'<queue name="{name}"><rules>{inner}</rules></queue>' for name, inner in queues.items())
    return f"<config>{body}<queues>{rules}</queues></config>"


def with_rules(tmp_path: Path, rules: str) -> AtlasConfig:
    path = tmp_path / "aCTConfigATLAS.xml"
    path.write_text(config_text(Q=rules))
    return load_atlas(path)


def converted(config: AtlasConfig, *, truepilot: bool = True, flavour: str = "arc", **fields: Any) -> Conversion:
    queue = QueueInfo("Q", "Q", truepilot=truepilot, maxwalltime_min=2880, walltime_told=True)
    return convert(PandaJob(JOB | fields), queue, config, flavour=flavour, created=CREATED)


def summary(spec: JobSpec, flavour: str = "arc") -> dict[str, Any]:
    result: dict[str, Any] = plugin("act.ce", flavour).summary(spec)
    return result


def established(case: dict[str, Any], config: AtlasConfig, flavour: str) -> Conversion:
    """A case, converted."""
    return convert(
        PandaJob.parse(case["job"]), from_facts(NAME, case["site"]), config,
        flavour=flavour, created=CREATED, rowid=case["rowid"], metadata=case["metadata"],
    )  # fmt: skip

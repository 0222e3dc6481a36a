"""Conversion of PanDA jobs for HTCondor: true pilots only, in the established form, with the whole job's needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conversion_cases import CASES, CREATED, JOB, converted, established, summary, with_rules

from act_atlas.config import AtlasConfig
from act_atlas.conversion import convert
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import BadQueue, QueueInfo

# What the expected attributes of HTCondor leave out.
LEFT_OUT = {"+maxMemory", "TransferInputFiles", "Output", "Error", "UserLog"}


@pytest.mark.parametrize("case", [c for c in CASES["cases"] if c["classad"]], ids=lambda c: str(c["rowid"]))
def test_the_established_attributes_come_out_exactly(config: AtlasConfig, case: dict[str, Any]) -> None:
    found = summary(established(case, config, "condor").spec, "condor")
    assert {key: value for key, value in found.items() if key not in LEFT_OUT} == case["classad"]


@pytest.mark.parametrize(("fields", "total_mb"), [
    ({"minRamCount": 30000}, 30000), ({"minRamCount": 2001}, 2500), ({"minRamCount": 1}, 500), ({}, 4000),
    ({"coreCount": 8}, 4000), ({"coreCount": 8, "minRamCount": 16001}, 16500), ({"prodSourceLabel": "user"}, 4000),
])  # fmt: skip
def test_memory_of_a_pilot_for_htcondor_is_the_whole_jobs_rounded_up(
    config: AtlasConfig, fields: dict[str, Any], total_mb: int
) -> None:
    assert summary(converted(config, flavour="condor", **fields).spec, "condor")["+maxMemory"] == str(total_mb)


@pytest.mark.parametrize(("told", "maximum_min", "cpu_s", "walltime_s"), [
    (True, 2880, 3601, 7202), (True, 2880, None, 172800), (False, 10080, None, 345600), (False, 10080, 10**6, 345600),
    (True, 10080, 10**6, 604800), (True, 2880, 60, 3600),
])  # fmt: skip
def test_walltime_of_a_pilot_for_htcondor_is_twice_the_jobs_within_limits(
    config: AtlasConfig, told: bool, maximum_min: int, cpu_s: int | None, walltime_s: int
) -> None:
    queue = QueueInfo("Q", "Q", maxwalltime_min=maximum_min, walltime_told=told)
    made = convert(PandaJob(JOB | {"maxCpuCount": cpu_s}), queue, config, flavour="condor", created=CREATED)
    assert made.spec.walltime_s == walltime_s


def test_a_queue_in_nordugrid_mode_is_never_converted_for_htcondor(config: AtlasConfig) -> None:
    with pytest.raises(BadQueue, match="true pilots only"):
        converted(config, truepilot=False, flavour="condor")


@pytest.mark.parametrize(("rules", "expected"), [
    ("<walltime_factor>2</walltime_factor>", {"+MaxRuntime": "14400"}),
    ("<walltime_at_least_min>4000</walltime_at_least_min>", {"+maxWallTime": "4000"}),
    ("<walltime_at_most_min>10</walltime_at_most_min>", {"+MaxRuntime": "600"}),
    ("<memory_mb_per_core>2400</memory_mb_per_core>", {"+maxMemory": "4800"}),
    ("<memory_factor>1.5</memory_factor>", {"+maxMemory": "6000"}),
    ("<priority>28</priority>", {"JobPrio": "28"}),
    ("<request_disk>1</request_disk>", {"RequestDisk": str(2500 * 1024)}),
    ('<attribute name="WantX" value="true"/>', {"+WantX": "true"}),
    ('<attribute name="Label" value="x y"/>', {"+Label": '"x y"'}),
])  # fmt: skip
def test_exceptions_of_single_sites_hold_for_htcondor_too(tmp_path: Path, rules: str, expected: dict[str, Any]) -> None:
    spec = converted(with_rules(tmp_path, rules), flavour="condor", maxCpuCount=3600, coreCount=2).spec
    made = summary(spec, "condor")
    assert {key: made[key] for key in expected} == expected

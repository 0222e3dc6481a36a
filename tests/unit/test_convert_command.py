"""`actctl convert`: a job as a CE would get it, and why, without a tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conversion_cases import CASES, DATA, NAME

from act_atlas.cli import convert as command
from act_atlas.config import ATLAS_VARIABLE


class Files:
    """The command with a case's files."""

    def __init__(self, directory: Path, config: Path, case: dict[str, Any]) -> None:
        self.config, self.case = config, case
        self.queue, self.job, self.meta = (directory / n for n in ("queue.json", "job", "meta.json"))
        self.queue.write_text(json.dumps(case["site"]))
        self.job.write_text(case["job"])
        self.meta.write_text(json.dumps(case["metadata"]))

    def run(self, *more: str, name: str = NAME, flavour: str = "arc") -> Result:
        arguments = ["--flavour", flavour, "--queue", self.queue, "--name", name, "--job", self.job, "--metadata",
                     self.meta, "--created", CASES["created"], "--rowid", self.case["rowid"], *more]  # fmt: skip
        return CliRunner().invoke(command, [str(a) for a in arguments], env={ATLAS_VARIABLE: str(self.config)})


@pytest.fixture
def files(tmp_path: Path, config_file: Path) -> Files:
    return Files(tmp_path, config_file, CASES["cases"][0])


@pytest.mark.parametrize("keyed", [True, False])
def test_the_command_prints_the_case_as_json(files: Files, keyed: bool) -> None:
    if keyed:
        files.queue.write_text(json.dumps({NAME: files.case["site"]}))
    result = files.run("--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, files.case["xrsl"])


def test_the_command_speaks_htcondor_too(files: Files) -> None:
    expected = files.case["classad"]
    found = json.loads(files.run("--format", "json", flavour="condor").stdout)
    assert {key: found[key] for key in expected} == expected
    told = files.run("--why", flavour="condor").stdout
    assert "My.MaxRuntime = 7200\n" in told
    assert "walltime_s = 7200 because the job's maxCpuCount; x 2 for slow worker nodes" in told


def test_the_command_says_that_htcondor_has_no_nordugrid_mode(files: Files) -> None:
    files.queue.write_text(json.dumps(files.case["site"] | {"truepilot": False}))
    result = files.run(flavour="condor")
    assert (result.exit_code, "true pilots only" in result.stderr) == (2, True)


def test_the_command_prints_the_request_and_why(files: Files) -> None:
    result = files.run("--why")
    assert result.exit_code == 0
    assert result.stdout.startswith("&(executable=")
    assert "walltime_min = 10080 because true pilot: the queue's maxwalltime" in result.stdout
    for key in files.case["xrsl"]:
        assert f"\n{key} " in result.stdout


def test_the_command_reads_cric(files: Files) -> None:
    files.queue.write_text((DATA / "cric-pandaqueues.json").read_text())
    result = files.run(name="ARC-TEST-2")
    assert result.exit_code == 0
    assert '"-q" "ARC-TEST-2"' in result.stdout


@pytest.mark.parametrize(("file", "content", "told"), [
    ("job", "PandaID=1&prodSourceLabel=user&coreCount=x", "coreCount = 'x'"),
    ("job", "", "no fields"),
    ("queue", '{"OTHER": {}}', "no queue 'TESTQ' (there: OTHER)"),
    ("queue", "[1]", "not a JSON object"),
    ("queue", "{", "not valid JSON"),
    ("queue", '{"truepilot": "perhaps"}', "truepilot = 'perhaps'"),
    ("meta", "?", "not valid JSON"),
])  # fmt: skip
def test_bad_input_is_told_with_its_file_and_exit_code_2(files: Files, file: str, content: str, told: str) -> None:
    path: Path = getattr(files, file)
    path.write_text(content)
    result = files.run()
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert told in result.stderr


def test_a_file_that_is_not_there_or_not_text_is_told(files: Files) -> None:
    files.job.write_bytes(b"\xff\xfe")
    assert files.run().exit_code == 2
    files.job.unlink()
    result = files.run()
    assert (result.exit_code, str(files.job) in result.stderr) == (2, True)


def test_bad_configuration_has_exit_code_78(files: Files, tmp_path: Path) -> None:
    files.config = tmp_path / "bad.xml"
    files.config.write_text("<config><pandas/></config>")
    result = files.run()
    assert result.exit_code == 78
    assert "bad.xml:1: element pandas: unknown; did you mean 'panda'?" in result.stderr

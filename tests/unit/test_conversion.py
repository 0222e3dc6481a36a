"""Conversion of PanDA jobs: the requests that sites have been sent for years come out exactly, garbage is refused."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import BadJobSpec, ConfigError
from act.interfaces import plugin
from act.model import JobSpec, Submission
from act_atlas.cli import convert as command
from act_atlas.config import ATLAS_VARIABLE, AtlasConfig, load_atlas
from act_atlas.conversion import RULES, Conversion, convert
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import BadQueue, Endpoint, QueueInfo, from_facts

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "conversion-cases.json").read_text())
CREATED = datetime.fromisoformat(CASES["created"]).timestamp()
NAME = CASES["queue"]
JOB = {"PandaID": 7, "prodSourceLabel": "managed", "jobName": "j"}
# What the expected attributes of HTCondor leave out.
LEFT_OUT = {"+maxMemory", "TransferInputFiles", "Output", "Error", "UserLog"}
IDS = [f"{n}-{'truepilot' if c['site']['truepilot'] else 'nordugrid'}" for n, c in enumerate(CASES["cases"])]


def config_text(**queues: str) -> str:
    """A configuration with what the cases need, and rules for single queues."""
    sections: dict[str, str] = {}
    for path, value in CASES["config"].items():
        section, name = path.split("/")
        sections[section] = sections.get(section, "") + f"<{name}>{value}</{name}>"
    body = "".join(f"<{name}>{inner}</{name}>" for name, inner in sections.items())
    rules = "".join(f'<queue name="{name}"><rules>{inner}</rules></queue>' for name, inner in queues.items())
    return f"<config>{body}<queues>{rules}</queues></config>"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("etc") / "aCTConfigATLAS.xml"
    path.write_text(config_text())
    return path


@pytest.fixture(scope="module")
def config(config_file: Path) -> AtlasConfig:
    return load_atlas(config_file)


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


@pytest.mark.parametrize("case", CASES["cases"], ids=IDS)
def test_the_established_request_comes_out_exactly(config: AtlasConfig, case: dict[str, Any]) -> None:
    made = convert(
        PandaJob.parse(case["job"]), from_facts(NAME, case["site"]), config,
        flavour="arc", created=CREATED, rowid=case["rowid"], metadata=case["metadata"],
    )  # fmt: skip
    assert summary(made.spec) == case["xrsl"]


@pytest.mark.parametrize("case", [c for c in CASES["cases"] if c["classad"]], ids=lambda c: str(c["rowid"]))
def test_the_established_attributes_come_out_exactly(config: AtlasConfig, case: dict[str, Any]) -> None:
    made = convert(
        PandaJob.parse(case["job"]), from_facts(NAME, case["site"]), config,
        flavour="condor", created=CREATED, rowid=case["rowid"], metadata=case["metadata"],
    )  # fmt: skip
    found = summary(made.spec, "condor")
    assert {key: value for key, value in found.items() if key not in LEFT_OUT} == case["classad"]


@pytest.mark.parametrize("case", CASES["cases"], ids=IDS)
def test_the_order_of_arguments_and_variables_is_kept(config: AtlasConfig, case: dict[str, Any]) -> None:
    made = convert(
        PandaJob.parse(case["job"]), from_facts(NAME, case["site"]), config,
        flavour="arc", created=CREATED, rowid=case["rowid"], metadata=case["metadata"],
    )  # fmt: skip
    assert [name for name, _ in made.spec.environment] == list(case["xrsl"]["environment"])


def test_the_job_travels_as_pilots_read_it(config: AtlasConfig) -> None:
    spec = converted(config, coreCount=8, nucleus="NULL", transferType=None, inFiles="", jobPars="a b&c=%").spec
    (content,) = [f.content for f in spec.inputs if f.name == "pandaJobData.out"]
    assert parse_qs(content, keep_blank_values=True, strict_parsing=True) == {
        "PandaID": ["7"], "prodSourceLabel": ["managed"], "jobName": ["j"], "coreCount": ["8"], "nucleus": ["NULL"],
        "transferType": ["None"], "inFiles": [""], "jobPars": ["a b&c=%"],
    }  # fmt: skip


def test_numbers_may_be_numbers_or_text_and_nulls_have_many_forms(config: AtlasConfig) -> None:
    made = [converted(config, coreCount=c, minRamCount=m).spec for c, m in ((4, 8000), ("4", " 8000 "), ("+4", 8000.0))]
    assert {(spec.cores, spec.memory_mb_total) for spec in made} == {(4, 8000)}


@pytest.mark.parametrize("null", ["NULL", "None", "", None, 0, "0"])
def test_a_null_core_count_is_one_core(config: AtlasConfig, null: object) -> None:
    assert converted(config, coreCount=null).spec.cores == 1


@pytest.mark.parametrize(("field", "value"), [
    ("PandaID", "NULL"), ("PandaID", -1), ("PandaID", "6e9"), ("PandaID", 2**63),
    ("prodSourceLabel", ""), ("prodSourceLabel", "user; rm -rf"), ("prodSourceLabel", "a\nb"),
    ("coreCount", "many"), ("coreCount", -8), ("coreCount", 10**9), ("coreCount", 1.5), ("coreCount", "1_0"),
    ("minRamCount", 10**12), ("minRamCount", "nan"), ("maxCpuCount", 10**30), ("currentPriority", "high"),
    ("currentPriority", True), ("logFile", "../../etc/passwd"), ("logFile", ".."), ("logFile", "a\0b"),
    ("jobName", "two\nlines"), ("resourceType", "SCORE --x"), ("jobName", "\ud800"), ("jobPars", "\ud800"),
    ("coreCount", [8]), pytest.param("coreCount", 10**5000, id="endless"),
])  # fmt: skip
def test_an_absurd_field_is_refused_by_name(tmp_path: Path, field: str, value: Any) -> None:
    config = with_rules(tmp_path, "<walltime_from_job>true</walltime_from_job>")
    with pytest.raises(BadJobSpec) as caught:
        converted(config, **{field: value})
    assert field in str(caught.value) or "Unicode" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["", "   ", "no fields here", "{}", "{", '{"PandaID": ', "[" * 9999, '{"a":' * 9999])
def test_text_that_is_no_job_is_refused(config: AtlasConfig, text: str) -> None:
    with pytest.raises(BadJobSpec):
        convert(PandaJob.parse(text), QueueInfo("Q", "Q"), config, flavour="arc", created=CREATED)


def test_a_job_may_be_json_too(config: AtlasConfig) -> None:
    assert PandaJob.parse(json.dumps(JOB)).encode() == PandaJob.parse(urlencode(JOB)).encode()


def test_inputs_and_scopes_must_match_in_nordugrid_mode(config: AtlasConfig) -> None:
    with pytest.raises(BadJobSpec, match="inFiles has 2 entries, scopeIn 1"):
        converted(config, truepilot=False, inFiles="a,b", scopeIn="s")
    with pytest.raises(BadJobSpec, match="not a name"):
        converted(config, truepilot=False, inFiles="../a", scopeIn="s")


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.integers(), max_size=2),
    st.sampled_from(["NULL", "-1", "0", "1e9", "nan", " 8 ", "٣", "a,b", "../x", ".tgz", "9" * 40]),
)  # fmt: skip
FIELDS = ("PandaID", "prodSourceLabel", "jobName", "coreCount", "minRamCount", "maxCpuCount", "currentPriority",
          "logFile", "resource_type", "inFiles", "scopeIn", "maxDiskCount")  # fmt: skip


@settings(max_examples=100, deadline=None, database=None)
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), ODD),
    more=st.dictionaries(st.text(max_size=5), ODD, max_size=2),
    metadata=st.dictionaries(st.sampled_from(["schedulerid", "harvesterid", "harvesterworkerid"]), ODD),
    kind=st.sampled_from([("arc", True), ("arc", False), ("condor", True)]),
)
def test_garbage_gives_a_request_or_a_reason(
    config: AtlasConfig, fields: dict[str, Any], more: dict[str, Any], metadata: dict[str, Any], kind: tuple[str, bool]
) -> None:
    flavour, truepilot = kind
    queue = QueueInfo("Q", "Q", truepilot=truepilot)
    try:
        job = PandaJob(more | JOB | fields)
        made = convert(job, queue, config, flavour=flavour, created=CREATED, metadata=metadata)
        plugin("act.ce", flavour).describe(Submission(1, "act.token", made.spec, ""))
    except BadJobSpec:
        return
    spec = made.spec
    assert 1 <= spec.cores <= 10_000
    assert 60 <= spec.walltime_s <= 7 * 86400
    assert spec.memory_mb_total >= 250 * spec.cores
    assert spec.priority is None or 0 <= spec.priority <= 100
    assert "/" not in spec.stdout
    assert list(made.why())


@settings(max_examples=100, deadline=None, database=None)
@given(text=st.text(max_size=200))
def test_any_text_gives_a_request_or_a_reason(config: AtlasConfig, text: str) -> None:
    with contextlib.suppress(BadJobSpec):
        convert(PandaJob.parse(text), QueueInfo("Q", "Q"), config, flavour="arc", created=CREATED)


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


@pytest.mark.parametrize(("rules", "expected"), [
    ("<walltime_from_job>1</walltime_from_job>", {"walltime_min": 90}),
    ("<walltime_from_job>1</walltime_from_job><walltime_factor>2</walltime_factor>", {"walltime_min": 180}),
    ("<walltime_at_least_min>4000</walltime_at_least_min>", {"walltime_min": 4000}),
    ("<walltime_at_most_min>240</walltime_at_most_min><cputime_is_walltime>1</cputime_is_walltime>",
     {"walltime_min": 240, "cputime_min": 240}),
    ("<memory_mb_per_core>2400</memory_mb_per_core><priority>28</priority>",
     {"memory_mb_per_core": 2400, "priority": 28}),
    ("<no_runtime_environments>1</no_runtime_environments><runtime_environment>A</runtime_environment>",
     {"runtimeenvironment": ["A"]}),
])  # fmt: skip
def test_exceptions_of_single_sites_come_from_the_configuration(
    tmp_path: Path, rules: str, expected: dict[str, Any]
) -> None:
    made = summary(converted(with_rules(tmp_path, rules), maxCpuCount=3600, coreCount=2).spec)
    assert {key: made[key] for key in expected} == expected


def test_memory_factor_disk_and_free_attributes_reach_the_request(tmp_path: Path) -> None:
    config = with_rules(
        tmp_path,
        """<memory_factor>0.5</memory_factor><request_disk>true</request_disk>
        <attribute name="nodeaccess" value="outbound"/>""",
    )
    spec = converted(config, minRamCount=4000, maxDiskCount=1000).spec
    assert (spec.memory_mb_total, spec.disk_mb, spec.extra) == (2000, 3000, {"nodeaccess": "outbound"})


def test_share_and_candidates_come_from_the_queue(config: AtlasConfig) -> None:
    ours, other = Endpoint("arc", "https://a:443/arex", "q"), Endpoint("condor", "c:9619", "q")
    queue = QueueInfo("Q", "RESOURCE", endpoints=(ours, other))
    made = convert(PandaJob(JOB), queue, config, flavour="arc", created=CREATED)
    assert (made.share, made.candidates) == ("Q", (ours,))
    assert made.spec.arguments[:2] == ("-q", "RESOURCE")


def test_what_is_brought_back_is_the_job_log_and_the_ces(config: AtlasConfig) -> None:
    assert converted(config, logFile="x.log.tgz").spec.fetch == ("diagnose=errors", "x.log")


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="executable/wrapperurl is not set"):
        converted(AtlasConfig())


def test_a_ce_type_without_rules_is_named(config: AtlasConfig) -> None:
    with pytest.raises(ConfigError, match="'slurm'"):
        convert(PandaJob(JOB), QueueInfo("Q", "Q"), config, flavour="slurm", created=CREATED)


@pytest.mark.parametrize("flavour", RULES)
def test_every_rule_gives_a_reason(flavour: str) -> None:
    assert all(rule.why.strip() for rule in RULES[flavour])


DATA_FILES = {"inFiles": "a,b:c d", "scopeIn": "mc23,user.x", "logFile": "l.tgz"}


def test_inputs_come_from_the_queues_own_storage_if_it_has_one(tmp_path: Path) -> None:
    config = with_rules(tmp_path, "<input_url>davs://se:1094;cache=no/{scope}/{name}</input_url>")
    made = converted(config, truepilot=False, **DATA_FILES)
    found = {f.name: (f.source, f.options) for f in made.spec.inputs if f.name in ("a", "b:c d")}
    assert found == {
        "a": ("davs://se:1094;cache=no/mc23/a", ()),
        "b:c d": ("davs://se:1094;cache=no/user.x/b%3Ac%20d", ()),
    }
    assert any(line.startswith("inputsources += a from davs://") and "input_url" in line for line in made.why())


@pytest.mark.parametrize("url", ["", "davs://se/{scope}", "{name}", "davs:///{name}"])
def test_an_input_url_that_leads_nowhere_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="input_url"):
        with_rules(tmp_path, f"<input_url>{url}</input_url>")


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

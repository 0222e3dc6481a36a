"""Conversion of PanDA jobs: the requests that sites have been sent for years come out exactly, garbage is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from conversion_cases import CASES, CREATED, JOB, converted, established, summary, with_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import BadJobSpec, ConfigError
from act.interfaces import plugin
from act.model import Submission
from act_atlas.config import AtlasConfig
from act_atlas.conversion import RULES, convert
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import Endpoint, QueueInfo

IDS = [f"{n}-{'truepilot' if c['site']['truepilot'] else 'nordugrid'}" for n, c in enumerate(CASES["cases"])]


@pytest.mark.parametrize("case", CASES["cases"], ids=IDS)
def test_the_established_request_comes_out_exactly(config: AtlasConfig, case: dict[str, Any]) -> None:
    made = established(case, config, "arc")
    assert summary(made.spec) == case["xrsl"]


@pytest.mark.parametrize("case", CASES["cases"], ids=IDS)
def test_the_order_of_arguments_and_variables_is_kept(config: AtlasConfig, case: dict[str, Any]) -> None:
    made = established(case, config, "arc")
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

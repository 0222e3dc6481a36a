"""xRSL: what is written is what the CE reads, and what it could not read is refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile, Submission
from act_arc import xrsl
from act_arc.ce import factory
from act_arc.simulator import rsl
from act_arc.xrsl import Upload

TOKEN = "act.0123456789abcdef.4711.1.fedcba9876543210"
SPEC = JobSpec(
    name="simul.1",
    executable="wrapper.sh",
    arguments=("-q", "QUEUE"),
    environment=(("PANDA_JSID", "act-1"),),
    cores=8,
    memory_mb_total=16001,
    walltime_s=3601,
    cputime_s=8 * 3600,
    priority=60,
    runtime_environments=("APPS/HEP/ATLAS-SITE", "ENV/PROXY"),
    inputs=(
        InputFile("job.out", content="PandaID=1"),
        InputFile("wrapper.sh", source="https://sw.example.org/wrapper.sh", executable=True),
        InputFile("queue.json", source="http://panda.example.org:25085/cache/Q.json", options=(("cache", "check"),)),
    ),
    outputs=(OutputFile("heartbeat.json"), OutputFile("@output.list")),
    stdout="job.log",
    reruns=2,
)


def read(spec: JobSpec, queue: str = "grid") -> rsl.Description:
    return rsl.describe(xrsl.render(Submission(1, TOKEN, spec, queue)))


def through_a_shell(found: rsl.Description) -> list[str]:
    """The arguments as a job gets them: A-REX puts each between double quotes into a shell script."""
    quoted = [a.replace("\\", "\\\\").replace('"', '\\"') for a in found.arguments]
    script = "printf '%s\\0' " + " ".join(f'"{a}"' for a in quoted)
    done = subprocess.run(
        ["/bin/bash", "-c", script], env=dict(found.environment), stdout=subprocess.PIPE, check=True, timeout=10
    )
    return done.stdout.decode().split("\0")[:-1]


def test_the_ce_reads_what_the_job_needs() -> None:
    found = read(SPEC)
    assert found.executable == "wrapper.sh"
    assert found.arguments == ("-q", "QUEUE")
    assert found.environment == (("PANDA_JSID", "act-1"),)
    assert (found.slots, found.queue, found.priority, found.reruns, found.gmlog) == (8, "grid", 60, 2, "gmlog")
    assert found.executables == ("wrapper.sh",)
    assert (found.stdout, found.join) == ("job.log", True)


def test_times_are_whole_minutes_with_their_unit() -> None:
    found = read(SPEC)
    assert (found.walltime_s, found.cputime_s) == (61 * 60, 8 * 3600)
    assert '(walltime="61 minutes")' in factory.describe(Submission(1, TOKEN, SPEC, "grid"))


def test_memory_is_per_core_and_rounded_up() -> None:
    assert '(memory="2001")' in factory.describe(Submission(1, TOKEN, SPEC, "grid"))


@pytest.mark.parametrize(("cores", "single_node", "written"), [(8, True, True), (8, False, False), (1, True, False)])
def test_cores_are_kept_on_one_node_only_where_that_says_something(
    cores: int, single_node: bool, written: bool
) -> None:
    text = factory.describe(Submission(1, TOKEN, replace(SPEC, cores=cores, single_node=single_node), "grid"))
    assert ("countpernode" in text) is written


def test_the_name_ends_with_the_token_whatever_the_user_called_the_job() -> None:
    found = read(replace(SPEC, name="x" * 500))
    assert found.name == "x" * 100 + "." + TOKEN


def test_inputs_of_the_tower_are_waited_for_at_their_full_size() -> None:
    found = read(replace(SPEC, inputs=(InputFile("ü.txt", content="grüße"), InputFile("empty", content=""))))
    assert found.inputs == (("ü.txt", "7"), ("empty", "0"))
    assert found.uploads == {"ü.txt", "empty"}


def test_a_job_without_such_inputs_waits_for_a_marker() -> None:
    found = read(replace(SPEC, inputs=SPEC.inputs[1:]))
    assert found.uploads == {xrsl.ARM_FILE}
    assert xrsl.uploads(replace(SPEC, inputs=())) == [Upload(xrsl.ARM_FILE, 1, xrsl.ARM_CONTENT)]


def test_what_is_uploaded_has_the_size_that_was_announced() -> None:
    assert xrsl.uploads(SPEC) == [Upload("job.out", 9, b"PandaID=1")]
    assert dict(read(SPEC).inputs)["job.out"] == "9"


def test_files_of_the_store_are_uploaded_at_the_size_that_they_have_there() -> None:
    spec = replace(SPEC, inputs=(InputFile("d/run", stored="inputs/1/run", size=12, executable=True),), stdin="d/run")
    assert (read(spec).inputs, read(spec).uploads, read(spec).stdin) == ((("d/run", "12"),), {"d/run"}, "d/run")
    assert read(spec).executables == ("d/run",)
    assert xrsl.uploads(spec) == [Upload("d/run", 12, stored="inputs/1/run")]


def test_outputs_can_be_directories_and_all_there_is() -> None:
    spec = replace(SPEC, outputs=(OutputFile("out/"), OutputFile("/")))
    assert '("out/" "")("/" "")' in xrsl.render(Submission(1, TOKEN, spec, "grid"))


def test_url_options_stand_after_the_host() -> None:
    assert dict(read(SPEC).inputs)["queue.json"] == "http://panda.example.org:25085;cache=check/cache/Q.json"
    given_already = InputFile("f", source="rucio://r.example.org;account=p/replicas/s/f", options=(("cache", "no"),))
    assert dict(read(replace(SPEC, inputs=(given_already,))).inputs)["f"] == (
        "rucio://r.example.org;cache=no;account=p/replicas/s/f"
    )


def test_streams_are_kept_with_the_outputs_once() -> None:
    split = replace(SPEC, stderr="err.log", outputs=(OutputFile("job.log", "gsiftp://se.example.org/log"),))
    assert read(split).outputs == (("job.log", "gsiftp://se.example.org/log"), ("err.log", ""))
    assert (read(split).stderr, read(split).join) == ("err.log", False)


def test_the_delegation_is_in_the_text_only_if_asked_for() -> None:
    job = Submission(1, TOKEN, SPEC, "grid")
    assert rsl.describe(xrsl.render(job)).delegation == ""
    assert rsl.describe(xrsl.render(job, "4711")).delegation == "4711"


def test_configured_attributes_are_added() -> None:
    assert '(nodeaccess="inbound")' in factory.describe(
        Submission(1, TOKEN, replace(SPEC, extra={"nodeaccess": "inbound"}), "")
    )


def test_many_jobs_are_one_text() -> None:
    one, two = (xrsl.render(Submission(i, TOKEN, SPEC, "grid")) for i in (1, 2))
    assert rsl.split(xrsl.bulk([one, two])) == ([one, two], True)
    assert rsl.split(xrsl.bulk([one])) == ([one], False)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"])), min_size=1, max_size=5))
def test_any_arguments_reach_the_job_unchanged(arguments: list[str]) -> None:
    found = read(replace(SPEC, arguments=tuple(arguments)))
    assert through_a_shell(found) == arguments


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])))
def test_any_text_comes_back_from_a_quoted_one(text: str) -> None:
    found = read(replace(SPEC, environment=(("A", text),)))
    assert dict(found.environment)["A"] == text


def test_shell_characters_are_spelt_by_variables_that_exist_only_then() -> None:
    assert dict(read(replace(SPEC, arguments=("$HOME",))).environment)["ACT_DOLLAR"] == "$"
    assert [name for name, _ in read(SPEC).environment] == ["PANDA_JSID"]


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, arguments=("a\nb",)),
        replace(SPEC, arguments=("a\0b",)),
        replace(SPEC, arguments=("a\rb",)),
        replace(SPEC, arguments=("\ud800",)),
        replace(SPEC, name="two\nlines"),
        replace(SPEC, executable=""),
        replace(SPEC, executable="$(reboot)"),
        replace(SPEC, environment=(("A B", "x"),)),
        replace(SPEC, environment=(("A", "x\ny"),)),
        replace(SPEC, extra={'x")(executable': "y"}),
        replace(SPEC, inputs=(InputFile("a", source="/etc/passwd"),)),
        replace(SPEC, inputs=(InputFile("a"),)),
        replace(SPEC, inputs=(InputFile("/a", stored="x"),)),
        replace(SPEC, inputs=(InputFile("a/", stored="x"),)),
        replace(SPEC, stdin="../a"),
        replace(SPEC, inputs=(InputFile("../a", content=""),)),
        replace(SPEC, inputs=(InputFile("a", content="\ud800"),)),
        replace(SPEC, inputs=(InputFile("a", content="1"), InputFile("a", content="2"))),
        replace(SPEC, outputs=(OutputFile("a/../../b"),)),
    ],
)
def test_what_xrsl_cannot_hold_is_refused(spec: JobSpec) -> None:
    with pytest.raises(BadJobSpec):
        xrsl.render(Submission(1, TOKEN, spec, "grid"))


def test_the_summary_says_the_same_as_the_text() -> None:
    found, summary = read(SPEC), xrsl.summary(SPEC)
    assert summary["count"] == found.slots
    assert summary["countpernode"] == 8
    assert summary["walltime_min"] * 60 == found.walltime_s
    assert summary["cputime_min"] * 60 == found.cputime_s
    assert summary["memory_mb_per_core"] == 2001
    assert summary["priority"] == found.priority
    assert summary["runtimeenvironment"] == ["APPS/HEP/ATLAS-SITE", "ENV/PROXY"]
    assert summary["arguments"] == list(found.arguments)
    assert summary["environment"] == dict(found.environment)
    assert (summary["stdout"], summary["join"], summary["gmlog"], summary["rerun"]) == ("job.log", "yes", "gmlog", "2")
    assert summary["inputnames"] == [name for name, _ in found.inputs]
    assert summary["inputsources"] == {name: source for name, source in found.inputs if name not in found.uploads}
    assert summary["outputs"] == ["heartbeat.json", "@output.list"]

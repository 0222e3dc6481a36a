"""What HTCondor is asked for: all that a job needs, with every text as it is, and clear words for what cannot be."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile, Submission
from act_condor import classad
from act_condor.classad import Place
from act_condor.launcher import LAUNCHER
from tests.condor import words

SPEC = JobSpec(
    name="simulation 1", executable="wrapper.sh", arguments=("-q", "QUEUE"), environment=(("PANDA_JSID", "act-1"),),
    cores=8, memory_mb_total=16000, walltime_s=3601, priority=60, stdout="7.out", stderr="7.err",
    inputs=(InputFile("job.txt", content="a=b"), InputFile("wrapper.sh", "https://sw.example.org/w-1.sh")),
)  # fmt: skip
BARE = JobSpec(name="bare", executable="/bin/true")
TOKEN = "act.0a1b.7.1.00ff"
IWD = Path("/var/lib/act/jobs/condor/00/job")
GRID = Place("ce.example.org:9619", "grid", "condor ce.example.org ce.example.org:9619", "/proxies/1.pem", "1")
ARC = replace(GRID, grid_resource="arc https://ce.example.org:443/arex/rest/1.1")
POOL, DIRECT = replace(GRID, route="pool"), replace(GRID, route="direct")


def request(spec: JobSpec, place: Place = GRID, queue: str = "") -> dict[str, str]:
    """The submit description of one job, all values put in."""
    text = classad.describe(Submission(7, TOKEN, spec, queue), place, IWD)
    pairs = [line.partition(" = ") for line in text.splitlines() if not line.startswith("#") and line != "queue"]
    return {name: value for name, _, value in pairs}


def test_a_request_has_the_needs_of_the_job_under_both_kinds_of_names() -> None:
    made = request(SPEC)
    assert {made[name] for name in ("request_cpus", "My.xcount")} == {"8"}
    assert {made[name] for name in ("request_memory", "My.maxMemory")} == {"16000"}
    assert (made["My.MaxRuntime"], made["My.maxWallTime"]) == ("3601", "61")
    assert (made["priority"], made["request_disk"]) == ("60", "DiskUsage")
    assert request(replace(SPEC, disk_mb=3))["request_disk"] == "3072"
    assert request(replace(SPEC, priority=None))["priority"] == "0"


def test_a_request_is_found_by_its_token_and_its_ce() -> None:
    made = request(SPEC)
    assert made["My.ActToken"] == f'"{TOKEN}"'
    assert (made["My.ActCE"], made["My.ActDelegation"]) == ('"ce.example.org:9619"', '"1"')
    assert made["x509userproxy"] == "/proxies/1.pem"
    assert "x509userproxy" not in request(SPEC, replace(GRID, proxy_file=""))


def test_a_job_is_made_inert_and_stays_in_the_queue_until_it_is_cleaned() -> None:
    assert [request(SPEC, place).get("hold") for place in (GRID, POOL, DIRECT)] == ["true", "true", None]
    assert {request(SPEC, place)["leave_in_queue"] for place in (GRID, POOL, DIRECT)} == {"ActClean =!= true"}


def test_each_route_has_its_universe_and_only_a_pool_watches_the_walltime_itself() -> None:
    assert (request(SPEC)["universe"], request(SPEC)["grid_resource"]) == ("grid", GRID.grid_resource)
    assert {request(SPEC, place)["universe"] for place in (POOL, DIRECT)} == {"vanilla"}
    limits = [request(SPEC, place).get("allowed_execute_duration") for place in (GRID, POOL, DIRECT)]
    assert limits == [None, "3601", None]


@pytest.mark.parametrize(("queue", "place", "told"), [
    ("long", GRID, '"long"'), ("long", DIRECT, '"long"'), ("long", POOL, None), ("", GRID, None),
    ("default", GRID, None),
])  # fmt: skip
def test_the_queue_is_told_to_ces_that_have_some(queue: str, place: Place, told: str | None) -> None:
    made = request(SPEC, place, queue)
    assert made.get("My.queue") == told
    assert made.get("batch_queue") == (told.strip('"') if told else None)


def test_the_policy_for_held_jobs_and_free_attributes_are_part_of_the_request() -> None:
    made = request(
        replace(SPEC, extra={"WantGPU": "true", "Share": "8.5", "Label": 'a "b"'}),
        replace(GRID, policy={"periodic_release": "NumJobStarts < 3"}),
    )
    assert made["periodic_release"] == "NumJobStarts < 3"
    assert (made["My.WantGPU"], made["My.Share"], made["My.Label"]) == ("true", "8.5", '"a \\"b\\""')


def test_people_see_the_usual_policy_for_held_jobs_too() -> None:
    told = classad.describe(Submission(7, TOKEN, SPEC, "long"))
    assert "\nperiodic_release = " in told and "\nperiodic_remove = " in told


def test_runtime_environments_are_for_ces_of_arc() -> None:
    spec = replace(SPEC, runtime_environments=("ENV/PROXY", "APPS/X"))
    assert request(spec, ARC)["arc_rte"] == "ENV/PROXY,APPS/X"
    with pytest.raises(BadJobSpec, match="ENV/PROXY"):
        classad.item(Submission(7, TOKEN, spec, ""), GRID, IWD)
    assert "arc_rte" in classad.describe(Submission(7, TOKEN, spec, ""))


def test_jobs_of_one_bulk_differ_in_their_items_only() -> None:
    jobs = [Submission(1, TOKEN, SPEC, "q"), Submission(2, TOKEN, replace(BARE, priority=3), "q")]
    assert len({classad.shape(job) for job in jobs}) == 1
    others = [replace(jobs[0], queue="r"), replace(jobs[0], spec=replace(SPEC, extra={"a": "1"})),
              replace(jobs[0], spec=replace(SPEC, runtime_environments=("E",)))]  # fmt: skip
    assert len({classad.shape(job) for job in (*jobs, *others)}) == 4
    items = [classad.item(job, GRID, IWD) for job in jobs]
    assert list(items[0]) == list(items[1])


def test_every_command_has_a_value_for_every_job() -> None:
    """Without one a job would take over the value of the first one of its bulk."""
    assert [name for name, value in request(BARE).items() if not value.strip()] == []
    assert [name for name, value in classad.item(Submission(7, TOKEN, BARE, ""), GRID, IWD).items() if not value] == [
        "act_arguments", "act_environment", "act_inputs", "act_outputs"
    ]  # fmt: skip


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t"), max_size=12)
NASTY = st.lists(st.sampled_from(["$", "$(x)", "$$(Y)", "$ENV(HOME)", "'", '"', "\\", " ", "\t", "a", ",", "ü"])).map(
    "".join
)


@settings(max_examples=200, deadline=None, database=None)
@given(arguments=st.lists(TEXT | NASTY, max_size=6))
def test_arguments_can_be_read_back_and_hold_no_macro(arguments: list[str]) -> None:
    item = classad.item(Submission(7, TOKEN, replace(BARE, arguments=tuple(arguments)), ""), GRID, IWD)
    raw = item["act_arguments"]
    assert words(raw.replace('\\"', '"')) == arguments
    assert "$(" not in raw and "$$" not in raw and "$ENV" not in raw
    assert "\n" not in raw and "\x1f" not in raw and raw == raw.strip()


@settings(max_examples=50, deadline=None, database=None)
@given(values=st.lists(TEXT | NASTY, max_size=6))
def test_an_environment_can_be_read_back(values: list[str]) -> None:
    environment = tuple((f"V{n}", value) for n, value in enumerate(values))
    item = classad.item(Submission(7, TOKEN, replace(BARE, environment=environment), ""), GRID, IWD)
    assert words(item["act_environment"].replace('\\"', '"')) == [f"{name}={value}" for name, value in environment]


@pytest.mark.parametrize("text", ["line\nfeed", "nul\0", "unit\x1fseparator", "bell\a", "del\x7f", "\ud800"])
def test_what_a_request_cannot_hold_is_refused(text: str) -> None:
    for odd in (replace(BARE, arguments=(text,)), replace(BARE, environment=(("A", text),)),
                replace(BARE, extra={"A": text})):  # fmt: skip
        with pytest.raises(BadJobSpec):
            classad.describe(Submission(7, TOKEN, odd, ""))


@pytest.mark.parametrize("odd", [
    {"executable": ""}, {"executable": "-c"}, {"executable": "a\nb"},
    {"environment": (("A B", "1"),)}, {"extra": {"a b": "1"}}, {"extra": {"a": "$(HOME)"}},
    {"stdout": ""}, {"stdout": "a/b"}, {"stdout": ".."}, {"stdout": "a b"}, {"stdout": "$(x)"}, {"stderr": "a,b"},
    {"stdout": "x", "stderr": "x"}, {"stdout": LAUNCHER}, {"stdout": "x.out", "stderr": "x.log"},
    {"inputs": (InputFile("a\nb", content=""),)}, {"inputs": (InputFile(LAUNCHER, content=""),)},
    {"inputs": (InputFile("../a", content=""),)}, {"inputs": (InputFile("/a", content=""),)},
    {"inputs": (InputFile("a", content="\ud800"),)}, {"inputs": (InputFile("\ud800", content=""),)},
    {"inputs": (InputFile("a/", stored="x"),)}, {"inputs": (InputFile("a"),)},
    {"inputs": (InputFile("a", content=""), InputFile("a/b", content=""))},
    {"inputs": (InputFile("a", "file:///etc/passwd"),)}, {"stdin": "../a"},
    {"inputs": (InputFile("a", content=""), InputFile("a", content=""))},
    {"inputs": (InputFile("a", content=""), InputFile("b", "http://h/a"))},
    {"inputs": (InputFile("a", "http://h/b"), InputFile("b", "http://h/c"))},
    {"inputs": (InputFile("a", "http://h/"),)}, {"inputs": (InputFile("a", "/etc/passwd"),)},
    {"inputs": (InputFile("a", "http://h/a b"),)}, {"inputs": (InputFile("a", "http://h/a,b"),)},
    {"inputs": (InputFile("a", "http://h/$(x)"),)}, {"inputs": (InputFile("a", "http://h/a?b=c"),)},
    {"outputs": (OutputFile("a", "gsiftp://se/a"),)}, {"outputs": (OutputFile("@list"),)},
    {"outputs": (OutputFile("d/../a"),)}, {"outputs": (OutputFile("/a"),)}, {"outputs": (OutputFile("a b/"),)},
    {"outputs": (OutputFile("/"), OutputFile("d/"))}, {"outputs": (OutputFile("d//"),)},
], ids=str)  # fmt: skip
def test_what_htcondor_would_not_do_is_refused(odd: dict[str, object]) -> None:
    with pytest.raises(BadJobSpec):
        classad.describe(Submission(7, TOKEN, replace(BARE, **odd), ""))  # type: ignore[arg-type]


@pytest.mark.parametrize("queue", ["a b", "a\nb", 'a"', "$(x)"])
def test_a_queue_that_is_no_name_is_refused(queue: str) -> None:
    with pytest.raises(BadJobSpec, match="queue"):
        classad.describe(Submission(7, TOKEN, BARE, queue))


def run(
    spec: JobSpec, directory: Path, arriving: dict[str, str] | None = None, place: Place = GRID
) -> subprocess.CompletedProcess[str]:
    """What becomes of a job where it runs; arriving: what came from URLs."""
    for name, content in classad.sandbox(spec, place).items():
        (directory / name).write_bytes(content)
    for name, text in (arriving or {}).items():
        (directory / name).write_text(text)
    arguments = words(request(spec, place)["My.Arguments"].strip('"'))
    return subprocess.run(
        ["/bin/sh", LAUNCHER, *arguments], cwd=directory, env={"PATH": os.defpath}, capture_output=True,
        text=True, timeout=20, check=False,
    )  # fmt: skip


def test_the_launcher_gives_inputs_their_names_and_becomes_the_job(tmp_path: Path) -> None:
    script = '#!/bin/sh\necho "$0 $2"; cat job.txt; echo oops >&2; exit 7\n'
    done = run(replace(SPEC, arguments=("-q", "a  b")), tmp_path, {"w-1.sh": script})
    assert (done.returncode, done.stdout, done.stderr) == (7, "./wrapper.sh a  b\na=b", "oops\n")


def test_the_streams_are_joined_for_a_job_that_wants_one(tmp_path: Path) -> None:
    done = run(replace(BARE, executable="/bin/sh", arguments=("-c", "echo 1; echo 2 >&2")), tmp_path)
    assert (done.stdout, done.stderr) == ("1\n2\n", "")


def test_on_the_way_to_a_ce_of_arc_texts_are_in_the_launcher(tmp_path: Path) -> None:
    texts = ("$HOME", "`id`", "tab\there", "it's", "", "-n", "two  words")
    spec = replace(BARE, executable="/bin/sh", arguments=("-c", 'printf "%s|" "$@" "$A"', "sh", *texts),
                   environment=(("A", "$(id) 'x'"),))  # fmt: skip
    assert {request(spec, ARC)[f"My.{name}"] for name in ("Arguments", "Environment")} == {'""'}
    assert run(spec, tmp_path, place=ARC).stdout.split("|") == [*texts, "$(id) 'x'", ""]
    assert run(replace(spec, arguments=(), executable="/bin/echo"), tmp_path, place=ARC).stdout == "\n"


def test_an_output_that_the_job_does_not_write_is_empty_and_others_are_kept(tmp_path: Path) -> None:
    """HTCondor would put the job on hold for one that is not there."""
    spec = replace(BARE, executable="/bin/sh", arguments=("-c", "echo x > made"),
                   outputs=(OutputFile("made"), OutputFile("never"), OutputFile(BARE.stdout)))  # fmt: skip
    run(spec, tmp_path)
    assert ((tmp_path / "made").read_text(), (tmp_path / "never").read_text()) == ("x\n", "")
    assert request(spec)["My.TransferOutput"] == '"made,never"'


def test_inputs_in_directories_and_with_odd_names_arrive_under_other_names(tmp_path: Path) -> None:
    script = "#!/bin/sh\ncat 'd/e/in put' -\n"
    inputs = (InputFile("d/e/in put", content="one"), InputFile("it's,$(x)", content="two"),
              InputFile("d/run", content=script), InputFile("plain", content=""))  # fmt: skip
    spec = replace(BARE, executable="d/run", stdin="it's,$(x)", inputs=inputs)
    brought = request(spec)["My.TransferInput"].strip('"').split(",")
    assert len(set(brought)) == 4 and all("/" not in name and "$" not in name for name in brought)
    assert set(classad.sandbox(spec, GRID)) == {LAUNCHER, *brought}
    assert run(spec, tmp_path).stdout == "onetwo"


def test_outputs_in_directories_are_there_in_any_case(tmp_path: Path) -> None:
    spec = replace(BARE, outputs=(OutputFile("out/"), OutputFile("d/e/f")))
    run(spec, tmp_path)
    assert (tmp_path / "out").is_dir() and (tmp_path / "d/e/f").read_text() == ""
    assert request(spec)["My.TransferOutput"] == '"out,d/e/f"'
    with pytest.raises(BadJobSpec, match="CE of ARC"):
        request(spec, ARC)


def test_all_new_files_are_brought_where_nothing_else_is_said_to_htcondor() -> None:
    everything = replace(BARE, outputs=(OutputFile("/"),))
    assert "My.TransferOutput" not in request(everything)
    assert "My.TransferOutput" in request(BARE)
    assert classad.shape(Submission(1, TOKEN, everything, "")) != classad.shape(Submission(1, TOKEN, BARE, ""))


def test_a_program_from_an_input_needs_no_permission_bit(tmp_path: Path) -> None:
    spec = replace(BARE, executable="go", inputs=(InputFile("go", content="#!/bin/sh\necho gone\n"),))
    assert run(spec, tmp_path).stdout == "gone\n"


def test_the_summary_speaks_of_urls_where_the_request_has_the_launcher() -> None:
    assert classad.summary(SPEC)["Cmd"] == "https://sw.example.org/w-1.sh"
    assert request(SPEC)["executable"] == f"{IWD}/{LAUNCHER}"
    assert request(SPEC)["My.TransferInput"] == '"job.txt,https://sw.example.org/w-1.sh"'


def test_the_story_of_a_job_has_a_file_of_its_own() -> None:
    assert request(SPEC)["log"] == classad.user_log(SPEC) == "7.log"
    assert classad.user_log(replace(SPEC, stdout="job.log")) == "job.log.log"

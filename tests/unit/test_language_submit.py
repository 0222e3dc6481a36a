"""Submit descriptions mean what they mean to condor_submit, and never reach for files or variables of the tower."""

from __future__ import annotations

from typing import Any

import pytest

from act.errors import BadJobSpec
from act.interfaces import plugin
from act.model import InputFile, JobSpec, OutputFile
from act_condor.language.submit import language as submit

NOTHING = JobSpec(
    name="true", executable="/bin/true", log_dir="", outputs=(OutputFile("/"),), fetch=("/",),
)  # fmt: skip


def read(commands: str) -> JobSpec:
    """One job that runs the worker node's /bin/true, with these commands."""
    [job] = submit(f"executable = /bin/true\ntransfer_executable = false\n{commands}\nqueue\n")
    return job


def arguments(text: str) -> list[tuple[str, ...]]:
    return [job.arguments for job in submit(f"executable = a\n{text}\n")]


def refusal(text: str) -> str:
    with pytest.raises(BadJobSpec) as caught:
        submit(text)
    return str(caught.value)


MEANINGS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("batch_name = my job", {"name": "my job"}),
    ('JobBatchName = "my job"', {"name": "my job"}),
    ("Arguments = a b  \\\"c\\\" 'd e'", {"arguments": ("a", "b", '"c"', "'d", "e'")}),
    ("arguments = \"a 'b  c' d'e f'g 'it''s' \"\"q\"\" ''\"", {"arguments": ("a", "b  c", "de fg", "it's", '"q"', "")}),
    ("args = a$(DOLLAR)b $c", {"arguments": ("a$b", "$c")}),
    ("environment = A=1;B=x y;C=", {"environment": (("A", "1"), ("B", "x y"), ("C", ""))}),
    ("env = \"A=1 B='x y' C=\"", {"environment": (("A", "1"), ("B", "x y"), ("C", ""))}),
    ("output = out/x.1\nerror = out/x.2", {"stdout": "x.1", "stderr": "x.2"}),
    ("output = x\nerror = x", {"stdout": "x"}),
    ("output = /dev/null\nerror = /dev/null", {}),
    ("transfer_input_files = a, b/c.txt, /d/e, https://h/f?, file:///g/h, , a",
     {"inputs": (InputFile("a", source="a"), InputFile("c.txt", source="b/c.txt"), InputFile("e", source="/d/e"),
                 InputFile("f?", source="https://h/f?"), InputFile("h", source="/g/h"))}),
    ("initialdir = run1/\ntransfer_input_files = a, /b\ninput = c",
     {"inputs": (InputFile("a", source="run1/a"), InputFile("b", source="/b"), InputFile("c", source="run1/c")),
      "stdin": "c"}),
    ("transfer_input_files = a\ninput = a", {"inputs": (InputFile("a", source="a"),), "stdin": "a"}),
    ("input = /dev/null", {}),
    ("transfer_output_files = a, d/e, f/",
     {"outputs": (OutputFile("a"), OutputFile("d/e"), OutputFile("f/")), "fetch": ("a", "d/e", "f/")}),
    ('transfer_output_files = ""', {"outputs": (), "fetch": ()}),
    ("request_cpus = 8\n+xcount = 8", {"cores": 8}),
    ("RequestCpus = 8\nrequest_memory = 4000", {"cores": 8, "memory_mb_total": 4000}),
    ("request_memory = 2GB", {"memory_mb_total": 2048}),
    ("request_memory = 1500 K", {"memory_mb_total": 2}),
    ("+maxMemory = 500", {"memory_mb_total": 500}),
    ("request_disk = 2048", {"disk_mb": 2}),
    ("request_disk = 1T", {"disk_mb": 1048576}),
    ("+MaxRuntime = 7200", {"walltime_s": 7200}),
    ("max_runtime = 7200\n+maxWallTime = 120", {"walltime_s": 7200}),
    ("+maxWallTime = 90", {"walltime_s": 5400}),
    ("allowed_job_duration = 60", {"walltime_s": 60}),
    ("priority = 50", {"priority": 50}),
    ("arc_rte = ENV/PROXY, APPS/X", {"runtime_environments": ("ENV/PROXY", "APPS/X")}),
    ('+ProjectName = "a \\"b\\""\nMy.JobFlavour = "long"\n+wholenodes = True',
     {"extra": {"ProjectName": 'a "b"', "JobFlavour": "long", "WholeNodes": "True"}}),
    ("universe = Vanilla\nshould_transfer_files = YES\nwhen_to_transfer_output = ON_EXIT\nlog = a.$(Cluster).log\n"
     "notification = Never\ngetenv = False\nuse_x509userproxy = true\nnotify_user = me@example.org", {}),
    ("request_cpus =\noutput=\n  # no\n\t\n", {}),
    ("request_cpus = 2\nrequest_cpus = 4", {"cores": 4}),
    ("n = 3\nrequest_cpus = $(n)\nn = 4", {"cores": 4}),
    ("n = 3\nrequest_cpus = $(n)\nn = $(n)1", {"cores": 31}),
    ("arguments = $(A:x) $(b:)\nb = y", {"arguments": ("x", "y")}),
    ("arguments = a \\\n  b \\\n\nrequest_cpus = 2\r", {"arguments": ("a", "b"), "cores": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("commands", "fields"), MEANINGS)
def test_commands_mean_what_the_manual_says(commands: str, fields: dict[str, Any]) -> None:
    job = read(commands)
    told = {f: getattr(job, f) for f in JobSpec.__slots__ if getattr(job, f) != getattr(NOTHING, f)}
    assert told == fields
    assert submit(submit.write(job)) == [job]


def test_the_program_is_an_input_of_the_author() -> None:
    [job] = submit("executable = bin/run.sh\nqueue")
    assert (job.name, job.executable) == ("run.sh", "run.sh")
    assert job.inputs == (InputFile("run.sh", source="bin/run.sh", executable=True),)
    assert submit("executable = https://h/run.sh\nqueue")[0].inputs[0].source == "https://h/run.sh"


# Seen with condor_submit -dry-run of HTCondor 23.9.
QUEUES = [
    ("arguments = $(Process) $(ProcId) $(Step)\nqueue 2\nqueue", ["0 0 0", "1 1 1", "2 2 0"]),
    ("n = 2\narguments = $(Process)\nqueue $(n)", ["0", "1"]),
    ("arguments = $(Item) $(ItemIndex) $(Row)\nqueue in (a, b c)", ["a 0 0", "b 1 1", "c 2 2"]),
    ("arguments = $(x)\nqueue x in a, b", ["a", "b"]),
    ("arguments = $(x) $(Step) $(Process)\nqueue 2 x in (\n a\n # no\n b, c\n)", [
        "a 0 0", "a 1 1", "b 0 2", "b 1 3", "c 0 4", "c 1 5",
    ]),
    ("arguments = $(x)|$(y)\nqueue x, y from (\n p 1 2\n q, 3\n r\n\n f(x)  ,  1 )\n)",
     ["p|1 2", "q|3", "r|", "f(x)|1 )"]),
    ("arguments = $(x)\nqueue x from (\n p 1\n)", ["p 1"]),
    ("arguments = a\nqueue\narguments = b\nQueue 2", ["a", "b", "b"]),
    ("arguments = $(x)\nqueue 0\nqueue x in (a)", ["a"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), QUEUES)
def test_queue_makes_a_job_of_each_item(text: str, told: list[str]) -> None:
    assert [" ".join(words) for words in arguments(text)] == told


REFUSED = [
    ("queue x from items.txt", "would read a file"),
    ("queue x from seq 10 |", "would read a file"),
    ("queue x matching files *.txt", "list them"),
    ("queue matching (*.txt)", "list them"),
    ("queue x in [1:] (a, b)", "slices"),
    ("queue x, y in (a, b)", "from ( ... )"),
    ("queue x in (a\n b", "has no end"),
    ("queue x y", "is not understood"),
    ("queue 2 3", "is not understood"),
    ("queue 2.5", "takes a number of jobs"),
    ("queue $(n)", "$(n) is not defined"),
    ("queue 10001", "at most 10000 jobs"),
    ("queue 5000\nqueue 5001", "more than 10000 jobs"),
    ("", "there is no queue statement"),
    ("include : /etc/passwd\nqueue", "'include' is not possible"),
    ("include command : id\nqueue", "'include' is not possible"),
    ("use feature : GPUs\nqueue", "'use' is not possible"),
    ("if true\nqueue\nendif", "'if' is not possible"),
    ("arguments @=x\n a\n@x\nqueue", "neither NAME = VALUE nor a queue"),
    ("arguments\nqueue", "neither NAME = VALUE nor a queue"),
    ("arguments = $ENV(HOME)\nqueue", "environment of the tower"),
    ("arguments = $Fn(x)\nqueue", "$Fn(...) is not possible"),
    ("arguments = $RANDOM_CHOICE(1,2)\nqueue", "is not possible"),
    ("arguments = $INT(x)\nqueue", "is not possible"),
    ("arguments = $$(Memory)\nqueue", "only the CE knows"),
    ("arguments = $$([1+1])\nqueue", "only the CE knows"),
    ("arguments = $(a\nqueue", "this macro has no end"),
    ("arguments = $(a:$(b))\nqueue", "this macro has no end, or others in it"),
    ("arguments = $(Cluster)\nqueue", "use $(Process)"),
    ("a = $(b)\nb = $(a)\narguments = $(a)\nqueue", "refer to each other"),
    ("argumets = a\nqueue", "no command 'argumets', and no macro refers to it; did you mean 'arguments'?"),
    ("universe = docker\nqueue", "vanilla"),
    ("docker_image = a\nqueue", "vanilla"),
    ("should_transfer_files = NO\nqueue", "always transferred"),
    ("when_to_transfer_output = ON_EXIT_OR_EVICT\nqueue", "use ON_EXIT"),
    ("getenv = true\nqueue", "environment of the tower"),
    ("hold = true\nqueue", "on hold"),
    ("notification = always\nqueue", "sends no mail"),
    ("requirements = Memory > 1\nqueue", "--ce"),
    ("requirements = Memory > 1\narguments = $(requirements)\nqueue", "--ce"),
    ("grid_resource = arc x\nqueue", "--ce"),
    ('+queue = "long"\nqueue', "--ce"),
    ("x509userproxy = /tmp/x509up_u0\nqueue", "leave it out"),
    ("periodic_remove = true\nqueue", "decides what becomes of a job that fails"),
    ("on_exit_hold = true\nqueue", "decides what becomes of a job that fails"),
    ("max_retries = 3\nqueue", "decides what becomes of a job that fails"),
    ("transfer_output_remaps = \"a=b\"\nqueue", "keep their names"),
    ("request_gpus = 1\nqueue", "use a CE that has them"),
    ('+Owner = "root"\nqueue', "'+owner' is not passed on"),
    ('MY.Iwd = "/etc"\nqueue', "'+iwd' is not passed on"),
    ('+ActToken = "x"\nqueue', "'+acttoken' is not passed on"),
    ("+ProjectName = a.b\nqueue", 'a number, true, false or a "text"'),
    ('+ProjectName = "5"\nqueue', "write it without quotes"),
    ("request_memory = RequestCpus * 2\nqueue", "no expression"),
    ("request_memory = -1\nqueue", "no expression"),
    ("request_cpus = 0\nqueue", "from 1"),
    ("request_cpus = 2\n+xcount = 3\nqueue", "different things about request_cpus"),
    ("+MaxRuntime = 60\n+maxWallTime = 5\nqueue", "different wall times"),
    ("priority = -5\nqueue", "from 0 to 100"),
    ('arguments = "a\nqueue', "ends with one"),
    ('arguments = "a"b"\nqueue', "ends with one"),
    ("arguments = \"a 'b\"\nqueue", "a single quote has no second one"),
    ('arguments = a "b"\nqueue', "within double quotes"),
    ("arguments = a\x07\nqueue", "'\\x07' in it"),
    ("environment = A\nqueue", "is not a setting"),
    ("environment = 1A=x\nqueue", "is not a setting"),
    ("transfer_input_files = a/\nqueue", "is a directory"),
    ("transfer_input_files = ..\nqueue", "is a directory"),
    ("transfer_input_files = x/b, y/b\nqueue", "two input files would have the name 'b'"),
    ('transfer_input_files = "a"\nqueue', "without quotes"),
    ("transfer_output_files = ../a\nqueue", "leads out"),
    ("transfer_output_files = /etc/passwd\nqueue", "leads out"),
    ("transfer_output_files = https://h/a\nqueue", "not the name of a file"),
    ("output = a/x\nerror = b/x\nqueue", "both be 'x'"),
    ("output = a/\nqueue", "not the name of a file"),
    ("transfer_executable = maybe\nqueue", "must be true or false"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_cannot_be_is_refused_with_a_hint(text: str, message: str) -> None:
    said = refusal(f"executable = a\n{text}")
    assert message in said
    assert said.startswith("line ")


def test_a_job_needs_a_program() -> None:
    assert refusal("\nqueue").startswith("line 2, column 1: the job has no executable")


def test_the_error_shows_the_line_with_a_caret_under_the_place() -> None:
    assert refusal("executable = a\n  requst_cpus = 2\nqueue").splitlines() == [
        "line 2, column 3: there is no command 'requst_cpus', and no macro refers to it; did you mean 'request_cpus'?",
        "    requst_cpus = 2",
        "    ^",
    ]
    assert refusal("executable = a\nrequest_cpus = many\nqueue").startswith("line 2, column 16: request_cpus is 'many'")


def test_it_is_found_by_its_name_and_is_for_htcondor_only() -> None:
    assert plugin("act.description", "submit") is submit
    assert submit.flavour == "condor"

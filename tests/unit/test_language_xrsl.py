"""xRSL means what it means to ARC's clients; what the tower cannot do as asked is refused, with place and hint."""

from __future__ import annotations

from typing import Any

import pytest

from act.errors import BadJobSpec
from act.interfaces import plugin
from act.model import InputFile, JobSpec, OutputFile
from act_arc.language.xrsl import language as xrsl

NOTHING = JobSpec(name="true", executable="/bin/true", log_dir="")


def read(relations: str) -> JobSpec:
    """One job that runs /bin/true, with these relations."""
    [job] = xrsl(f"&(executable=/bin/true){relations}")
    return job


def refusal(text: str) -> str:
    with pytest.raises(BadJobSpec) as caught:
        xrsl(text)
    return str(caught.value)


def test_a_job_with_a_program_only_has_the_defaults() -> None:
    assert read("") == NOTHING


# What is written -> the fields of the job that it changes.
MEANINGS: list[tuple[str, dict[str, Any]]] = [
    ('(jobname="my job")', {"name": "my job"}),
    ("(jobname='')", {"name": ""}),
    ('(arguments="a b" c ^|d"e|)', {"arguments": ("a b", "c", 'd"e')}),
    ('(arguments=\'it\'\'s\' "say ""x""" ^|a||b|)', {"arguments": ("it's", 'say "x"', "a|b")}),
    ('(environment=("A" "1")("B" ""))(environment=(C "x y"))', {"environment": (("A", "1"), ("B", ""), ("C", "x y"))}),
    ("(count=4)", {"cores": 4, "single_node": False, "memory_mb_total": 4000}),
    ("(count=4)(countpernode=4)", {"cores": 4, "memory_mb_total": 4000}),
    (
        "(count=4)(countpernode=2)",
        {"cores": 4, "single_node": False, "memory_mb_total": 4000, "extra": {"countpernode": "2"}},
    ),
    ("(memory=500)(count=8)", {"cores": 8, "single_node": False, "memory_mb_total": 4000}),
    ("(memory>=500)", {"memory_mb_total": 500}),
    ("(disk=2048)", {"disk_mb": 2048}),
    ("(walltime=30)", {"walltime_s": 1800}),
    ('(walltime="2 hours 30 minutes")', {"walltime_s": 9000}),
    ('(wallTime="1 week, 1 day")', {"walltime_s": 691200}),
    ('(walltime="90 seconds")', {"walltime_s": 90}),
    ("(walltime=2h)", {"walltime_s": 7200}),
    ("(walltime=P1DT2H3M4S)", {"walltime_s": 93784}),
    ("(cputime=PT2H)(count=4)(countpernode=4)",
     {"cputime_s": 7200, "walltime_s": 1800, "cores": 4, "memory_mb_total": 4000}),
    ("(cputime=60)(walltime=90)", {"cputime_s": 3600, "walltime_s": 5400}),
    ("(priority=100)(rerun=2)", {"priority": 100, "reruns": 2}),
    ("(runtimeenvironment=ENV/PROXY)(runTimeEnvironment = APPS/X-1.0)",
     {"runtime_environments": ("ENV/PROXY", "APPS/X-1.0")}),
    ("(run_time_environment=ENV/PROXY)", {"runtime_environments": ("ENV/PROXY",)}),
    ("(stdout=out.txt)", {"stdout": "out.txt"}),
    ("(stdout=o)(stderr=e)", {"stdout": "o", "stderr": "e"}),
    ("(stdout=o)(stderr=o)", {"stdout": "o"}),
    ("(join=yes)(stdout=o)", {"stdout": "o"}),
    ("(join=no)", {"stderr": "stderr.txt"}),
    ("(join=no)(stderr=e)", {"stderr": "e"}),
    ("(gmlog=log/)", {"log_dir": "log"}),
    ("(stdin=data)", {"stdin": "data", "inputs": (InputFile("data", source="data"),)}),
    ('(stdin=data)(inputfiles=("data" "x"))', {"stdin": "data", "inputs": (InputFile("data", source="x"),)}),
    ('(inputfiles=("a" ""))', {"inputs": (InputFile("a", source="a"),)}),
    ('(inputfiles=(a "")(./b/c ~/x))', {"inputs": (InputFile("a", source="a"), InputFile("b/c", source="~/x"))}),
    ('(inputfiles=("a" "file:///tmp/a b"))', {"inputs": (InputFile("a", source="/tmp/a b"),)}),
    ('(inputfiles=("a" "../up"))', {"inputs": (InputFile("a", source="../up"),)}),
    ('(inputfiles=("a" "rucio://r/x" "cache=no" "threads=3"))',
     {"inputs": (InputFile("a", source="rucio://r/x", options=(("cache", "no"), ("threads", "3"))),)}),
    ('(inputfiles=("a" "https://h/x" "cache=no")("b" "https://h/y")("c" "d"))(cache=yes)(ftpthreads=2)',
     {"inputs": (InputFile("a", source="https://h/x", options=(("cache", "no"), ("threads", "2"))),
                 InputFile("b", source="https://h/y", options=(("cache", "yes"), ("threads", "2"))),
                 InputFile("c", source="d"))}),
    ('(executables=a)(inputfiles=("a" "https://h/x"))(cache=yes)',
     {"inputs": (InputFile("a", source="https://h/x", executable=True),)}),
    ('(outputfiles=("a" "")("d/" "")(b ""))',
     {"outputs": (OutputFile("a"), OutputFile("d/"), OutputFile("b")), "fetch": ("a", "d/", "b")}),
    ('(outputfiles=("/" ""))', {"outputs": (OutputFile("/"),), "fetch": ("/",)}),
    ('(outputfiles=("@list" "")("a" "gsiftp://h/a"))',
     {"outputs": (OutputFile("@list"), OutputFile("a", "gsiftp://h/a"))}),
    ('(outputfiles=("a" "gsiftp://h:2811/a" "threads=3" "overwrite=yes"))',
     {"outputs": (OutputFile("a", "gsiftp://h:2811;threads=3;overwrite=yes/a"),)}),
    ('(lifetime="1 day")', {"extra": {"lifetime": "86400"}}),
    ('(lifetime=60)', {"extra": {"lifetime": "3600"}}),
    ('(startTime="2026-12-24 18:00:00")', {"extra": {"starttime": "2026-12-24 18:00:00"}}),
    ('(notify="be me@example.org")', {"extra": {"notify": "be me@example.org"}}),
    ("(exclusiveexecution=TRUE)", {"extra": {"exclusiveexecution": "yes"}}),
    ("(nodeaccess=outbound)(architecture=x86_64)", {"extra": {"nodeaccess": "outbound", "architecture": "x86_64"}}),
    ("(opsys=AlmaLinux-9)", {"extra": {"opsys": "AlmaLinux-9"}}),
    ("(jobreport=https://sgas.example.org:8443)", {"extra": {"jobreport": "https://sgas.example.org:8443"}}),
    ('(acl="<gacl>\n  <entry/>\n</gacl>")', {"extra": {"acl": "<gacl> <entry/> </gacl>"}}),
    ('(rsl_substitution=("D" "x"))(arguments=$(D)/y $(D)"z" $(D) # w u$(D))', {"arguments": ("x/y", "xz", "xw", "ux")}),
    ('(rsl_substitution=(A a)(B b))(rsl_substitution=(C $(A)$(B)))(arguments=$(C))', {"arguments": ("ab",)}),
    ('(* a (comment) *)(arguments (* another *) = (*here*) a)(*\n*)', {"arguments": ("a",)}),
    ("(&(arguments=a)(&(disk=1)))", {"arguments": ("a",), "disk_mb": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("relations", "fields"), MEANINGS, ids=[text for text, _ in MEANINGS])
def test_attributes_mean_what_the_manual_says(relations: str, fields: dict[str, Any]) -> None:
    job = read(relations)
    told = {f: getattr(job, f) for f in JobSpec.__slots__ if getattr(job, f) != getattr(NOTHING, f)}
    assert told == fields
    assert xrsl(xrsl.write(job)) == [job]


def test_a_relative_program_is_an_input_of_the_author() -> None:
    [job] = xrsl("&(executable=./bin/run.sh)")
    assert (job.name, job.executable) == ("run.sh", "bin/run.sh")
    assert job.inputs == (InputFile("bin/run.sh", source="./bin/run.sh", executable=True),)


def test_a_program_among_the_inputs_is_not_added_again() -> None:
    [job] = xrsl('&(executable="run.sh")(inputfiles=("run.sh" "v2/run.sh"))')
    assert job.inputs == (InputFile("run.sh", source="v2/run.sh"),)


def test_one_text_may_describe_several_jobs() -> None:
    first, second = xrsl("+(&(executable=/bin/a)(rsl_substitution=(A 1)))\n (&(executable=/bin/b)(count=2))")
    assert (first.name, second.name, second.cores) == ("a", "b", 2)
    assert "$(A) is not defined" in refusal("+(&(executable=/bin/a)(rsl_substitution=(A 1)))(&(executable=$(A)))")


@pytest.mark.parametrize("text", ["(executable=/bin/true)", "executable=/bin/true", '&("executable"=/bin/true)'])
def test_one_attribute_needs_no_conjunction(text: str) -> None:
    assert xrsl(text) == [NOTHING]


def test_what_other_clients_send_again_is_understood() -> None:
    """Names in small letters, double quotes, or single ones around those, and no spaces at all."""
    [job] = xrsl(
        '&(executable="run.sh")(arguments="a" "b c" \'say "x"\')(inputfiles=("run.sh" "in1.txt")("in2.txt" "d/in2.txt")'
        '("rem" "https://x.y/z"))(outputfiles=("out.txt" "")("/" ""))(jobname="n")(walltime="60")'
    )
    assert job.arguments == ("a", "b c", 'say "x"')
    assert [(f.name, f.source) for f in job.inputs] == [
        ("run.sh", "in1.txt"), ("in2.txt", "d/in2.txt"), ("rem", "https://x.y/z"),
    ]  # fmt: skip
    assert (job.fetch, job.walltime_s) == (("out.txt", "/"), 3600)


REFUSED = [
    ("(exectuable=a)", "no attribute 'exectuable'; did you mean 'executable'"),
    ("(zzz=a)", "there is no attribute 'zzz'\n"),
    ("(cluster=ce.example.org)", "--ce"),
    ("(queue!=long)", "--ce"),
    ("(queue=long)", "--ce"),
    ("(middleware=nordugrid)", "--ce"),
    ("(dryrun=yes)", "no dry runs"),
    ("(action=request)", "leave it out"),
    ("(delegationid=x)", "between the tower and the CE"),
    ("(credentialserver=myproxy://h/x)", "renews your credential"),
    ('(benchmarks=("a" "1" "2"))', "walltime and cputime"),
    ("(gridtime=60)", "walltime and cputime"),
    ("(maxwalltime=60)", "use walltime"),
    ("(min_memory=60)", "use memory"),
    ("(walltime<60)", "can only have = or >="),
    ("(runtimeenvironment>=X-1)", "can only have ="),
    ("(arguments=a)(arguments=b)", "given twice"),
    ("(walltime=soon)", "write minutes"),
    ("(walltime=0)", "from 1 to"),
    ("(walltime=)", "takes one text"),
    ("(walltime=1 2)", "takes one text"),
    ("(walltime=(1))", "takes one text"),
    ("(memory=2GB)", "must be a whole number"),
    ("(memory=99999999999999999999)", "must be a whole number"),
    ("(count=0)", "from 1"),
    ("(priority=101)", "from 0 to 100"),
    ("(count=4)(countpernode=3)", "4 slots cannot be on nodes with 3 each"),
    ("(join=maybe)", "must be yes or no"),
    ("(join=yes)(stderr=e)", "contradict"),
    ("(nodeaccess=inbound outbound)", "takes one text"),
    ("(nodeaccess=up)", "inbound or outbound"),
    ("(exclusiveexecution=maybe)", "neither yes nor no"),
    ("(notify=be)", "be me@example.org"),
    ('(notify="xy a@b.c")', "be me@example.org"),
    ("(starttime=tomorrow)", "2026-12-24 18:00:00"),
    ('(acl="<a>")', "the acl is no XML"),
    ('(acl="<!DOCTYPE a [<!ENTITY b SYSTEM \'/etc/passwd\'>]><a>&b;</a>")', "document type"),
    ("(jobreport=here)", "must be a URL"),
    ("(opsys='a;b')", "not a name"),
    ("(executables=x)", "not an input file"),
    ("(inputfiles=a)", "takes (\"name\""),
    ("(inputfiles=(a))", "takes (\"name\""),
    ("(inputfiles=())", "takes (\"name\""),
    ("(inputfiles=(a b)(a c))", "two input files 'a'"),
    ("(inputfiles=(../a b))", "leads out"),
    ("(inputfiles=(/etc/a b))", "leads out"),
    ("(inputfiles=(a/../../b c))", "leads out"),
    ("(inputfiles=(d/ c))", "not the name of a file"),
    ('(inputfiles=("" c))', "not the name of a file"),
    ("(inputfiles=(a b 'cache=no'))", "only files that are fetched"),
    ("(inputfiles=(a https://h/b no))", "not an option of a URL"),
    ("(inputfiles=(a https://h/b 'location=gsiftp'))", "name one"),
    ('(inputfiles=(a "https://h/b c"))', "not a URL"),
    ("(inputfiles=(a file://other/b))", "not a file of yours"),
    (f"(inputfiles=({'n' * 401} b))", "401 characters"),
    ("(outputfiles=(a file:///tmp/a))", "leave it empty"),
    ("(outputfiles=(a here))", "leave it empty"),
    ("(outputfiles=(a '' 'threads=1'))", "cannot have a URL or options"),
    ("(outputfiles=(/ https://h/x))", "cannot have a URL or options"),
    ("(outputfiles=(a '')(a ''))", "two outputs 'a'"),
    ("(outputfiles=(../a ''))", "leads out"),
    ("(stdout=/etc/passwd)", "leads out"),
    ("(stdin=../x)", "leads out"),
    ("(environment=(1A x))", "not the name of an environment variable"),
    ("(environment=(A))", "NAME"),
    ("(environment=(A b c))", "NAME"),
    ("(arguments=(a))", "texts, not lists"),
    ('(arguments="a\nb")', "'\\n' in it"),
    ("(cache='a b')", "cache is 'a b'"),
    ("(ftpthreads=11)", "from 1 to 10"),
    ("(rsl_substitution=A)", "defines variables as"),
    ("(arguments=# a)", "one is missing"),
    ("(arguments=a # (b))", "joins texts"),
]  # fmt: skip


@pytest.mark.parametrize(("relations", "message"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_what_cannot_be_is_refused_with_a_hint(relations: str, message: str) -> None:
    said = refusal(f"&(executable=/bin/true){relations}")
    assert message in said
    assert said.startswith("line ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: the description ends too early"),
        ("&(executable=a", "line 1, column 15: the description ends too early: ')' expected"),
        ('&(executable="a)', "line 1, column 14: the quoted text has no end"),
        ("&(executable=a) (* b", "line 1, column 17: the comment has no end"),
        ("&(executable a)", "line 1, column 14: 'a' is not right here: '=' expected"),
        ("&(executable=a))", "line 1, column 16: ')' is not right here"),
        ("|(executable=a)(executable=b)", "alternatives ('|') are not supported"),
        ("&(executable=a)(+(&(arguments=b)))", "'+' is for whole jobs only"),
        ("&(arguments=a)", "line 1, column 3: the job has no executable"),
        ('&(executable="$HOME/a")', "the executable '$HOME/a' is empty, or has quotes, $"),
    ],
)
def test_errors_of_syntax_say_where_and_what(text: str, message: str) -> None:
    assert message in refusal(text)


def test_the_error_shows_the_line_with_a_caret_under_the_place() -> None:
    said = refusal('&(executable="run.sh")\n  (inputfiles=("a" "")\n    ("../b" "c"))\n')
    assert said.splitlines() == [
        "line 3, column 6: the input file '../b' leads out of the job's directory: write a path relative to it",
        '      ("../b" "c"))',
        "       ^",
    ]


def test_the_error_shows_a_part_of_long_lines() -> None:
    _, line, caret = refusal(
        "&(executable=/bin/true)(arguments=" + "x" * 500 + ")(oops=1)(disk=" + "1" * 500 + ")"
    ).splitlines()
    assert len(line) < 110
    assert line[len(caret) - 1 :].startswith("oops=1")


def test_it_is_found_by_its_name_and_is_for_arc_only() -> None:
    assert plugin("act.description", "xrsl") is xrsl
    assert xrsl.flavour == "arc"

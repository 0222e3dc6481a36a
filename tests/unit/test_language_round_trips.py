"""What is written in a language of job descriptions says the same job when it is read, for any job it can be about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.descriptions import fetched
from act.errors import BadJobSpec
from act.interfaces import Description
from act.model import InputFile, JobSpec, OutputFile
from act_arc.language.adl import language as adl
from act_arc.language.xrsl import language as xrsl
from act_condor.language.submit import language as submit

LANGUAGES = {"xrsl": xrsl, "adl": adl, "submit": submit}

# All that a request can carry: no control characters, and nothing that is no text in XML.
SIGNS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
TEXTS = st.text(SIGNS | st.sampled_from("\t \"'$()#^*%\\=<>&;,"), max_size=20)
PLAIN = st.text(st.sampled_from("abcXYZ019._+~-äß "), min_size=1, max_size=12).map(str.strip)
PARTS = PLAIN.filter(lambda part: part not in ("", ".", ".."))
SIGNED = st.text(SIGNS, min_size=1, max_size=12).filter(lambda part: part not in (".", "..") and "/" not in part)
NAMES = st.lists(SIGNED, min_size=1, max_size=3).map("/".join)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
URLS = st.from_regex(r"(https|gsiftp|rucio)://[a-z]{1,5}(:[0-9]{2,4})?/[A-Za-z0-9._/-]{1,10}", fullmatch=True)
OPTIONS = st.lists(
    st.tuples(st.sampled_from(["cache", "threads"]), st.sampled_from(["no", "3"])), max_size=2, unique=True
)
SECONDS = st.integers(1, 2**31 - 1)

EXTRAS = st.fixed_dictionaries({}, optional={
    "lifetime": SECONDS.map(str),
    "starttime": st.sampled_from(["20261224180000", "2026-12-24 18:00:00"]),
    "notify": st.sampled_from(["be a@b.c", "a@b.c d@e.f", "qf a@b.c d@e.f"]),
    "exclusiveexecution": st.sampled_from(["yes", "no"]),
    "nodeaccess": st.sampled_from(["inbound", "outbound"]),
    "architecture": st.just("x86_64"),
    "opsys": st.just("AlmaLinux-9.4"),
    "jobreport": URLS,
    "acl": st.just("<gacl><entry a='\"'>&lt;</entry></gacl>"),
})  # fmt: skip


@st.composite
def arc_jobs(draw: st.DrawFn) -> JobSpec:
    """Jobs that xRSL and ADL can both be about."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    inputs = [draw(arc_inputs(name)) for name in names]
    program = draw(st.sampled_from([n for n in names if not set(n) & set("\"'`$\\")] or ["/bin/true"])).strip()
    if program not in names:
        program = "/bin/true"
    cores = draw(st.integers(1, 64))
    outputs = draw(arc_outputs())
    stdout = draw(NAMES.map(str.strip).filter(clean))
    extra = draw(EXTRAS)
    if not draw(st.booleans()) and cores > 1 and cores % 2 == 0:
        extra["countpernode"] = str(cores // 2)
    return JobSpec(
        name=draw(TEXTS),
        executable=program,
        arguments=tuple(draw(st.lists(TEXTS, max_size=4))),
        environment=tuple(draw(st.lists(st.tuples(VARIABLES, TEXTS), max_size=3))),
        cores=cores,
        single_node=cores == 1 or ("countpernode" not in extra and draw(st.booleans())),
        memory_mb_total=cores * draw(st.integers(1, 10**6)),
        walltime_s=draw(SECONDS),
        cputime_s=draw(st.none() | SECONDS),
        disk_mb=draw(st.none() | st.integers(0, 10**6)),
        priority=draw(st.none() | st.integers(0, 100)),
        runtime_environments=tuple(draw(st.lists(st.sampled_from(["ENV/PROXY", "APPS/X-1.0", "A"]), max_size=3))),
        inputs=tuple(inputs),
        outputs=outputs,
        stdin=draw(st.sampled_from([None, *(n for n in names if n == n.strip())])),
        stdout=stdout,
        stderr=draw(st.none() | NAMES.map(str.strip).filter(clean).filter(lambda name: name != stdout)),
        log_dir=draw(st.just("") | PARTS),
        reruns=draw(st.integers(0, 5)),
        fetch=fetched(outputs),
        extra=extra,
    )


def clean(name: str) -> bool:
    """Whether a name is still one after spaces around it are gone."""
    return name not in ("", ".", "..") and not name.startswith("/") and not name.endswith(("/", "/.", "/.."))


@st.composite
def arc_inputs(draw: st.DrawFn, name: str) -> InputFile:
    source = draw(URLS | NAMES.filter(lambda path: "://" not in path and not path.lower().startswith("file:")))
    options = tuple(draw(OPTIONS)) if "://" in source else ()
    return InputFile(name, source=source, executable=draw(st.booleans()), options=options)


@st.composite
def arc_outputs(draw: st.DrawFn) -> tuple[OutputFile, ...]:
    plain = st.builds(OutputFile, NAMES.filter(lambda name: not name.startswith("@")), st.just("") | URLS)
    folders = st.builds(OutputFile, PARTS.map(lambda name: f"{name}/"))
    lists = st.builds(OutputFile, PARTS.map(lambda name: f"@{name}"))
    every = st.just(OutputFile("/"))
    return tuple(draw(st.lists(plain | folders | lists | every, max_size=4, unique=True)))


@st.composite
def condor_jobs(draw: st.DrawFn) -> JobSpec:
    """Jobs that submit descriptions can be about: an input has the last part of its source as its name."""
    sources = draw(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join) | URLS.filter(is_file), max_size=4))
    inputs = list({s.rpartition("/")[2]: InputFile(s.rpartition("/")[2], source=s) for s in sources}.values())
    program = "/opt/bin/program"
    if inputs and draw(st.booleans()):
        inputs[0] = InputFile(inputs[0].name, source=inputs[0].source, executable=True)
        program = inputs[0].name
    outputs = (OutputFile("/"),)
    if draw(st.booleans()):
        outputs = tuple(OutputFile(name) for name in draw(st.lists(PARTS | PARTS.map(lambda p: f"{p}/"), max_size=3)))
    stdout = draw(PARTS)
    return JobSpec(
        name=draw(PLAIN.filter(bool)),
        executable=program,
        arguments=tuple(draw(st.lists(TEXTS, max_size=4))),
        environment=tuple(draw(st.lists(st.tuples(VARIABLES, TEXTS), max_size=3))),
        cores=draw(st.integers(1, 64)),
        memory_mb_total=draw(st.integers(0, 10**6)),
        walltime_s=draw(SECONDS),
        disk_mb=draw(st.none() | st.integers(0, 10**6)),
        priority=draw(st.none() | st.integers(0, 100)),
        runtime_environments=tuple(draw(st.lists(st.sampled_from(["ENV/PROXY", "A"]), max_size=2))),
        inputs=tuple(inputs),
        outputs=outputs,
        stdin=draw(st.sampled_from([None, *(f.name for f in inputs if f.name != program)])),
        stdout=stdout,
        stderr=draw(st.none() | PARTS.filter(lambda name: name != stdout)),
        log_dir="",
        fetch=fetched(outputs),
        extra=draw(st.dictionaries(st.sampled_from(["ProjectName", "JobFlavour"]), TEXTS.filter(is_attribute))),
    )


def is_file(url: str) -> bool:
    return not url.endswith(("/", "/.", "/.."))


def is_attribute(text: str) -> bool:
    return "\\" not in text and text.strip("+-.0123456789") != ""


@given(arc_jobs())
@settings(max_examples=60, deadline=None)
def test_xrsl_says_the_job_that_was_written(job: JobSpec) -> None:
    assert xrsl(xrsl.write(job)) == [job]


@given(arc_jobs())
@settings(max_examples=60, deadline=None)
def test_adl_says_the_job_that_was_written(job: JobSpec) -> None:
    assert adl(adl.write(job)) == [job]


@given(condor_jobs())
@settings(max_examples=60, deadline=None)
def test_a_submit_description_says_the_job_that_was_written(job: JobSpec) -> None:
    assert submit(submit.write(job)) == [job]


ANY = st.text(max_size=8)
ANYTHING = st.builds(
    JobSpec,
    name=ANY,
    executable=ANY,
    arguments=st.lists(ANY, max_size=2).map(tuple),
    environment=st.lists(st.tuples(ANY, ANY), max_size=2).map(tuple),
    cores=st.integers(-1, 9),
    memory_mb_total=st.integers(),
    walltime_s=st.integers(),
    cputime_s=st.none() | st.integers(),
    inputs=st.lists(st.builds(InputFile, ANY, source=ANY, content=st.none() | ANY, stored=ANY), max_size=2).map(tuple),
    outputs=st.lists(st.builds(OutputFile, ANY, ANY), max_size=2).map(tuple),
    stdin=st.none() | ANY,
    stdout=ANY,
    fetch=st.lists(ANY, max_size=1).map(tuple),
    extra=st.dictionaries(
        ANY | st.sampled_from(["lifetime", "acl", "notify", "opsys", "ProjectName"]), ANY, max_size=2
    ),
)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@given(job=ANYTHING)
@settings(max_examples=50, deadline=None)
def test_what_a_language_cannot_say_is_refused(language: Description, job: JobSpec) -> None:
    try:
        text = language.write(job)
    except BadJobSpec:
        return
    assert language(text) == [job]


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_the_refusal_names_what_cannot_be_said(language: Description) -> None:
    fetch = ("/",) if language is submit else ()
    outputs = (OutputFile("/"),) if language is submit else ()
    job = JobSpec(name="a", executable="/bin/true", log_dir="", outputs=outputs, fetch=fetch)
    assert language(language.write(job)) == [job]
    odd = JobSpec(name="a", executable="/bin/true", log_dir="", outputs=outputs, fetch=("diagnose=errors",))
    with pytest.raises(BadJobSpec, match="cannot say fetch"):
        language.write(odd)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("text", ["a\nqueue\nbatch_name = a", 'a")(disk="1', "a</Name><Name>b", "a\n", "a\\", "$(b)"])
def test_a_text_cannot_become_a_part_of_the_language(language: Description, text: str) -> None:
    outputs = (OutputFile("/"),)
    job = JobSpec(name=text, executable="/bin/true", log_dir="", outputs=outputs, fetch=("/",))
    try:
        written = language.write(job)
    except BadJobSpec:
        return
    assert language(written) == [job]

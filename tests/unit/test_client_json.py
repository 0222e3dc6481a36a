"""The JSON form of job descriptions says what a JobSpec has, and says of mistakes where they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.client.jobjson import description
from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
counts = st.integers(1, 2**31 - 1)


@st.composite
def inputs(draw: st.DrawFn) -> InputFile:
    options = tuple(draw(st.dictionaries(words, words, max_size=2)).items())
    return InputFile(draw(words), draw(st.just("") | words), executable=draw(st.booleans()), options=options)


jobs = st.builds(
    JobSpec,
    name=words,
    executable=words,
    arguments=st.lists(st.just("") | words, max_size=3).map(tuple),
    environment=st.dictionaries(words, st.just("") | words, max_size=3).map(lambda d: tuple(d.items())),
    cores=counts,
    single_node=st.booleans(),
    memory_mb_total=counts,
    walltime_s=counts,
    cputime_s=st.none() | counts,
    disk_mb=st.none() | counts,
    priority=st.none() | st.integers(0, 100),
    runtime_environments=st.lists(words, max_size=2).map(tuple),
    inputs=st.lists(inputs(), max_size=3).map(tuple),
    outputs=st.lists(st.builds(OutputFile, words, st.just("") | words), max_size=3).map(tuple),
    stdin=st.none() | words,
    stdout=words,
    stderr=st.none() | words,
    reruns=st.integers(0, 100),
    fetch=st.lists(words, max_size=3).map(tuple),
)


@given(jobs)
def test_what_is_written_is_read_again(job: JobSpec) -> None:
    assert description(description.write(job)) == [job]


def test_a_job_needs_no_more_than_a_program() -> None:
    assert description('{"executable": "run.sh"}') == [JobSpec(name="run.sh", executable="run.sh")]


def test_an_array_is_several_jobs() -> None:
    assert [j.executable for j in description('[{"executable": "a"}, {"executable": "b"}]')] == ["a", "b"]


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "JSON"),
        ("{", "line 1 column 1"),
        ("[]", "no job"),
        ("3", "object"),
        ("{}", "executable: Field required"),
        ('{"executable": "x", "cores": "4"}', "cores"),
        ('{"executable": "x", "cores": 0}', "cores"),
        ('{"executable": "x", "cores": 1e300}', "cores"),
        ('{"executable": "x", "corez": 1}', "corez"),
        ('[{"executable": "x"}, {"executable": "y", "inputs": [{"name": 3}]}]', "1.inputs.0.name"),
        ('{"executable": "x", "arguments": ["a\\nb"]}', "arguments.0"),
        ('{"executable": "x\\u0000"}', "executable"),
        ('{"executable": "\\ud800"}', "JSON"),
        ("[" * 100_000, "JSON"),
        ("\ud800", "no text"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, says: str) -> None:
    with pytest.raises(BadJobSpec, match=says):
        description(text)


@pytest.mark.parametrize(
    "more", [{"stored": "inputs/0/1/x"}, {"content": "x"}, {"size": 3}], ids=lambda more: next(iter(more))
)
def test_files_of_the_tower_cannot_be_named(more: dict[str, Any]) -> None:
    text = json.dumps({"executable": "x", "inputs": [{"name": "f", **more}]})
    with pytest.raises(BadJobSpec, match=f"inputs.0.{next(iter(more))}"):
        description(text)


@pytest.mark.parametrize("job", [{"extra": {"queue": "q"}}, {"keep": True}, {"inputs": (InputFile("f", content="x"),)}])
def test_what_cannot_be_said_is_not_written(job: dict[str, Any]) -> None:
    with pytest.raises(BadJobSpec):
        description.write(JobSpec(name="j", executable="x", **job))

"""Whatever is in the texts of jobs, a real schedd has them as they are, and a real job gets them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from ce_sites import KINDS, Site
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from act.interfaces import ComputeElement
from act.model import InputFile, JobSpec
from act.states import Event
from act_condor import options
from act_condor.schedd import Schedd
from tests.condor import words

pytestmark = [pytest.mark.real, pytest.mark.group(name="pools")]

JOBS = 25  # of a bulk
RUNNING = 8
ATTRIBUTES = ("Arguments", "Environment", "TransferInput", "JobPrio", "RequestDisk", "xcount", "maxMemory", "Out",
              "Err")  # fmt: skip
SHOW = r"""for a; do printf '%s\0' "$a"; done; printf '%s\0' "$ACT_TEST_1" "$ACT_TEST_2" "$ACT_TEST_3"; cat input"""

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t"), max_size=20)
NASTY = st.lists(
    st.sampled_from(
        ["$", "(", ")", "$(ClusterId)", "$$(OpSys)", "$$([1 + 1])", "$ENV(HOME)", "$(DOLLAR)", "$INT(act_cores)", "'",
         "''", '"', '""', "\\", '\\"', " ", "\t", "\u00a0", "a", ",", ";", "#", "=", "@=", "%", "ü", "-", "queue",
         "undefined"]
    ),
    max_size=8,
).map("".join)  # fmt: skip
WORD = TEXT | NASTY
NAME = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+=@~%-]{0,20}", fullmatch=True).map(lambda name: f"f.{name}")


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    """Jobs of all kinds in what they have and in what they leave out."""
    values = draw(st.lists(WORD, max_size=3))
    return JobSpec(
        name=draw(WORD),
        executable="/bin/sh",
        arguments=tuple(draw(st.lists(WORD, max_size=5))),
        environment=tuple((f"ACT_TEST_{n}", value) for n, value in enumerate(values, 1)),
        cores=draw(st.integers(1, 64)),
        memory_mb_total=draw(st.integers(1, 10**6)),
        disk_mb=draw(st.none() | st.integers(1, 10**6)),
        priority=draw(st.none() | st.integers(0, 100)),
        stdout=draw(NAME.map(lambda name: f"{name}.out")),
        stderr=draw(st.none() | NAME.map(lambda name: f"{name}.err")),
        inputs=tuple(
            InputFile(n, content="") for n in draw(st.lists(NAME.map("in.{}".format), max_size=3, unique=True))
        ),
    )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A pool that jobs are submitted to."""
    with ExitStack() as stack:
        yield KINDS["condor-pool"].make(stack)


@pytest.fixture(scope="module")
def schedd(site: Site) -> Iterator[Schedd]:
    """The same, asked for more than the tower needs to know."""
    schedd = Schedd(site.address, options.read(site.address), site.user)
    yield schedd
    schedd.close()


def ads(schedd: Schedd, jobs: Sequence[str]) -> list[dict[str, Any]]:
    """What the schedd says of jobs, in their order; an attribute that is not there is None."""
    numbers = [job.partition("#")[0].split(".") for job in jobs]
    clusters = {int(cluster) for cluster, _ in numbers}
    found = schedd.query(
        " || ".join(f"ClusterId == {cluster}" for cluster in clusters), [*ATTRIBUTES, "ClusterId", "ProcId"]
    )
    by_number = {(ad["ClusterId"], ad["ProcId"]): ad for ad in found}
    return [by_number[int(cluster), int(process)] for cluster, process in numbers]


def as_wanted(ad: dict[str, Any], spec: JobSpec) -> None:
    assert words(ad["Arguments"]) == list(spec.arguments)
    assert words(ad["Environment"]) == [f"{name}={value}" for name, value in spec.environment]
    assert ad["TransferInput"] == ",".join(f.name for f in spec.inputs)
    assert ad["JobPrio"] == (spec.priority or 0)
    assert (ad["xcount"], ad["maxMemory"]) == (spec.cores, spec.memory_mb_total)
    assert ad["RequestDisk"] == ("DiskUsage" if spec.disk_mb is None else spec.disk_mb * 1024)
    assert (ad["Out"], ad["Err"]) == (spec.stdout, spec.stderr or "/dev/null")


def ended(ce: ComputeElement, jobs: Sequence[str]) -> None:
    ce.kill(jobs)
    ce.clean(jobs)


@settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)  # fmt: skip
@given(bulk=st.lists(specs(), min_size=JOBS, max_size=JOBS))
def test_a_schedd_has_every_text_as_it_is(
    site: Site, ce: ComputeElement, schedd: Schedd, delegation: str, bulk: list[JobSpec]
) -> None:
    jobs = site.create(ce, delegation, *bulk)
    try:
        for ad, spec in zip(ads(schedd, jobs), bulk, strict=True):
            as_wanted(ad, spec)
    finally:
        ended(ce, jobs)


@settings(
    max_examples=2, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)  # fmt: skip
@given(texts=st.lists(st.lists(WORD, min_size=6, max_size=6), min_size=RUNNING, max_size=RUNNING))
def test_a_job_gets_every_text_as_it_is(
    site: Site, ce: ComputeElement, delegation: str, texts: list[list[str]]
) -> None:
    bulk = [
        replace(
            JobSpec(name="quoting", executable="/bin/sh", memory_mb_total=50, walltime_s=600),
            arguments=("-c", SHOW, "sh", *text[:3]),
            environment=tuple((f"ACT_TEST_{n}", value) for n, value in enumerate(text[3:], 1)),
            inputs=(InputFile("input", content="".join(text)),),
        )
        for text in texts
    ]
    jobs = site.create(ce, delegation, *bulk)
    try:
        site.arm(ce, dict(zip(jobs, bulk, strict=True)))
        statuses = site.wait(ce, jobs)
        for job, text in zip(jobs, texts, strict=True):
            assert statuses[job].event == Event.FINISHED
            out = io.BytesIO()
            ce.fetch(job, "stdout.txt", out)
            assert out.getvalue().decode().split("\0") == [*text, "".join(text)]
    finally:
        ended(ce, jobs)

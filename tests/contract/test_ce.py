"""What every type of compute element promises the tower; see `act.interfaces.ComputeElement`."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ce_sites import Site, kinds

from act.errors import BadJobSpec, CERefused, CredentialError, JobGone, OutputMissing
from act.interfaces import ComputeElement
from act.model import CEStatus, Created, InputFile, JobSpec, OutputFile
from act.simulation import TestCA
from act.states import Event
from act.x509 import make_proxy

HOSTILE = (
    "plain", "two  words ", "", "it's", 'a"b', '""', "$HOME", "${HOME}", "$(id)", "`id`", "back\\slash", "\\n", "end\\",
    "tab\t.", "ünï ©", "&|<>*?[]~!;", "#(a=b)(*c*)", "%41", "-n", "--", "'\\''", "=", "+(&(x=y))",
)  # fmt: skip


def shell(script: str, *arguments: str, output: str = "out.txt", **more: object) -> JobSpec:
    """A job that runs a shell script and leaves one file."""
    return JobSpec(
        name="contract suite", executable="/bin/sh", arguments=("-c", script, "sh", *arguments), walltime_s=600,
        memory_mb_total=100, outputs=(OutputFile(output),), **more,  # type: ignore[arg-type]
    )  # fmt: skip


GREETING = InputFile("in.txt", content="hello\n")
GOOD = shell("cat in.txt in2.txt > out.txt", inputs=(GREETING, InputFile("in2.txt", content="world\n")))
BARE = shell("echo ran > out.txt")
BAD = shell("echo ran > out.txt; exit 3")
ARGUMENTS = shell("printf '%s\\n' \"$@\" > out.txt", *HOSTILE)
LONG = shell("sleep 300")


@dataclass
class Ran:
    """Jobs that ran through, next to one that was not armed."""

    good: str
    bare: str
    bad: str
    arguments: str
    inert: str
    statuses: dict[str, CEStatus]


@pytest.fixture(scope="module")
def ran(site: Site, ce: ComputeElement, delegation: str) -> Ran:
    ids = site.create(ce, delegation, GOOD, BARE, BAD, ARGUMENTS, BARE)
    site.arm(ce, dict(zip(ids, (GOOD, BARE, BAD, ARGUMENTS), strict=False)))
    site.arm(ce, {ids[0]: GOOD})
    return Ran(*ids, statuses=site.wait(ce, ids[:4]))


def fetched(ce: ComputeElement, job: str, name: str) -> str:
    out = io.BytesIO()
    assert ce.fetch(job, name, out) == len(out.getvalue())
    return out.getvalue().decode()


def test_a_job_is_listed_with_its_token_as_soon_as_it_is_made(site: Site, ce: ComputeElement, delegation: str) -> None:
    submissions = [site.submission(BARE) for _ in range(20)]
    answers = ce.create(submissions, delegation)
    ids = [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
    site.made += ids

    assert len(set(ids)) == 20
    for _ in range(10):
        assert set(ids) <= ce.list_ids()
    found = ce.inspect(ids)
    for job, submission in zip(ids, submissions, strict=True):
        status = found[job]
        assert isinstance(status, CEStatus)
        assert status.name.endswith(submission.token)
        assert status.event is Event.WAITING


def test_a_job_that_is_not_armed_never_runs(ran: Ran, ce: ComputeElement) -> None:
    status = ce.inspect([ran.inert])[ran.inert]
    assert isinstance(status, CEStatus)
    assert status.event in (Event.WAITING, Event.HELD)
    assert status.armed is not True
    with pytest.raises(OutputMissing):
        ce.fetch(ran.inert, "out.txt", io.BytesIO())


def test_an_armed_job_runs_and_its_output_can_be_fetched(ran: Ran, ce: ComputeElement) -> None:
    status = ran.statuses[ran.bare]
    assert (status.event, status.exit_code, status.armed) == (Event.FINISHED, 0, True)
    assert fetched(ce, ran.bare, "out.txt") == "ran\n"


def test_arming_twice_is_the_same_as_once(site: Site, ran: Ran, ce: ComputeElement) -> None:
    assert ran.statuses[ran.good].event is Event.FINISHED
    assert fetched(ce, ran.good, "out.txt") == "hello\nworld\n"
    site.arm(ce, {ran.good: GOOD})
    status = ce.status([ran.good])[ran.good]
    assert isinstance(status, CEStatus)
    assert status.event is Event.FINISHED


def test_a_job_that_exits_with_a_code_has_failed_with_it(ran: Ran, ce: ComputeElement) -> None:
    status = ran.statuses[ran.bad]
    assert (status.event, status.exit_code) == (Event.FAILED, 3)
    assert status.error
    assert fetched(ce, ran.bad, "out.txt") == "ran\n"


def test_arguments_reach_the_job_as_they_are(ran: Ran, ce: ComputeElement) -> None:
    assert fetched(ce, ran.arguments, "out.txt").split("\n") == [*HOSTILE, ""]


def test_the_streams_of_a_job_are_kept(site: Site, ran: Ran, ce: ComputeElement) -> None:
    assert fetched(ce, ran.bare, BARE.stdout) == ""


def test_a_file_that_is_not_there_is_missing(ran: Ran, ce: ComputeElement) -> None:
    for name in ("no-such-file", "no/such/file", "diagnose=no-such-file"):
        with pytest.raises(OutputMissing):
            ce.fetch(ran.bare, name, io.BytesIO())


def test_a_running_job_can_be_killed(site: Site, ce: ComputeElement, delegation: str) -> None:
    [job] = site.create(ce, delegation, LONG)
    site.arm(ce, {job: LONG})
    site.wait(ce, [job], [Event.RUNNING])
    assert ce.kill([job]) == {job: None}
    assert site.wait(ce, [job])[job].event is Event.KILLED


def test_a_job_that_was_never_armed_can_be_killed_and_does_not_run_then(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    [job] = site.create(ce, delegation, BARE)
    assert ce.kill([job]) == {job: None}
    assert site.wait(ce, [job])[job].event is Event.KILLED
    with pytest.raises(OutputMissing):
        ce.fetch(job, "out.txt", io.BytesIO())


def test_a_cleaned_job_vanishes(site: Site, ce: ComputeElement, delegation: str) -> None:
    [job] = site.create(ce, delegation, BARE)
    ce.kill([job])
    site.wait(ce, [job])
    end = time.monotonic() + site.within_s
    assert ce.clean([job]) == {job: None}
    while job in ce.list_ids():
        assert time.monotonic() < end
        time.sleep(0.2)
    assert isinstance(ce.status([job])[job], JobGone)
    assert isinstance(ce.clean([job])[job], JobGone)


def test_a_job_the_ce_does_not_know_is_an_answer_for_that_job(ran: Ran, ce: ComputeElement) -> None:
    for bulk in (ce.status, ce.inspect, ce.kill, ce.clean, ce.restart):
        answers = bulk(["no-such-job"])
        assert isinstance(answers["no-such-job"], JobGone), bulk
    mixed = ce.status(["no-such-job", ran.bare, "nor-this"])
    assert isinstance(mixed[ran.bare], CEStatus)
    assert isinstance(mixed["nor-this"], JobGone)
    with pytest.raises(JobGone):
        ce.fetch("no-such-job", "out.txt", io.BytesIO())
    assert isinstance(ce.arm({"no-such-job": BARE})["no-such-job"], JobGone)


def test_asking_for_no_job_is_no_error(ce: ComputeElement) -> None:
    assert ce.create([], "unused") == []
    for bulk in (ce.status, ce.inspect, ce.kill, ce.clean, ce.restart):
        assert bulk([]) == {}


@pytest.mark.parametrize("site", kinds(refuses_queues=True), indirect=True)
def test_a_job_with_a_wrong_queue_is_refused_alone(site: Site, ce: ComputeElement, delegation: str) -> None:
    jobs = [site.submission(BARE), site.submission(BARE, site.wrong_queue), site.submission(BARE)]
    answers = ce.create(jobs, delegation)
    site.made += [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
    assert [type(answer) for answer in answers] == [Created, CERefused, Created]


def test_a_job_that_cannot_be_described_is_refused_alone_and_not_sent(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    odd = shell("true", "\x00")
    answers = ce.create([site.submission(odd), site.submission(BARE), site.submission(odd)], delegation)
    site.made += [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
    assert [type(answer) for answer in answers] == [BadJobSpec, Created, BadJobSpec]
    with pytest.raises(BadJobSpec):
        site.factory.describe(site.submission(odd))


def test_restarting_a_job_that_did_not_fail_does_nothing(ran: Ran, ce: ComputeElement) -> None:
    assert ce.restart([ran.bare]) == {ran.bare: None}
    told = ce.inspect([ran.bare])[ran.bare]
    assert isinstance(told, CEStatus) and told.event == Event.FINISHED


def test_a_delegation_can_be_made_renewed_listed_and_removed(ce: ComputeElement) -> None:
    one = ce.delegate()
    assert one in ce.list_delegations()
    ce.renew(one)
    assert one in ce.list_delegations()
    ce.undelegate(one)
    assert one not in ce.list_delegations()
    ce.undelegate(one)


def test_a_delegation_the_ce_has_lost_cannot_be_renewed(ce: ComputeElement) -> None:
    with pytest.raises(JobGone):
        ce.renew("0123456789abcdef")
    assert "0123456789abcdef" not in ce.list_delegations()


def test_probe_says_whether_the_ce_knows_us(site: Site, ce: ComputeElement) -> None:
    ce.probe()
    with site.ce(site.stranger) as other, pytest.raises(CredentialError):
        other.probe()


def test_a_stranger_gets_a_credential_error_and_not_an_empty_list(site: Site) -> None:
    with site.ce(site.stranger) as other, pytest.raises(CredentialError):
        other.list_ids()


def test_a_proxy_that_is_none_is_a_credential_error(site: Site) -> None:
    for pem in (b"", b"no proxy", site.user.pem[:300]):
        with pytest.raises(CredentialError):
            site.factory(site.address, replace(site.user, token="", pem=pem), site.inputs)


def test_a_proxy_that_the_ce_does_not_trust_is_a_credential_error(site: Site, tmp_path: Path) -> None:
    certificate, key = (path.read_bytes() for path in TestCA(tmp_path).user("alice"))
    forged = replace(site.user, token="", pem=make_proxy(certificate, key, 3600))
    with site.ce(forged) as other, pytest.raises(CredentialError):
        other.probe()


def test_a_proxy_that_has_run_out_is_not_used(site: Site) -> None:
    with pytest.raises(CredentialError):
        site.factory(site.address, replace(site.user, token="", expires=time.time() - 1), site.inputs)

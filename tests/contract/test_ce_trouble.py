"""What every type of compute element promises when the CE, or the way to it, is in trouble."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ce_sites import Site, kinds
from relay import Relay

from act.errors import CEUnreachable, JobGone
from act.interfaces import ComputeElement
from act.model import CEStatus, JobSpec

https = pytest.mark.parametrize("site", kinds(https=True), indirect=True)
JOB = JobSpec(name="contract suite", executable="/bin/true", walltime_s=600, memory_mb_total=100)


def test_a_ce_that_is_down_certainly_got_nothing(site: Site) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with site.ce(**site.at(closed.getsockname()[1])) as down, pytest.raises(CEUnreachable) as caught:
            down.list_ids()
    assert caught.value.sent is False


def test_a_ce_whose_name_is_unknown_certainly_got_nothing(site: Site) -> None:
    with site.ce(**site.at(443, "no-such-host.invalid")) as down, pytest.raises(CEUnreachable) as caught:
        down.list_ids()
    assert caught.value.sent is False


@https
def test_a_ce_with_a_certificate_of_an_unknown_ca_is_not_spoken_to(site: Site, tmp_path: Path) -> None:
    with site.ce(ca_dir=tmp_path) as doubtful, pytest.raises(CEUnreachable, match="certificate") as caught:
        doubtful.list_ids()
    assert caught.value.sent is False


def relay_to(site: Site) -> Relay:
    parts = urlsplit(site.address.url)
    assert parts.hostname and parts.port
    return Relay(parts.hostname, parts.port)


@https
def test_a_silent_ce_is_given_up_when_the_time_for_one_wait_is_over(site: Site) -> None:
    with relay_to(site) as relay:
        relay.mode = "freeze"
        with site.ce(**site.at(relay.port), connect_s=0.5) as silent, pytest.raises(CEUnreachable) as caught:
            silent.list_ids()
        assert caught.value.sent is False


@https
def test_a_ce_that_falls_silent_may_have_done_what_it_was_asked(site: Site) -> None:
    with relay_to(site) as relay, site.ce(**site.at(relay.port), read_s=0.5) as silent:
        silent.probe()
        relay.mode = "freeze"
        with pytest.raises(CEUnreachable) as caught:
            silent.kill(["no-such-job"])
    assert caught.value.sent is True


@https
def test_a_ce_that_answers_a_byte_now_and_then_is_given_up_when_the_whole_time_is_over(site: Site) -> None:
    with relay_to(site) as relay, site.ce(**site.at(relay.port), total_s=1.0) as slow:
        slow.probe()
        relay.mode = "drip"
        with pytest.raises(CEUnreachable):
            slow.inspect(["no-such-job"] * 5)


@https
def test_a_connection_that_ended_while_idle_is_not_noticed(site: Site) -> None:
    with relay_to(site) as relay, site.ce(**site.at(relay.port)) as ce:
        ce.probe()
        relay.cut()
        assert isinstance(ce.status(["no-such-job"])["no-such-job"], JobGone)
        relay.cut()
        ce.probe()


@https
def test_a_creation_whose_answer_is_lost_is_in_doubt_and_was_done_once(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    submission = site.submission(JOB)
    with relay_to(site) as relay, site.ce(**site.at(relay.port)) as lossy:
        lossy.probe()
        before = ce.list_ids()
        relay.mode = "swallow"
        with pytest.raises(CEUnreachable) as caught:
            lossy.create([submission], delegation)
    assert caught.value.sent is True

    end = time.monotonic() + site.within_s
    while not (new := sorted(ce.list_ids() - before)):
        assert time.monotonic() < end
        time.sleep(0.2)
    names = [status.name for status in ce.inspect(new).values() if isinstance(status, CEStatus)]
    site.made += [job for job, name in zip(new, names, strict=True) if name.endswith(submission.token)]
    assert len([name for name in names if name.endswith(submission.token)]) == 1

"""The simulated ARC CE keeps the promises that A-REX 7.0 and 6.17 were seen to keep."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from arc_sim_kit import INERT, Client, Make, job

from act.simulation import TestCA
from act.x509 import sign_request
from act_arc.simulator import SimJob
from act_arc.simulator.rsl import RslError, describe


def test_a_job_whose_input_never_comes_does_not_run_and_fails_by_itself(make: Make) -> None:
    sim, alice = make(upload_timeout_s=0.2)
    inert = alice.create(job("inert", INERT))
    assert alice.status(inert) == "PREPARING"
    alice.wait(inert, "FAILED")
    assert alice.info(inert)["Error"] == "User file: /x - Timeout waiting"
    assert "arcrest:PREPARING" in alice.info(inert)["RestartState"]
    assert sim.state()["executions"] == {"inert": 0}


def test_an_upload_of_the_announced_size_arms_the_job(make: Make) -> None:
    sim, alice = make()
    armed = alice.create(job("armed", '(inputfiles=("x" "5"))'))
    assert alice.put(armed, "x", b"123").status == 200
    assert alice.status(armed) == "PREPARING"
    alice.put(armed, "x", b"12345")
    assert alice.status(armed) == "FINISHED"
    alice.put(armed, "x", b"12345")
    assert sim.state()["executions"] == {"armed": 1}


def test_one_bad_description_in_a_bulk_makes_nothing(make: Make) -> None:
    sim, alice = make()
    answer = alice.new(f"+({job('good')})(&(executable=)")
    assert (answer.status, answer.body) == (500, b"")
    assert sim.state()["jobs"] == {}


def test_a_single_bad_description_is_refused_in_its_own_entry(make: Make) -> None:
    _, alice = make()
    answer = alice.new("&(executable=")
    assert answer.status == 201
    assert answer.json["job"][0]["status-code"] == "500"


def test_a_wrong_queue_is_an_error_of_that_job_only(make: Make) -> None:
    _, alice = make()
    answers = alice.new(f"+({job('a', '(queue=nosuch)')})({job('b', '(queue=long)')})").json["job"]
    assert answers[0] == {"status-code": "500", "reason": "Requested queue nosuch is not allowed for this user"}
    assert answers[1]["status-code"] == "201"


@pytest.mark.parametrize(("version", "queue", "delegation"), [("1.1", "long", "d2"), ("1.0", "default", "d1")])
def test_rest_1_0_reads_only_the_description(make: Make, version: str, queue: str, delegation: str) -> None:
    sim, alice = make(version)
    made = alice.create(job(more='(delegationid="d1")'), queue="long", delegation_id="d2")
    assert sim.state()["jobs"][made] | {"queue": queue, "delegation": delegation} == sim.state()["jobs"][made]


def test_version_6_writes_single_elements_bare_and_no_elements_as_nothing(make: Make) -> None:
    _, alice = make("1.0")
    assert alice.call("GET", "/jobs").body == b""
    made = alice.create(job())
    assert alice.call("GET", "/jobs").json == {"job": {"id": made}}
    assert alice.call("GET", "/arex/rest").json == {"version": "1.0"}


def test_version_7_writes_lists(make: Make) -> None:
    _, alice = make()
    assert alice.call("GET", "/jobs").json == {"job": []}
    made = alice.create(job())
    assert alice.call("GET", "/jobs").json == {"job": [{"id": made}]}
    assert alice.call("GET", "/arex/rest").json == {"version": ["1.0", "1.1"]}


def test_jobs_of_others_are_invisible(make: Make, ca: TestCA, proxies: dict[str, Path]) -> None:
    sim, alice = make()
    hers = alice.create(job())
    bob = Client(sim, ca, proxies["bob"], "1.1")
    assert bob.call("GET", "/jobs").json == {"job": []}
    assert [a["status-code"] for a in bob.manage("kill", hers)] == ["404"]
    assert bob.get(hers, "out.txt").status == 404
    bob.connection.close()


@pytest.mark.parametrize(("version", "status"), [("1.1", 500), ("1.0", 403)])
def test_strangers_get_an_empty_error(make: Make, version: str, status: int) -> None:
    _, bob = make(version, "bob", allowed_identities={"/O=act/CN=alice"})
    answer = bob.call("GET", "/jobs")
    assert (answer.status, answer.body) == (status, b"")
    assert answer.reason == "User can't be assigned configuration"
    assert bob.call("GET", "/info").status == (200 if version == "1.1" else 403)


def test_a_full_ce_refuses_the_whole_request(make: Make) -> None:
    sim, alice = make(max_total=1)
    alice.create(job(more=INERT))
    answer = alice.new(job())
    assert (answer.status, answer.reason, answer.body) == (500, "No more jobs allowed", b"")
    assert len(sim.state()["jobs"]) == 1


def test_kill_ends_a_waiting_job_and_leaves_a_finished_one(make: Make) -> None:
    _, alice = make()
    waiting, finished = alice.create(job(more=INERT)), alice.create(job())
    assert {a["reason"] for a in alice.manage("kill", waiting, finished)} == {"Queued for killing"}
    assert (alice.status(waiting), alice.status(finished)) == ("KILLED", "FINISHED")
    listed = alice.call("GET", "/jobs", state="FAILED").json["job"]
    assert listed == [{"id": waiting, "state": "FAILED"}]


def test_cleaned_jobs_are_gone_and_running_ones_are_cleaned_when_they_end(make: Make) -> None:
    sim, alice = make()
    waiting, finished = alice.create(job(more=INERT)), alice.create(job())
    assert [a["status-code"] for a in alice.manage("clean", waiting, finished)] == ["202", "202"]
    assert [a["status-code"] for a in alice.manage("status", waiting, finished)] == ["200", "404"]
    alice.put(waiting, "x")
    assert alice.call("GET", "/jobs").json == {"job": []}
    assert sim.state()["executions"] == {"job": 2}


def test_restart_repeats_staging_as_often_as_allowed(make: Make) -> None:
    _, alice = make()
    failing = alice.create(job("r", "(rerun=1)", "--sim-stagein-fails=2"))
    assert alice.status(failing) == "FAILED"
    assert alice.manage("restart", failing)[0]["status-code"] == "202"
    assert alice.manage("restart", failing)[0] == {
        "status-code": "505", "reason": "No more restarts allowed", "id": failing
    }  # fmt: skip
    fine = alice.create(job())
    assert alice.manage("restart", fine)[0]["reason"] == "Job has not failed"


def test_a_failed_execution_is_never_run_again_by_restart(make: Make) -> None:
    sim, alice = make()
    failing = alice.create(job("once", "(rerun=2)", "--sim-exit=3"))
    assert alice.info(failing)["ExitCode"] == "3"
    alice.manage("restart", failing)
    assert alice.info(failing)["Error"] == "LRMS error: (-1) Job died unexpectedly"
    assert sim.state()["executions"] == {"once": 1}


def test_info_lags_behind(make: Make) -> None:
    _, alice = make(info_lag_s=60)
    made = alice.create(job("token"))
    assert alice.status(made) == "ACCEPTED"
    assert alice.info(made)["Name"] == "token"
    assert alice.call("GET", f"/jobs/{made}/diagnose/status").body == b"FINISHED"
    assert b"jobname=token\n" in alice.call("GET", f"/jobs/{made}/diagnose/local").body


def test_long_id_lists_are_cut_without_a_word(make: Make) -> None:
    _, alice = make()
    ids = [f"{n:09d}" for n in range(70000)]
    assert len(alice.manage("status", *ids)) == 49931


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_delegations_live_until_their_jobs_are_cleaned(make: Make, version: str) -> None:
    sim, alice = make(version)
    delegation = alice.delegate()
    made = alice.create(job(more=f'(delegationid="{delegation}")'))
    assert alice.manage("delegations", made)[0]["delegation_id"] == delegation
    assert alice.call("POST", f"/delegations/{delegation}", action="delete").status == 500
    renewal = alice.call("POST", f"/delegations/{delegation}", action="renew")
    assert alice.proxy
    chain = sign_request(renewal.body, alice.proxy.read_bytes(), 3600)
    assert alice.call("PUT", f"/delegations/{delegation}", chain).status == 200
    assert alice.call("POST", f"/delegations/{delegation}", action="get").body == chain
    assert sim.state()["delegations"] == [{"id": delegation, "owner": "/O=act/CN=alice", "signed": 2}]
    alice.manage("clean", made)
    assert alice.call("POST", f"/delegations/{delegation}", action="delete").status == 202
    assert alice.call("POST", f"/delegations/{delegation}", action="delete").status == 404


def test_a_chain_for_another_key_is_refused(make: Make) -> None:
    _, alice = make()
    first, other = alice.delegate(), alice.call("POST", "/delegations", action="new")
    assert alice.proxy
    chain = sign_request(other.body, alice.proxy.read_bytes(), 3600)
    assert alice.call("PUT", f"/delegations/{first}", chain).reason == "Failed accepting delegation"


def test_the_session_directory_has_no_way_out(make: Make) -> None:
    _, alice = make()
    made = alice.create(job())
    assert alice.get(made, "../../x").reason == "Wrong path"
    assert alice.put(made, "../../x").reason == "Wrong path"


def test_executions_are_counted_by_panda_id_over_all_ids(make: Make) -> None:
    sim, alice = make()
    for name in ("first", "second"):
        made = alice.create(job(name, '(inputfiles=("pandaJobData.out" ""))'))
        alice.put(made, "pandaJobData.out", b"jobName=x&PandaID=4711&attemptNr=1")
    assert sim.state()["executions_by_panda_id"] == {"4711": 2}


def test_lost_jobs_and_empty_lists_can_be_ordered(make: Make) -> None:
    _, alice = make()
    first, second = alice.create(job()), alice.create(job())
    alice.call("POST", "/_sim/lose", json.dumps({"id": first}).encode())
    alice.call("POST", "/_sim/empty_list", b"{}")
    assert alice.call("GET", "/jobs").json == {"job": []}
    assert alice.call("GET", "/jobs").json == {"job": [{"id": second}]}


def test_a_fault_after_the_act_leaves_the_job_made(make: Make) -> None:
    sim, alice = make()
    sim.faults.add({"method": "POST", "path": "action=new", "action": "error-after", "times": 1})
    assert alice.new(job("there")).status == 500
    assert sim.state()["executions"] == {"there": 1}


def test_thousands_of_pretended_jobs_need_no_threads(make: Make) -> None:
    sim, alice = make(run_s=600.0)
    alice.new("+" + "".join(f"({job(f'n{n}')})" for n in range(1000)))
    assert len(alice.call("GET", "/jobs", state="RUNNING").json["job"]) == 1000
    assert threading.active_count() < 10
    assert len(sim.state()["jobs"]) == 1000


def test_a_hook_plays_the_pilot(make: Make) -> None:
    seen: list[tuple[str, str]] = []
    ended = threading.Event()

    def start(ran: SimJob) -> None:
        ran.exit_code = 7
        seen.append(("start", (ran.session / "x").read_text()))

    def end(ran: SimJob) -> None:
        seen.append(("end", ran.id))
        ended.set()

    _, alice = make(run_s=0.2, on_start=start, on_end=end)
    made = alice.create(job(more=INERT))
    alice.put(made, "x", b"payload")
    alice.wait(made, "FAILED")
    assert ended.wait(5)
    assert seen == [("start", "payload"), ("end", made)]
    assert alice.info(made)["ExitCode"] == "7"


def test_a_pretended_job_leaves_its_outputs(make: Make) -> None:
    _, alice = make()
    made = alice.create(job())
    assert alice.get(made, "").json == {"file": ["out.txt"], "dir": []}
    assert alice.get(made, "out.txt").body.startswith(b"pretended output")
    assert alice.get(made, "other").status == 404


def test_it_runs_alone_until_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "act_arc.simulator", "--dir", str(tmp_path), "--run", "pretend"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert process.stdout
    told = json.loads(process.stdout.readline())
    assert told["url"] == f"https://localhost:{told['port']}/arex"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


def test_bare_numbers_are_seconds_and_units_are_understood() -> None:
    assert describe("&(executable=a)(walltime=90)").walltime_s == 90
    assert describe('&(executable=a)(walltime="2 hours")').walltime_s == 7200
    assert describe('&(executable=a)(walltime="1 hour 30 minutes")').walltime_s == 5400


def test_quotes_and_comments_are_read_as_rsl() -> None:
    asked = describe('& (* a comment *) (executable = "/bin/a")\n(arguments="say ""hi""" \'it\'\'s\' plain)')
    assert asked.arguments == ('say "hi"', "it's", "plain")
    with pytest.raises(RslError, match="Junk at end of RSL"):
        describe("&(executable=a) &(executable=b)")

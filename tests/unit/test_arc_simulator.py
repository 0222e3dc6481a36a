"""The simulated ARC CE keeps the promises that A-REX 7.0 and 6.17 were seen to keep."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import pytest

from act.simulation import TestCA
from act.x509 import make_proxy, sign_request
from act_arc.simulator import ArcSimulator, SimJob
from act_arc.simulator.rsl import RslError, describe


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Raw calls with one proxy; nothing of the product's own client."""

    def __init__(self, sim: ArcSimulator, ca: TestCA, proxy: Path | None, version: str) -> None:
        self.base = f"/arex/rest/{version}"
        context = ssl.create_default_context(capath=str(ca.ca_dir))
        if proxy:
            context.load_cert_chain(proxy)
        self.proxy = proxy
        self.connection = http.client.HTTPSConnection("localhost", sim.port, context=context, timeout=10)

    def call(self, method: str, path: str, body: bytes | None = None, **query: str) -> Answer:
        target = path if path.startswith("/_sim/") or path == "/arex/rest" else self.base + path
        target = quote(target) + (f"?{urlencode(query)}" if query else "")
        self.connection.request(method, target, body, {"Accept": "application/json"})
        got = self.connection.getresponse()
        return Answer(got.status, got.reason, {k.lower(): v for k, v in got.getheaders()}, got.read())

    def new(self, text: str, **query: str) -> Answer:
        return self.call("POST", "/jobs", text.encode(), action="new", **query)

    def create(self, text: str, **query: str) -> str:
        answer = self.new(text, **query).json["job"]
        return str((answer[0] if isinstance(answer, list) else answer)["id"])

    def manage(self, action: str, *ids: str) -> list[dict[str, Any]]:
        body = json.dumps({"job": [{"id": i} for i in ids]}).encode()
        answer = self.call("POST", "/jobs", body, action=action).json["job"]
        return answer if isinstance(answer, list) else [answer]

    def info(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.manage("info", job_id)[0]["info_document"]["ComputingActivity"]
        return found

    def status(self, job_id: str) -> str:
        return str(self.manage("status", job_id)[0]["state"])

    def wait(self, job_id: str, *states: str) -> str:
        for _ in range(1000):
            if (state := self.status(job_id)) in states:
                return state
            time.sleep(0.01)
        raise AssertionError(f"job is {state}, not one of {states}")

    def put(self, job_id: str, name: str, body: bytes = b"x") -> Answer:
        return self.call("PUT", f"/jobs/{job_id}/session/{name}", body)

    def get(self, job_id: str, name: str) -> Answer:
        return self.call("GET", f"/jobs/{job_id}/session/{name}")

    def delegate(self) -> str:
        assert self.proxy
        answer = self.call("POST", "/delegations", action="new")
        delegation = answer.headers["location"].split("/")[-1]
        chain = sign_request(answer.body, self.proxy.read_bytes(), 3600)
        assert self.call("PUT", f"/delegations/{delegation}", chain).status == 200
        return delegation


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def proxies(ca: TestCA) -> dict[str, Path]:
    found = {}
    for name in ("alice", "bob"):
        cert, key = ca.user(name)
        found[name] = ca.directory / f"{name}-proxy.pem"
        found[name].write_bytes(make_proxy(cert.read_bytes(), key.read_bytes(), 3600))
    return found


Make = Callable[..., tuple[ArcSimulator, Client]]


@pytest.fixture
def make(ca: TestCA, proxies: dict[str, Path], tmp_path: Path) -> Iterator[Make]:
    """A factory of (simulator, alice's client); simulators pretend unless told otherwise."""
    sims: list[ArcSimulator] = []
    clients: list[Client] = []

    def factory(
        version: Literal["1.0", "1.1"] = "1.1", user: str | None = "alice", **options: Any
    ) -> tuple[ArcSimulator, Client]:
        options = {"run": "pretend", "run_s": 0.0, **options}
        sims.append(ArcSimulator(tmp_path / str(len(sims)), ca, rest_version=version, **options).start())
        clients.append(Client(sims[-1], ca, proxies[user] if user else None, version))
        return sims[-1], clients[-1]

    yield factory
    for client in clients:
        client.connection.close()
    for sim in sims:
        sim.close()


def job(name: str = "job", more: str = "", script: str = "true") -> str:
    return (
        f'&(executable="/bin/sh")(arguments="-c" "{script}")(jobname="{name}")(stdout="out.txt")(join="yes")'
        f'(outputfiles=("out.txt" "")){more}'
    )


INERT = '(inputfiles=("x" ""))'


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


def test_a_job_really_runs_with_its_files_and_its_credential(make: Make, tmp_path: Path) -> None:
    _, alice = make(run="really")
    source = tmp_path / "source"
    source.write_text("fetched")
    inputs = f'(inputfiles=("in" "file://{source}")("x" ""))(environment=("WHO" "me"))(outputfiles=("d/" ""))'
    script = "echo $WHO $(cat in x); head -1 $X509_USER_PROXY; mkdir d; echo kept >d/f; echo dropped >g"
    made = alice.create(job("real", inputs, script), delegation_id=alice.delegate())
    alice.put(made, "x", b"uploaded")
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert alice.get(made, "out.txt").body == b"me fetcheduploaded\n-----BEGIN CERTIFICATE-----\n"
    assert alice.get(made, "").json == {"file": ["out.txt"], "dir": ["d"]}
    assert alice.info(made)["ExitCode"] == "0"


def test_arguments_pass_through_a_shell_in_double_quotes(make: Make) -> None:
    _, alice = make(run="really")
    words = '"a""b" "c\\d" "it\'s" "$WHO" "`echo me`" ""'
    more = '(environment=("WHO" "you"))(stdout=out.txt)(outputfiles=("out.txt" ""))'
    made = alice.create(f'&(executable=/usr/bin/printf)(arguments="<%s>" {words}){more}')
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert alice.get(made, "out.txt").body == b"<a\"b><c\\d><it's><you><me><>"


def test_a_job_without_its_program_dies(make: Make) -> None:
    _, alice = make(run="really")
    made = alice.create("&(executable=nosuch)")
    alice.wait(made, "FAILED")
    assert alice.info(made)["Error"] == "LRMS error: (-1) Job died unexpectedly"


def test_a_really_failing_job_tells_its_exit_code(make: Make) -> None:
    _, alice = make(run="really")
    made = alice.create(job(script="exit 3"))
    alice.wait(made, "FAILED")
    assert alice.info(made)["ExitCode"] == "3"
    assert alice.info(made)["Error"] == "LRMS error: (3) Job finished with wrong exit code - 3 != 0"


def test_a_missing_source_fails_the_staging(make: Make) -> None:
    sim, alice = make(run="really")
    made = alice.create(job("r", '(inputfiles=("in" "file:///nonexistent/file"))'))
    alice.wait(made, "FAILED")
    assert alice.info(made)["Error"].startswith("Failed in data staging")
    assert sim.state()["executions"] == {"r": 0}


@pytest.mark.parametrize("end", ["kill", "walltime", "close"])
def test_no_process_of_a_job_survives_it(make: Make, tmp_path: Path, end: str) -> None:
    sim, alice = make(run="really")
    started = tmp_path / "pids"
    more = '(walltime="0.3 seconds")' if end == "walltime" else ""
    more += '(environment=("D" "$"))'
    script = "sleep 100 & echo ${D}${D} ${D}! >" + f"{started}; sleep 100"
    made = alice.create(job(more=more, script=script))
    while not started.exists() or not started.read_text().endswith("\n"):
        time.sleep(0.01)
    pids = started.read_text().split()
    if end == "kill":
        alice.manage("kill", made)
        assert alice.wait(made, "KILLED", "FAILED") == "KILLED"
    elif end == "walltime":
        assert alice.wait(made, "FAILED") == "FAILED"
    else:
        sim.close()
    for pid in pids:
        while _alive(pid):
            time.sleep(0.01)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_runs_alone_until_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "act_arc.simulator", "--dir", str(tmp_path), "--run", "pretend"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
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

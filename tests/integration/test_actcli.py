"""actcli with the real web server, the real daemons and a CE that runs jobs: what a scientist does in a day."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jwt
import pytest

from act import keys
from act.simulation import TestCA
from tests.integration.actcli_town import Town

SCRIPT = "#!/bin/sh\necho hello $1 $ACT_ARRAY_INDEX\ncat in.txt\necho oops >&2\nmkdir res; echo result > res/out.txt\n"
JOB = '&(executable="run.sh")(jobname="{name}")(inputfiles=("in.txt" "{file}"))(outputfiles=("res/" ""))(stdout="out")'
ENDED = ("done", "donefailed")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[Town]:
    """A town in which alice has handed over her proxy and written a script."""
    town = Town(tmp_path_factory.mktemp("town"), sqlite_template, ca)
    town.actcli("proxy")
    town.write("run.sh", SCRIPT).chmod(0o755)
    town.write("in.txt", "some input\n")
    yield town
    town.close()


def sub(town: Town, *arguments: str) -> list[int]:
    """Submit; the ids."""
    return [int(i) for i in town.actcli("sub", "-q", *arguments).output.split()]


def run(town: Town, *arguments: str) -> list[int]:
    return [int(i) for i in town.actcli("run", "-q", *arguments).output.split()]


def test_from_a_file_to_results_here(town: Town) -> None:
    town.write("a/in.txt", "from the directory of the description\n")
    town.write("a/job.xrsl", JOB.format(name="first", file=""))
    (town.home / "a" / "run.sh").write_text(SCRIPT)
    told = town.actcli("sub", "a/job.xrsl", "--ce", "sim").output
    (job,) = town.ids("--name", "first")
    assert told == f"job {job}: first\n"
    town.until(*ENDED, jobs=[job])
    assert town.actcli("cat", str(job)).output == "hello\nfrom the directory of the description\noops\n"
    assert town.actcli("get", str(job), "-d", "results").output == f"job {job}: results/{job} (2 files, 56 B)\n"
    assert (town.home / "results" / str(job) / "res" / "out.txt").read_text() == "result\n"
    assert town.actcli("stat", str(job), expect=5).output == "actcli: no job of yours is like that\n"


def test_an_array_of_a_command(town: Town) -> None:
    jobs = run(town, "--array", "7-9", "--name", "scan", "--input", "in.txt", "--env", "A=b", "--", "./run.sh", "n{}")
    assert len(jobs) == 3
    town.until(*ENDED, jobs=jobs)
    assert [town.actcli("cat", str(i)).output for i in jobs] == [f"hello n{n} {n}\nsome input\n" for n in (7, 8, 9)]
    assert town.actcli("cat", "-e", str(jobs[0])).output == "oops\n"
    town.actcli("get", "--name", "scan-", "--use-jobname")
    assert sorted(p.name for p in (town.home / "scan-8").iterdir()) == ["stderr.txt", "stdout.txt"]


def test_one_file_may_have_several_jobs_and_the_standard_input_too(town: Town) -> None:
    text = "+" + "".join(f"({JOB.format(name=f'multi{n}', file='in.txt')})" for n in range(3))
    town.write("many.xrsl", text)
    jobs = sub(town, "many.xrsl")
    assert [row["name"] for row in rows(town, "--name", "multi")] == ["multi0", "multi1", "multi2"]
    told = town.actcli("sub", "-", "--lang", "xrsl", stdin=JOB.format(name="piped", file="in.txt"))
    assert told.output.endswith(": piped\n")
    town.actcli("kill", "--name", "piped")
    assert town.actcli("kill", *map(str, jobs)).output.startswith("3 jobs being killed (")


def rows(town: Town, *chosen: str) -> list[dict[str, str]]:
    """What ``stat --format csv`` tells."""
    return list(csv.DictReader(io.StringIO(town.actcli("stat", *chosen, "--format", "csv").output)))


def test_nothing_is_sent_if_a_file_is_missing_or_wrong(town: Town) -> None:
    before = town.ids()
    town.write("bad.xrsl", JOB.format(name="bad", file="nowhere.txt"))
    town.write("worse.xrsl", '&(executable="x"')
    town.write("good.xrsl", JOB.format(name="good", file="in.txt"))
    told = town.actcli("sub", "good.xrsl", "bad.xrsl", "worse.xrsl", expect=1).output
    assert "nothing is submitted" in told
    assert "bad.xrsl: the input file" in told
    assert "nowhere.txt is not there" in told
    assert "worse.xrsl: line 1" in told
    assert town.ids() == before


def test_a_refused_job_is_told_and_the_others_go(town: Town) -> None:
    town.write("ok.xrsl", JOB.format(name="ok", file="in.txt"))
    told = town.actcli("sub", "ok.xrsl", "--ce", "nowhere", expect=1).output
    assert told.startswith("ok.xrsl: ")
    assert "sim" in told  # the answer lists the CEs that there are
    town.write("big.bin", "x" * 2_100_000)
    town.write("big.xrsl", JOB.format(name="big", file="big.bin"))
    told = town.actcli("sub", "ok.xrsl", "big.xrsl", expect=1).output
    assert ": ok\n" in told
    assert "big.xrsl: " in told
    assert json_jobs(town, "--state", "begun") == []
    town.actcli("kill", "--name", "ok")


def json_jobs(town: Town, *chosen: str) -> list[dict[str, object]]:
    """What ``stat --format json`` tells; nothing if no job is like that."""
    done = town.actcli("stat", "--format", "json", *chosen, expect=None)
    found: list[dict[str, object]] = json.loads(done.stdout)
    assert (done.exit_code == 5) == (not found)
    return found


def test_names_that_need_quoting_go_up_one_by_one(town: Town) -> None:
    town.write('odd "name" é.txt', "odd\n")
    (job,) = run(town, "--input", 'odd "name" é.txt', "--output", "copy", "--", "/bin/sh", "-c", "cat odd*; touch copy")
    town.until(*ENDED, jobs=[job])
    assert town.actcli("cat", str(job)).output == "odd\n"
    town.actcli("clean", str(job))


def test_output_of_a_running_job_can_be_followed(town: Town) -> None:
    (job,) = run(town, "--", "/bin/sh", "-c", "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done")
    town.until("running", "submitted", jobs=[job])
    end = threading.Event()
    worker = threading.Thread(target=_work_until, args=(town, end))
    worker.start()
    try:
        told = town.actcli("cat", "-f", str(job)).output
    finally:
        end.set()
        worker.join()
    assert told == "".join(f"line {i}\n" for i in range(1, 7))


def _work_until(town: Town, end: threading.Event) -> None:
    while not end.is_set():
        town.work()
        time.sleep(0.1)


def test_watching_ends_when_all_have_ended(town: Town) -> None:
    jobs = run(town, "--array", "1-2", "--", "/bin/echo", "x")
    end = threading.Event()
    worker = threading.Thread(target=_work_until, args=(town, end))
    worker.start()
    try:
        told = town.actcli(
            "stat", "--watch", "--interval", "1", "--format", "csv", "-c", "id,state", *map(str, jobs)
        ).output
    finally:
        end.set()
        worker.join()
    assert told.split() == ["id,state", *(f"{i},done" for i in jobs)]


def test_a_terminal_gets_colours_and_what_fits(town: Town) -> None:
    (job,) = run(town, "--name", "n" * 90, "--", "/bin/true")
    town.until("done", jobs=[job])
    plain = on_terminal(town, {"NO_COLOR": "1"}, "stat", str(job))
    assert [len(line) <= 60 for line in plain] == [True] * len(plain)
    assert plain[0].split()[:4] == ["ID", "NAME", "STATE", "CE"]
    assert "nnnn…  done   sim" in plain[1]
    assert plain[-1] == "1 job: 1 done"
    assert "\x1b[32mdone\x1b[0m" in on_terminal(town, {"NO_COLOR": ""}, "stat", str(job))[1]
    town.actcli("clean", str(job))


def on_terminal(town: Town, environment: dict[str, str], *arguments: str) -> list[str]:
    """What a terminal of 60 columns is sent by a command of alice's."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([sys.executable, "-m", "act.cli.user", *arguments], stdout=theirs, stderr=theirs,
                               env=inherited | town.environment | environment | {"TERM": "xterm"})  # fmt: skip
    os.close(theirs)
    told = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO: nobody has the other end any more
        while piece := terminal.read(10_000):
            told += piece
    assert process.wait(60) == 0, told
    return told.decode().replace("\r", "").splitlines()


def test_failed_jobs_are_looked_into_and_submitted_again(town: Town) -> None:
    (job,) = run(town, "--name", "failing", "--", "/bin/sh", "-c", "echo why; exit 3")
    town.until("donefailed", jobs=[job])
    (row,) = rows(town, str(job))
    assert row["exit_code"] == "3"
    assert "failed" in town.actcli("explain", str(job)).output
    assert town.actcli("resub", str(job)).output == f"1 job submitted again ({job})\n"
    told = town.actcli("clean", str(job), expect=1).output
    assert told.startswith(f"job {job}: ")
    town.until("donefailed", jobs=[job])
    assert town.actcli("get", str(job)).exit_code == 0
    assert (town.home / str(job) / "stdout.txt").read_text() == "why\n"


def test_commands_that_change_jobs_want_to_know_which(town: Town) -> None:
    for command in ("kill", "resub", "clean", "fetch", "get"):
        told = town.actcli(command, expect=2).output
        assert f"'actcli {command} --all' means all" in told
    assert town.actcli("kill", "999999", expect=1).output.startswith("job 999999: ")
    assert town.actcli("kill", "--name", "no such name", expect=5).output == "actcli: no job to kill among those\n"


def test_what_a_server_may_not_be_trusted_with_is_not_sent(town: Town, tmp_path: Path, ca: TestCA) -> None:
    told = town.actcli("info", expect=4, env={"ACTCLI_CA": str(TestCA(tmp_path).ca_cert)}).output
    assert "is not trusted" in told
    assert "--ca" in told
    assert town.actcli("--ca", str(ca.ca_cert), "info", env={"ACTCLI_CA": None}).exit_code == 0
    hashed = {"ACTCLI_CA": None, "X509_CERT_DIR": str(ca.ca_dir)}
    assert town.actcli("info", env=hashed).exit_code == 0
    assert town.actcli("info", env={"ACTCLI_CA": None, "SSL_CERT_FILE": str(ca.ca_cert)}).exit_code == 0


def test_a_session_that_is_over_is_told_with_what_to_do(town: Town) -> None:
    other = {"XDG_DATA_HOME": str(town.home / "other")}
    assert "run 'actcli proxy'" in town.actcli("stat", expect=3, env=other).output
    town.actcli("proxy", "--lifetime", "1h", env=other)
    assert "Groups:     people" in town.actcli("info", env=other).output
    kept = json.loads((town.home / "other/act/token").read_text())[town.url]["token"]
    town.actcli("logout", env=other)
    told = town.actcli("stat", expect=3, env={"ACTCLI_TOKEN": kept}).output
    assert "actcli proxy" in told
    assert "$ACTCLI_TOKEN" in told
    assert town.actcli("stat", expect=3, env={"ACTCLI_TOKEN": "no token at all"}).exit_code == 3


def test_a_session_that_has_expired_ends_with_3(town: Town) -> None:
    session = json.loads((town.home / "data/act/token").read_text())[town.url]["token"]
    claims = jwt.decode(session, options={"verify_signature": False}) | {"exp": int(time.time()) - 1}
    token = jwt.encode(claims, keys.load_secret(town.scene.config.web.secret_file), algorithm="HS256")
    told = town.actcli("stat", expect=3, env={"ACTCLI_TOKEN": token}).output
    assert "expired" in told
    assert "actcli proxy" in told


def test_a_token_opens_a_session_and_is_kept_only_if_the_server_takes_it(town: Town) -> None:
    other = {"XDG_DATA_HOME": str(town.home / "by-token")}
    town.write("token", "not a token\n")
    town.actcli("login", "--token-file", "token", expect=3, env=other)
    town.write("token", "two\nlines\n")
    assert "is no token" in town.actcli("login", "--token-file", "token", expect=3, env=other).output
    assert not (town.home / "by-token").exists()
    good = json.loads((town.home / "data/act/token").read_text())[town.url]["token"]
    told = town.actcli("login", "--token-file", "-", stdin=good, env=other).output
    assert told.startswith(
        "/O=act/CN=alice, known as of /O=act/CN=aCT test CA\nthe token from the standard input lasts"
    )
    assert town.actcli("login", "--status", env=other).output.startswith("/O=act/CN=alice")


def test_a_proxy_that_cannot_be_used_is_told(town: Town) -> None:
    assert "there is no proxy" in town.actcli("proxy", "--proxy", "nowhere", expect=3).output
    short = town.home / "short.pem"
    short.write_bytes(town.scene.proxy_of("alice", 1))
    time.sleep(1.1)
    assert "has expired" in town.actcli("proxy", "--proxy", "short.pem", expect=3).output
    cert, key = town.ca.user("alice")
    (town.home / "cert.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    assert "is a certificate, not a proxy" in town.actcli("proxy", "--proxy", "cert.pem", expect=3).output


def test_the_server_may_be_restarted_between_commands(town: Town) -> None:
    (job,) = run(town, "--", "/bin/echo", "after all")
    town.stop_server()
    town.start_server()
    town.until(*ENDED, jobs=[job])
    assert town.actcli("cat", str(job)).output == "after all\n"


@pytest.mark.slow
def test_1000_jobs_in_one_go_with_bounded_memory(town: Town) -> None:
    text = '(&(executable="/bin/cat")(arguments="x")(jobname="bulk{n}")(inputfiles=("x" "bulk/{n}")))'
    town.write("bulk.xrsl", "+" + "".join(text.format(n=n) for n in range(1000)))
    for n in range(1000):
        town.write(f"bulk/{n}", f"{n}\n")
    start = time.monotonic()
    process = town.spawn("sub", "bulk.xrsl")
    client = 0
    while process.poll() is None:
        client = max(client, peak_mb(process.pid))
        time.sleep(0.05)
    out, err = process.communicate()
    took = time.monotonic() - start
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"1000 jobs submitted: ")
    servers = [peak_mb(int(pid)) for pid in children(town.server_pid)]
    sys.stdout.write(f"1000 jobs: {took:.1f} s; peak MB: actcli {client}, server processes {servers}\n")
    assert client < 150
    assert max(servers) < 300
    assert len(town.ids("--name", "bulk")) == 1000
    assert town.actcli("kill", "--name", "bulk").output.startswith("1000 jobs being killed (")


def peak_mb(pid: int) -> int:
    """The most memory that a process ever had; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) // 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def children(pid: int) -> list[str]:
    """Processes that a process started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_submitted(town: Town) -> None:
    jobs = 1500
    text = "+" + "".join(f"({JOB.format(name=f'stop{n}', file=f'inputs/{n}')})" for n in range(jobs))
    town.write("stop.xrsl", text)
    for n in range(jobs):
        town.write(f"inputs/{n}", f"{n}\n" * 1000)
    before = len(town.ids())
    process = town.spawn("sub", "-q", "stop.xrsl")
    try:
        while len(town.ids()) - before < 50:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    told = sorted(int(i) for i in out.split())
    assert told == town.ids("--name", "stop")
    assert 50 <= len(told) < jobs
    assert f"{jobs - len(told)} jobs not submitted" in err.decode()
    assert json_jobs(town, "--state", "begun") == []
    town.actcli("kill", "--name", "stop")

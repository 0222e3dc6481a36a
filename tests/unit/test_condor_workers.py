"""The processes that speak HTCondor: bounded in number and time, and what their end means for a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.errors import CEBroken, CEFull, CEUnreachable, CredentialError
from act_condor import workers as module
from act_condor.schedd import translated
from act_condor.workers import BindingsError, Client, Workers

# Does what the requests say, in place of the bindings.
STAND_IN = """
import json, os, sys, time
count = 0
for line in sys.stdin:
    count += 1
    request = json.loads(line)
    if request.get("sent"):
        print('{"sent": true}', flush=True)
    time.sleep(request.get("sleep_s", 0))
    if "exit" in request:
        print("last words", file=sys.stderr, flush=True)
        os._exit(request["exit"])
    if "error" in request:
        print(json.dumps({"error": request["error"], "details": "more", "partly": False}), flush=True)
    else:
        secret = open(os.environ["SECRET"]).read() if "SECRET" in os.environ else ""
        told = {"pid": os.getpid(), "count": count, "secret": secret, "size": len(line)}
        print(json.dumps({"ok": told}), flush=True)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(module, "SCRIPT", script)
    pool = Workers(at_most=2)
    yield pool
    pool.close()


def ask(pool: Workers, client: Client, op: str = "query", within_s: float = 20.0, **request: Any) -> Any:
    return pool.call(client, time.monotonic() + within_s, op=op, schedd="s", **request)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_client_keeps_its_process_from_call_to_call(pool: Workers) -> None:
    client = Client({})
    assert [ask(pool, client)["count"] for _ in range(3)] == [1, 2, 3]


def test_requests_and_answers_of_any_size_come_through(pool: Workers) -> None:
    assert ask(pool, Client({}), text="x" * 1_000_000)["size"] > 1_000_000


def test_secrets_are_shown_as_files_that_are_on_no_disk(pool: Workers) -> None:
    assert ask(pool, Client({}, {"SECRET": b"top secret"}))["secret"] == "top secret"


@pytest.mark.parametrize("sent", [False, True])
def test_a_late_answer_is_given_up_and_its_process_ended(pool: Workers, sent: bool) -> None:
    client = Client({})
    pid = ask(pool, client)["pid"]
    with pytest.raises(CEUnreachable) as caught:
        ask(pool, client, within_s=0.5, sleep_s=60, sent=sent)
    assert caught.value.sent is sent
    assert not alive(pid)
    assert ask(pool, client)["count"] == 1


@pytest.mark.parametrize("sent", [False, True])
def test_a_process_that_ends_in_the_middle_tells_with_its_last_words(pool: Workers, sent: bool) -> None:
    client = Client({})
    with pytest.raises(CEUnreachable, match="exit status 7; last words") as caught:
        ask(pool, client, exit=7, sent=sent)
    assert caught.value.sent is sent
    assert ask(pool, client)["count"] == 1


def test_an_error_is_an_answer(pool: Workers) -> None:
    client = Client({})
    with pytest.raises(BindingsError, match="no good") as caught:
        ask(pool, client, error="no good", sent=True)
    assert (caught.value.details, caught.value.sent) == ("more", True)
    assert ask(pool, client)["count"] == 2


def test_the_process_that_is_missed_least_makes_room(pool: Workers) -> None:
    submitting, idle, third = Client({}), Client({}), Client({})
    first = ask(pool, submitting, "submit", spool=True, items=[1, 2])["pid"]
    second = ask(pool, idle)["pid"]
    ask(pool, third)
    assert (alive(first), alive(second)) == (True, False)
    ask(pool, submitting, "spool", ids=[1, 2])
    ask(pool, third)
    ask(pool, idle)
    assert not alive(first)


def test_a_forgotten_client_leaves_no_process(pool: Workers) -> None:
    client = Client({})
    pid = ask(pool, client)["pid"]
    pool.forget(client)
    pool.forget(client)
    assert not alive(pid)


def test_a_client_that_is_forgotten_in_the_middle_of_a_call_ends_that_call_in_order(pool: Workers) -> None:
    client, other = Client({}), Client({})
    ask(pool, other)
    caught: list[CEUnreachable] = []

    def wait() -> None:
        try:
            ask(pool, client, sleep_s=60)
        except CEUnreachable as e:
            caught.append(e)

    before = descriptors()
    waiting = threading.Thread(target=wait)
    waiting.start()
    while descriptors() < before + 3:
        time.sleep(0.01)
    pool.forget(client)
    waiting.join()
    assert [str(e) for e in caught] == ["query: the process that speaks HTCondor ended: exit status -9"]
    assert descriptors() == before
    assert ask(pool, other)["count"] == 2


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def error(text: str, details: str = "", *, sent: bool = True, partly: bool = False) -> BindingsError:
    return BindingsError(text, details, sent=sent, partly=partly)


@pytest.mark.parametrize(
    ("said", "kind", "sent"),
    [
        (error("Failed communication with collector.", "... (connect errno = 111).", sent=False), CEUnreachable, False),
        (error("Failed to connect to schedd, errmsg=CEDAR:6001:Failed to connect to <::1>"), CEUnreachable, False),
        (error("the collector knows no schedd x", sent=False), CEUnreachable, False),
        (error("Failed to create job ad, errmsg=Submit:-1:Parse error"), CEBroken, True),
        (error("Error when performing action on the schedd."), CEBroken, True),
        (error("Failed to connect to schedd", partly=True), CEUnreachable, True),
        (error("Failed to commit", "condor_read(): Socket closed when trying to read 5 bytes"), CEUnreachable, True),
        (error("Failed to start command.", "AUTHENTICATE:1004 condor_write(): Socket closed"), CEUnreachable, True),
        (error("Unable to connect", "SECMAN:2004:Server rejected our session id"), CEUnreachable, False),
    ],
)
def test_an_error_tells_whether_anything_can_have_been_done(
    said: BindingsError, kind: type[CEUnreachable], sent: bool
) -> None:
    found = translated("s", "submit", said)
    assert type(found) is kind
    assert isinstance(found, CEUnreachable) and found.sent is sent


@pytest.mark.parametrize(
    "details",
    [
        "AUTHENTICATE:1003:Failed to authenticate with any method",
        'SECMAN:2010:Received "DENIED" from server for user ssl@unmapped using method SSL.',
    ],
)
def test_a_schedd_that_does_not_let_us_in_is_a_credential_error(details: str) -> None:
    found = translated("s", "act", error("Error when performing action on the schedd.", f"11/22/26 10:00:00 {details}"))
    assert isinstance(found, CredentialError)
    assert details in str(found) and "11/22/26" not in str(found)


def test_a_schedd_that_takes_no_more_jobs_is_full() -> None:
    told = "Failed to commit, errmsg=SCHEDD:2:Number of submitted jobs would exceed MAX_JOBS_PER_OWNER"
    assert isinstance(translated("s", "submit", error(told)), CEFull)

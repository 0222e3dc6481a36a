"""What the client promises, over both interfaces of the simulated server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from panda_kit import QUEUE, acquire, connected, finished, one_job, status

from act_atlas import pilot
from act_atlas.panda import Acquired, JobUpdate, PandaClient, PandaServer
from act_atlas.simulator import Order, PandaSimulator


def test_jobs_come_most_urgent_first_and_only_once(sim: PandaSimulator, client: PandaClient) -> None:
    low = sim.board.define(Order(QUEUE, count=2, priority=10))
    high = sim.board.define(Order(QUEUE, count=2, priority=900, fields={"coreCount": 8}))
    jobs = acquire(client, 3).jobs
    assert [j.pandaid for j in jobs] == [*high, low[0]]
    assert jobs[0].fields.integer("coreCount", 0, 100) == 8
    assert jobs[0].fields.text("transferType") == ""
    assert [j.pandaid for j in acquire(client, 3).jobs] == [low[1]]
    assert acquire(client, 3) == Acquired()
    assert {s["status"] for s in sim.board.describe().values()} == {"sent"}


def test_concurrent_callers_never_share_a_job(sim: PandaSimulator, client: PandaClient) -> None:
    ids = sim.board.define(Order(QUEUE, count=62))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: acquire(client, 5).jobs, range(18)))
    assert sorted(j.pandaid for jobs in answers for j in jobs) == ids


def test_label_and_resource_type_choose_jobs(sim: PandaSimulator, client: PandaClient) -> None:
    (user,) = sim.board.define(Order(QUEUE, label="user", priority=5000))
    (multicore,) = sim.board.define(Order(QUEUE, fields={"coreCount": 8, "minRamCount": 16000}))
    assert acquire(client, 9, resource_type="MCORE_HIMEM").jobs == ()
    assert [j.pandaid for j in acquire(client, 9).jobs] == [multicore]
    assert [j.pandaid for j in acquire(client, 9, label="unified").jobs] == [user]


def test_a_malformed_job_is_told_apart(sim: PandaSimulator, client: PandaClient) -> None:
    sim.board.define(Order(QUEUE, omit=("attemptNr",)))
    (good,) = sim.board.define(Order(QUEUE))
    acquired = acquire(client, 9)
    assert [j.pandaid for j in acquired.jobs] == [good]
    assert len(acquired.malformed) == 1


def test_job_for_the_pilot_is_the_same_over_both_interfaces(sim: PandaSimulator, server: PandaServer) -> None:
    texts = []
    for protocol in ("v1", "legacy"):
        sim.board.define(Order(QUEUE))
        with connected(replace(server, protocol=protocol)) as c:
            texts.append(acquire(c).jobs[0].urlencoded())
    # the numbers of the two jobs differ by one
    assert texts[0].replace("6000000001", "6000000002").split("&logGUID")[0] == texts[1].split("&logGUID")[0]


def test_a_job_goes_its_way_to_finished(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    for word in ("starting", "running"):
        (result,) = client.update_bulk([JobUpdate(pandaid, word, 1, node="n1", core_count=1)])
        assert result.accepted and not result.commands
        assert client.job_status([pandaid])[pandaid].status == word  # type: ignore[union-attr]
    client.update_bulk([finished(sim, pandaid)])
    assert status(sim, pandaid) == "holding"
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == "finished"
    story = sim.board.describe([pandaid])[pandaid]
    assert [s for _, s, _ in story["history"]] == ["activated", "sent", "starting", "running", "holding", "finished"]


def test_answers_of_a_bulk_belong_to_their_updates(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    unknown, ours, wrong_attempt = client.update_bulk(
        [JobUpdate(77, "running", 1), JobUpdate(pandaid, "starting", 1), JobUpdate(pandaid, "running", 9)]
    )
    assert unknown.commands == wrong_attempt.commands == {"tobekilled"}
    assert ours.accepted and not ours.commands
    assert status(sim, pandaid) == "starting"


def test_kill_is_told_in_the_next_heartbeat_beside_other_commands(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    client.update_bulk([JobUpdate(pandaid, "running", 1)])
    sim.board.command(pandaid, "debug")
    assert sim.board.kill(pandaid)
    (result,) = client.update_bulk([JobUpdate(pandaid, "running", 1)])
    assert result.commands == {"debug", "tobekilled"}
    assert status(sim, pandaid) == "running"
    client.update_bulk([JobUpdate(pandaid, "failed", 1, pilot_error_code=1144)])
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == "cancelled"


def test_a_forced_kill_ends_the_job_at_once(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    sim.board.kill(pandaid, 9)
    assert status(sim, pandaid) == "cancelled"
    (result,) = client.update_bulk([JobUpdate(pandaid, "running", 1)])
    assert result.commands == {"tobekilled"}


def test_a_repeated_final_report_is_known_as_delivered(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    report = JobUpdate(pandaid, "failed", 1, pilot_error_code=9000)
    client.update_bulk([report])
    assert client.update_bulk([report])[0].commands == {"alreadydone"}
    sim.board.clock.forward(6)
    assert client.update_bulk([report])[0].commands == {"tobekilled"}
    assert status(sim, pandaid) == "failed"


@pytest.mark.parametrize("fault", ["nothing", "no log", "no checksum", "unknown"])
def test_finished_with_a_wrong_list_of_outputs_fails(sim: PandaSimulator, client: PandaClient, fault: str) -> None:
    pandaid = one_job(sim, client)
    outputs = json.loads(finished(sim, pandaid).job_output_report or "")
    if fault == "nothing":
        outputs = {}
    elif fault == "no log":
        del outputs[next(k for k in outputs if k.startswith("log"))]
    elif fault == "no checksum":
        del outputs[next(iter(outputs))]["adler32"]
    else:
        outputs["surprise"] = pilot.entry(b"")
    client.update_bulk([finished(sim, pandaid, outputs)])
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == "failed"


def test_a_state_that_may_not_be_reported_is_not_repeated(sim: PandaSimulator, server: PandaServer) -> None:
    with connected(replace(server, protocol="v1")) as c:
        pandaid = one_job(sim, c)
        (result,) = c.update_bulk([JobUpdate(pandaid, "closed", 1)])
    assert not result.accepted and not result.retry and "closed" in result.error


def test_status_of_unknown_jobs_is_none(sim: PandaSimulator, client: PandaClient) -> None:
    pandaid = one_job(sim, client)
    found = client.job_status([5, pandaid, *range(10, 250)])
    assert found[5] is None and len(found) == 242
    assert found[pandaid] is not None and found[pandaid].attempt_nr == 1  # type: ignore[union-attr]
    assert client.job_status([]) == {}


def test_statistics_are_a_minute_old(sim: PandaSimulator, client: PandaClient) -> None:
    assert client.queue_stats() == {}
    sim.board.define(Order(QUEUE, count=3))
    assert client.queue_stats() == {}
    sim.board.clock.forward(61)
    assert client.queue_stats() == {QUEUE: {"activated": 3}}
    acquire(client, 2)
    sim.board.clock.forward(61)
    assert client.queue_stats() == {QUEUE: {"activated": 1, "sent": 2}}


def test_server_says_that_it_lives(client: PandaClient) -> None:
    client.is_alive()

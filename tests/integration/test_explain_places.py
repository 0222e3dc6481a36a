"""`actctl explain` tells the truth of CEs and PanDA queues: why they get jobs, or no jobs."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from act.cli.actctl import main
from act.errors import SourceUnreachable
from act_atlas import db
from tests.integration.beats import pass_time
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.truth import explain, reasons, words


def test_a_ce_is_explained_by_its_url_and_by_part_of_it(running: PandaTower) -> None:
    running.submitted()
    pass_time(running, 60)
    running.once("status-arc")
    url = running.site.url
    for named in ((url,), ("--ce", url), ("--ce", "ce1.example")):
        (told,) = explain(running.environment, *named)
        assert (told["title"], told["state"]) == (f"CE {url}", "well")
    text = words(running.environment, url)
    assert re.search(r"last complete answer \d s ago", text)
    assert "default: 1 waiting of at most 500, 1 in all of at most 20000" in text
    assert "1 submitted; nothing waits to come here" in text


def test_a_queue_is_explained_with_its_ces_and_why_it_gets_jobs_or_not(running: PandaTower) -> None:
    env = running.environment
    (told,) = explain(env, "--queue", QUEUE)
    assert (told["state"], reasons(told)) == ("jobs are asked for", set())
    running.order(30)
    running.once("getjob")
    (told,) = explain(env, "--queue", QUEUE)
    assert reasons(told) == {"limit"}
    assert "20 wait of at most 20 (panda/minjobs" in words(env, "--queue", QUEUE)


def test_when_panda_was_asked_for_jobs_of_a_queue_and_what_came_is_told(running: PandaTower) -> None:
    env = running.environment
    assert "asked not yet" in words(env, "--queue", QUEUE)
    running.once("getjob")
    assert re.search(r"asked \d s ago or since: nothing came", words(env, "--queue", QUEUE))
    running.order(3)
    running.once("getjob")
    assert re.search(r"asked \d s ago or since: 3 jobs came", words(env, "--queue", QUEUE))
    running.panda.faults.add({"path": "acquire_jobs", "action": "error-before", "status": 503, "times": 1})
    with pytest.raises(SourceUnreachable):
        running.once("getjob")
    text = words(env, "--queue", QUEUE)
    assert re.search(r"asked \d s ago or since: it failed", text)
    assert re.search(r"asking PanDA for jobs: .* HTTP 503", text)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "offline"}, "its status is 'offline'"),
        ({"state": "INACTIVE"}, "its state in CRIC is INACTIVE"),
        ({"pilot_manager": "Harvester"}, "its pilot_manager is Harvester"),
        ({"workflow": "pull_ups"}, "it is not a push queue"),
        ({"queues": []}, "none is active"),
    ],
)
def test_why_a_queue_gets_no_jobs_is_told(running: PandaTower, changes: dict[str, object], why: str) -> None:
    running.panda.board.cric[QUEUE] |= changes
    running.panda.board.cric["ANOTHER"] = {**running.panda.board.cric[QUEUE], "state": "ACTIVE", "pilot_manager": "aCT"}
    running.once("cric")
    (told,) = explain(running.environment, "--queue", QUEUE)
    assert (told["state"], reasons(told)) == ("no jobs are asked for", {"settings"})
    assert why in words(running.environment, "--queue", QUEUE)
    running.order(3)
    running.once("getjob")
    assert running.db.read("t", db.waiting_and_running) == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["123456"], "no job and no attempt 123456"),
        (["--queue", "NOWHERE"], "no queue 'NOWHERE' is known here"),
        (["--ce", "https://nowhere.example.org"], "no CE 'https://nowhere.example.org' is known here"),
        (["word"], "neither a number nor a URL; for a queue say --queue word"),
        ([], "name one thing"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(running: PandaTower, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(main, ["explain", *arguments], env=running.environment)
    assert result.exit_code != 0
    assert told in result.output

"""The interface of act-client 1.0 in its details; the client itself is tried in test_web_act_client.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.simulation import TestCA
from tests.integration.web_scene import REMOTE, Person, Scene, scene_in


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[Scene]:
    with scene_in(tmp_path_factory.mktemp("legacy"), sqlite_template, ca) as scene:
        yield scene


@pytest.fixture(scope="module")
def alice(scene: Scene) -> Person:
    return scene.person("alice")


def ask(scene: Scene, person: Person, method: str, path: str, **more: Any) -> Any:
    return scene.client().open(path, method=method, headers=person.headers, **more)


def ended(scene: Scene, person: Person, files: dict[str, bytes], shown: str = "done") -> int:
    (job,) = scene.submit(person, ["ended"])
    scene.end(job["id"], files, shown)
    found: int = job["id"]
    return found


def test_an_ended_job_without_output_has_an_empty_listing(scene: Scene, alice: Person) -> None:
    job = ended(scene, alice, {})
    answer = ask(scene, alice, "GET", f"/jobs/{job}/results/")
    assert (answer.status_code, answer.json) == (200, {"file": [], "dir": []})


def test_results_are_walked_folder_by_folder(scene: Scene, alice: Person) -> None:
    job = ended(scene, alice, {"a": b"1", "d/b": b"2", "d/e/c": b"3", "dd/x": b"4"}, "donefailed")
    listings = {
        "": {"file": ["a"], "dir": ["d", "dd"]},
        "d/": {"file": ["b"], "dir": ["e"]},
        "d/e/": {"file": ["c"], "dir": []},
    }
    for folder, listing in listings.items():
        assert ask(scene, alice, "GET", f"/jobs/{job}/results/{folder}").json == listing
    assert ask(scene, alice, "GET", f"/jobs/{job}/results/d/e/c").data == b"3"
    assert ask(scene, alice, "GET", f"/jobs/{job}/results/e/").json == {"msg": "Output directory does not exist"}
    assert ask(scene, alice, "GET", f"/jobs/{job}/results/b").json == {"msg": "Output file does not exist"}


def test_a_job_that_has_not_ended_has_no_results(scene: Scene, alice: Person) -> None:
    (job,) = scene.submit(alice, ["waits"])
    answer = ask(scene, alice, "GET", f"/jobs/{job['id']}/results/")
    assert (answer.status_code, answer.json) == (404, {"msg": "No results in current job state"})


def test_a_submission_that_is_under_way_is_not_listed(scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    for query in ("", f"?id={job}", "?state=begun", "?name=slow"):
        rows = ask(scene, alice, "GET", f"/jobs{query}{'&' if query else '?'}client=id").json
        assert job not in [row["c_id"] for row in rows]
    cancelled = ask(scene, alice, "PATCH", f"/jobs?action=cancel&id={job}").json
    assert cancelled == [{"c_id": job, "a_id": None, "a_arcstate": None}]


def test_columns_come_in_the_case_they_were_asked_for_and_all_that_are_told_of_are_there(
    scene: Scene, alice: Person
) -> None:
    job = ended(scene, alice, {"out.txt": b"x"})
    known = ask(scene, alice, "GET", "/info").json
    query = f"id={job}&client={','.join(known['client'])}&arc={','.join(known['arc'])}"
    (row,) = ask(scene, alice, "GET", f"/jobs?{query}").json
    assert set(row) == {f"c_{n}" for n in known["client"]} | {f"a_{n}" for n in known["arc"]}
    assert (row["c_id"], row["c_jobname"], row["a_arcstate"]) == (job, "ended", "done")
    assert row["a_IDFromEndpoint"] and row["c_created"].endswith("GMT")
    for query in ("client=ID", "arc=arcState", "client=id;drop", "arc=proxy"):
        answer = ask(scene, alice, "GET", f"/jobs?{query}")
        assert answer.status_code == 400 and answer.json["msg"].startswith("Invalid column")


def test_lists_of_ids_are_taken_with_percent_signs_and_ranges(scene: Scene, alice: Person) -> None:
    first, second = (ended(scene, alice, {}) for _ in range(2))
    for text in (f"{first}%2C{second}", f"{first}-{second}"):
        rows = ask(scene, alice, "GET", f"/jobs?id={text}&client=id%2Cjobname").json
        assert [row["c_id"] for row in rows] == [first, second]
    assert ask(scene, alice, "GET", "/jobs?id=1-999999999").status_code == 400
    assert ask(scene, alice, "DELETE", f"/jobs?id={first}-{second}").json == [first, second]


def test_submission_answers_item_by_item(scene: Scene, alice: Person) -> None:
    (place, _) = scene.config.users.ce
    items: list[Any] = [
        {"clusterlist": [place.location]}, {"clusterlist": [place.location.replace(":443", "")]},
        {"clusterlist": ["default"]}, {"clusterlist": ["https://mars.example.org/q"]}, {"clusterlist": []}, {}, 5,
    ]  # fmt: skip
    found = ask(scene, alice, "POST", "/jobs", json=items).json
    assert [sorted(item) for item in found] == [["id"]] * 3 + [["msg"]] * 4
    assert found[3]["msg"].startswith("Unknown cluster https://mars.example.org/q")
    assert found[4]["msg"] == "No clusters given"
    text = REMOTE.format(name="named")
    wanted = [{"id": found[0]["id"], "desc": text}, {"id": found[1]["id"]}, {"id": 987654, "desc": text},
              {"id": found[2]["id"], "desc": "&(nonsense"}, {"desc": text}]  # fmt: skip
    told = ask(scene, alice, "PUT", "/jobs", json=wanted).json
    assert told[0] == {"id": found[0]["id"], "name": "named"}
    assert [sorted(item) for item in told[1:]] == [["id", "msg"]] * 3 + [["msg"]]


def test_actions_touch_what_they_are_for(scene: Scene, alice: Person) -> None:
    done, failed = ended(scene, alice, {}), ended(scene, alice, {}, "donefailed")
    both = f"id={done},{failed}"
    assert ask(scene, alice, "PATCH", f"/jobs?action=cancel&{both}").json == []
    assert ask(scene, alice, "PATCH", f"/jobs?action=resubmit&{both}").json == [failed]
    (killed,) = ask(scene, alice, "PATCH", f"/jobs?action=cancel&{both}").json
    assert killed == {"c_id": failed, "a_id": None, "a_arcstate": "tosubmit"}
    assert ask(scene, alice, "DELETE", f"/jobs?{both}&state=running").json == []
    assert ask(scene, alice, "DELETE", f"/jobs?{both}").json == [done, failed]
    assert ask(scene, alice, "DELETE", f"/jobs?{both}").json == []

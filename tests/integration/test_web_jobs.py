"""/api/v1 as its users see it: submission in one call or in steps, lists, results, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.simulation import TestCA
from tests.integration.web_scene import JOB, REMOTE, SCRIPT, Person, Scene, scene_in

NAMES = ["out.txt", "sub/deep.txt", "sub/n\u00e4me with blank.txt", "x" * 150 + "/" + "y" * 150]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[Scene]:
    with scene_in(tmp_path_factory.mktemp("jobs"), sqlite_template, ca) as scene:
        yield scene


@pytest.fixture(scope="module")
def alice(scene: Scene) -> Person:
    return scene.person("alice")


def multipart(scene: Scene, person: Person, request: object, *files: tuple[str, str, bytes]) -> Any:
    """A submission with files: (part, filename, content)."""
    parts: list[Any] = [("request", json.dumps(request))] if request is not None else []
    boundary = "0123456789"
    body = io.BytesIO()
    for name, content in parts:
        body.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n'.encode())
    for name, filename, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        body.write(head.encode() + data + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    kind = f"multipart/form-data; boundary={boundary}"
    return scene.call(person, "POST", "/jobs", data=body.getvalue(), content_type=kind)


def new(name: str, *inputs: str, **more: Any) -> dict[str, Any]:
    return {"description": JOB.format(name=name), "language": "xrsl", "inputs": list(inputs)} | more


def test_jobs_and_their_files_go_in_with_one_call(scene: Scene, alice: Person) -> None:
    jobs = {"jobs": [new("one", "run.sh"), new("two", "run.sh")]}
    answer = multipart(scene, alice, jobs, ("0", "run.sh", SCRIPT), ("1", "run.sh", b"#!/bin/sh\n"))
    found = answer.json["jobs"]
    assert [(j["state"], j["name"]) for j in found] == [("tosubmit", "one"), ("tosubmit", "two")]
    inputs = scene.call(alice, "GET", f"/jobs/{found[0]['id']}").json["inputs"]
    digest = hashlib.sha256(SCRIPT).hexdigest()
    assert inputs == [{"name": "run.sh", "size": len(SCRIPT), "sha256": digest}]


def test_a_file_for_all_jobs_is_sent_once(scene: Scene, alice: Person) -> None:
    found = scene.submit(alice, [f"array{n}" for n in range(5)])
    assert [j["state"] for j in found] == ["tosubmit"] * 5


def test_a_file_for_all_jobs_that_is_too_large_is_refused_for_each(scene: Scene, alice: Person) -> None:
    jobs = {"jobs": [new("one", "run.sh"), new("two", "run.sh")]}
    found = multipart(scene, alice, jobs, ("*", "run.sh", b"x" * 4_000_000)).json["jobs"]
    assert [job["error"]["code"] for job in found] == ["too_large", "too_large"]
    assert scene.call(alice, "GET", "/jobs?state=begun").json["jobs"] == []


def test_a_job_without_files_is_submitted_at_once(scene: Scene, alice: Person) -> None:
    job = {"description": REMOTE.format(name="bare"), "language": "xrsl", "ces": ["ce2"]}
    (found,) = scene.call(alice, "POST", "/jobs", json={"jobs": [job]}).json["jobs"]
    assert found["state"] == "tosubmit"


def test_a_job_whose_files_do_not_all_come_is_given_up_and_the_others_go_on(scene: Scene, alice: Person) -> None:
    jobs = {"jobs": [new("good", "run.sh"), new("lacking", "run.sh", "data.txt")]}
    answer = multipart(scene, alice, jobs, ("*", "run.sh", SCRIPT))
    good, lacking = answer.json["jobs"]
    assert good["state"] == "tosubmit"
    assert "data.txt" in lacking["error"]["detail"]
    assert scene.call(alice, "GET", "/jobs?state=begun").json["jobs"] == []


def test_a_bad_description_is_refused_alone_and_says_why(scene: Scene, alice: Person) -> None:
    jobs = [new("good", "run.sh"), {"description": "&(executable=", "language": "xrsl"},
            {"description": "x", "language": "klingon"}, new("where", "run.sh", ces=["mars"])]  # fmt: skip
    good, broken, unknown, nowhere = scene.call(alice, "POST", "/jobs", json={"jobs": jobs}).json["jobs"]
    assert good["state"] == "begun"
    assert broken["error"]["code"] == "bad_job"
    assert "klingon" in unknown["error"]["detail"]
    assert "mars" in nowhere["error"]["detail"] and "ce1" in nowhere["error"]["detail"]
    scene.call(alice, "POST", "/jobs/kill", json={"ids": [good["id"]]})


@pytest.mark.parametrize("files", [
    [("0", "other.txt", b"x")], [("7", "run.sh", b"x")], [("zero", "run.sh", b"x")], [("", "run.sh", b"x")],
])  # fmt: skip
def test_a_part_that_belongs_to_no_job_is_refused_and_nothing_is_left(
    scene: Scene, alice: Person, files: list[tuple[str, str, bytes]]
) -> None:
    answer = multipart(scene, alice, {"jobs": [new("one", "run.sh")]}, *files)
    assert answer.status_code == 400, answer.text
    assert scene.call(alice, "GET", "/jobs?state=begun").json["jobs"] == []


def test_the_request_must_come_before_the_files(scene: Scene, alice: Person) -> None:
    answer = multipart(scene, alice, None, ("0", "run.sh", SCRIPT))
    assert answer.status_code == 400
    assert "'request'" in answer.json["detail"]


def test_the_same_key_gives_the_same_jobs_and_makes_no_others(scene: Scene, alice: Person) -> None:
    first = scene.submit(alice, ["a", "b"], key="once")
    again = scene.submit(alice, ["a", "b"], key="once")
    assert [j["id"] for j in again] == [j["id"] for j in first]
    request = {"key": "twice", "jobs": [new("c", "run.sh")]}
    (begun,) = scene.call(alice, "POST", "/jobs", json=request).json["jobs"]
    assert scene.call(alice, "POST", "/jobs", json=request).json["jobs"] == [begun]
    (done,) = multipart(scene, alice, request, ("0", "run.sh", SCRIPT)).json["jobs"]
    assert (done["id"], done["state"]) == (begun["id"], "tosubmit")


def test_an_upload_can_be_checked_and_repeated_until_the_job_is_confirmed(scene: Scene, alice: Person) -> None:
    job = scene.begin(alice, "checked")
    path = f"/jobs/{job}/inputs/run.sh"
    digest = base64.b64encode(hashlib.sha256(SCRIPT).digest()).decode()
    good, bad = {"Repr-Digest": f"sha-256=:{digest}:"}, {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}
    assert scene.call(alice, "PUT", path, data=SCRIPT, headers=bad).status_code == 400
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []
    for _ in range(2):
        assert scene.call(alice, "PUT", path, data=SCRIPT, headers=good).status_code == 201
    for _ in range(2):
        answer = scene.call(alice, "POST", "/jobs/confirm", json={"ids": [job]}).json
        assert answer == {"jobs": [{"id": job, "state": "tosubmit", "name": "checked"}]}
    refused = scene.call(alice, "PUT", path, data=b"other")
    assert (refused.status_code, refused.json["code"]) == (409, "wrong_state")


def test_lists_are_complete_and_in_order_page_by_page(scene: Scene) -> None:
    carol = scene.person("carol")
    jobs = [{"description": REMOTE.format(name=f"page_{n}"), "language": "xrsl"} for n in range(25)]
    made = scene.call(carol, "POST", "/jobs", json={"jobs": jobs}).json["jobs"]
    ids: list[int] = []
    cursor = ""
    while cursor is not None:
        page = scene.call(carol, "GET", f"/jobs?limit=10&cursor={cursor}").json
        ids += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
    assert ids == [job["id"] for job in made]
    one = made[3]["id"]
    assert [j["id"] for j in scene.call(carol, "GET", f"/jobs?id={one}-{one + 1},999999").json["jobs"]] == [
        one,
        one + 1,
    ]
    assert len(scene.call(carol, "GET", "/jobs?name=page_1").json["jobs"]) == 11
    assert scene.call(carol, "GET", "/jobs?name=page%251").json["jobs"] == []
    assert len(scene.call(carol, "GET", "/jobs?state=tosubmit,running").json["jobs"]) == 25


@pytest.mark.parametrize("query", ["id=x", "id=1-", "id=9-5", "id=1-99999999", "limit=0", "limit=99999", "cursor=x",
                                   "nonsense=1", "name=a&name=b", "id=" + "1," * 60000])  # fmt: skip
def test_a_bad_query_is_refused_with_a_reason(scene: Scene, alice: Person, query: str) -> None:
    answer = scene.call(alice, "GET", f"/jobs?{query}")
    assert answer.status_code == 400, answer.text[:200]
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"]


def test_who_names_no_jobs_touches_none(scene: Scene, alice: Person) -> None:
    before = scene.rows("clientjobs")
    for verb in ("kill", "resubmit", "fetch", "clean"):
        for body in ({}, {"ids": []}, {"all": False}, {"all": True, "ids": [1]}, {"ids": [0]}, {"name": 5}):
            assert scene.call(alice, "POST", f"/jobs/{verb}", json=body).status_code == 400
    assert scene.rows("clientjobs") == before


@pytest.fixture(scope="module")
def ended(scene: Scene, alice: Person) -> int:
    (made,) = scene.submit(alice, ["ended"])
    scene.end(made["id"], {name: name.encode() * 1000 for name in NAMES} | {"empty": b""})
    found: int = made["id"]
    return found


def test_results_are_listed_with_their_digests(scene: Scene, alice: Person, ended: int) -> None:
    files = scene.call(alice, "GET", f"/jobs/{ended}/results").json["files"]
    assert {f["name"] for f in files} == {*NAMES, "empty"}
    assert all(f["sha256"] == hashlib.sha256(f["name"].encode() * 1000).hexdigest() for f in files if f["size"])


def test_results_come_one_by_one_whole_or_in_part(scene: Scene, alice: Person, ended: int) -> None:
    for name in NAMES:
        content = name.encode() * 1000
        answer = scene.call(alice, "GET", f"/jobs/{ended}/results/{name}")
        assert answer.data == content
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
        assert answer.headers["Content-Disposition"].startswith("attachment")
    path = f"/jobs/{ended}/results/out.txt"
    part = scene.call(alice, "GET", path, headers={"Range": "bytes=3-9"})
    assert (part.status_code, part.data) == (206, b".txtout")
    assert part.headers["Content-Range"] == "bytes 3-9/7000"
    rest = scene.call(alice, "GET", path, headers={"Range": "bytes=6998-"})
    assert (rest.status_code, rest.data) == (206, b"xt")
    assert scene.call(alice, "GET", path, headers={"Range": "bytes=7000-"}).status_code == 416
    etag = part.headers["ETag"]
    assert scene.call(alice, "GET", path, headers={"If-None-Match": etag}).status_code == 304
    assert scene.call(alice, "HEAD", path).headers["Content-Length"] == "7000"


def test_results_come_all_together_as_a_tar_archive(scene: Scene, alice: Person, ended: int) -> None:
    answer = scene.call(alice, "GET", f"/jobs/{ended}/results.tar")
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        members = {m.name: m for m in archive.getmembers()}
        assert set(members) == {*NAMES, "empty"}
        for name in NAMES:
            file = archive.extractfile(members[name])
            assert file is not None and file.read() == name.encode() * 1000
        assert all(m.isfile() and m.mode == 0o644 for m in members.values())


def test_live_files_go_on_where_the_reader_stopped(scene: Scene, alice: Person, ended: int) -> None:
    answer = scene.call(alice, "GET", f"/jobs/{ended}/live/out.txt?offset=6990")
    assert (answer.status_code, answer.data) == (200, b"txtout.txt")
    assert (answer.headers["Act-Final"], answer.headers["Act-Job-State"]) == ("true", "done")
    end = scene.call(alice, "GET", f"/jobs/{ended}/live/out.txt?offset=7000")
    assert (end.status_code, end.headers["Act-Final"]) == (204, "true")

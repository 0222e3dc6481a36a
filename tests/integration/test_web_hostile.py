"""What people with bad intentions send: it is refused or harmless, and never more than a sentence comes back."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from act.simulation import TestCA
from tests.integration.web_scene import JOB, REMOTE, SCRIPT, V1, Person, Scene, scene_in

SECRETS = ("proxy.key", "web.key", "aCTConfigARC.xml", "act.db")
ABOVE = [
    "../../../{secret}", "..%2f..%2f..%2f{secret}", "%2e%2e/%2e%2e/%2e%2e/{secret}", "..%252f..%252f..%252f{secret}",
    "%252e%252e/%252e%252e/{secret}", "..\\..\\..\\{secret}", "..%5c..%5c{secret}", "/{directory}/{secret}",
    "%2f{directory}%2f{secret}", "//{directory}/{secret}", "a/../../../../{secret}", "./../../../{secret}",
    "run.sh/../../../../{secret}", "....//....//{secret}", "%00{secret}", "{secret}%00.txt", "~/{secret}",
]  # fmt: skip
BAD_NAMES = ["..", ".", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\nb", "a\x00b", "x" * 1001, "x" * 201,
             "\ud800", "a\u202eb", "a\r\nSet-Cookie: x=1"]  # fmt: skip
NASTY = ["'; DROP TABLE clientjobs; --", '" OR ""="', "1 OR 1=1", "%", "_", "\\", "<script>alert(1)</script>",
         "<img src=x onerror=alert(1)>", "${jndi:ldap://x}", "{{7*7}}", "\u2028", "\U0001f600"]  # fmt: skip
DEEP = 100_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[Scene]:
    with scene_in(tmp_path_factory.mktemp("hostile"), sqlite_template, ca) as scene:
        yield scene


@pytest.fixture(scope="module")
def alice(scene: Scene) -> Person:
    return scene.person("alice")


@pytest.fixture(scope="module")
def ended(scene: Scene, alice: Person) -> int:
    (job,) = scene.submit(alice, ["ended"])
    scene.end(job["id"], {"out.txt": b"mine", "sub/deep.txt": b"deep"})
    found: int = job["id"]
    return found


def raw(scene: Scene, person: Person, method: str, path: str, **more: Any) -> Any:
    """A request whose path is not put in order by anybody on its way."""
    return scene.client().open("/", method=method, headers=person.headers, environ_overrides={
        "PATH_INFO": unquoted(path), "RAW_URI": path, "REQUEST_URI": path}, **more)  # fmt: skip


def unquoted(path: str) -> str:
    """As a WSGI server hands it on: once decoded, each byte as a character."""
    return unquote_to_bytes(path).decode("latin-1")


def under_way(scene: Scene, person: Person) -> list[int]:
    """Jobs whose submission has begun and not ended."""
    return [job["id"] for job in scene.call(person, "GET", "/jobs?state=begun").json["jobs"]]


def files_below(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("above", ABOVE)
def test_no_path_leads_out_of_a_jobs_own_files(scene: Scene, alice: Person, ended: int, above: str) -> None:
    begun = scene.begin(alice)
    before = {p: p.read_bytes() for p in map(scene.directory.joinpath, SECRETS[:3])}
    outside = files_below(scene.directory) - files_below(scene.directory / "store")
    for secret in SECRETS:
        name = above.format(secret=secret, directory=str(scene.directory).lstrip("/"))
        for path in (f"/jobs/{ended}/results/{name}", f"{V1}/jobs/{ended}/results/{name}",
                     f"{V1}/jobs/{ended}/live/{name}"):  # fmt: skip
            answer = raw(scene, alice, "GET", path)
            assert answer.status_code in (204, 400, 404), (path, answer.status_code)
            assert len(answer.data) < 3000
            assert not any(content in answer.data for content in before.values())
        for path in (f"/jobs/{begun}/data/{name}", f"{V1}/jobs/{begun}/inputs/{name}"):
            answer = raw(scene, alice, "PUT", path, data=b"overwritten")
            assert answer.status_code in (201, 204, 400, 404), (path, answer.status_code)
    assert {p: p.read_bytes() for p in before} == before
    assert files_below(scene.directory) - files_below(scene.directory / "store") == outside
    scene.call(alice, "POST", "/jobs/kill", json={"ids": [begun]})


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_bad_names_of_inputs_are_refused_for_their_job_alone(scene: Scene, alice: Person, name: str) -> None:
    job = {"description": JOB.format(name="x"), "language": "xrsl", "inputs": [name]}
    good = {"description": REMOTE.format(name="good"), "language": "xrsl"}
    before = under_way(scene, alice)
    body = json.dumps({"jobs": [job, good]})
    answer = scene.call(alice, "POST", "/jobs", data=body, content_type="application/json")
    if answer.status_code == 200:
        refused, fine = answer.json["jobs"]
        assert "error" in refused and fine["state"] == "tosubmit"
    else:
        assert answer.status_code == 400, answer.text
    assert under_way(scene, alice) == before


@pytest.mark.parametrize("word", NASTY)
def test_whatever_a_string_holds_comes_back_as_it_was_and_never_as_html(scene: Scene, alice: Person, word: str) -> None:
    text = REMOTE.format(name=word.replace('"', '""'))
    (made,) = scene.call(alice, "POST", "/jobs", json={"jobs": [{"description": text, "language": "xrsl"}]}).json[
        "jobs"
    ]
    if "error" not in made:
        assert made["name"] == word
        found = scene.call(alice, "GET", "/jobs", query_string={"name": word})
        assert made["id"] in [job["id"] for job in found.json["jobs"]]
        assert all(word in job["name"] for job in found.json["jobs"])
    answers = [
        scene.call(alice, "GET", "/jobs", query_string={"state": word}),
        scene.call(alice, "GET", "/jobs", query_string={"id": word}),
        scene.call(alice, "GET", f"/jobs/1/results/{word}"),
        scene.client().get("/jobs", query_string={"client": word, "name": word}, headers=alice.headers),
        scene.client().patch("/jobs", query_string={"action": word}, headers=alice.headers),
        scene.client().get(f"/{word}"),
        scene.client().get("/info", headers={"Authorization": f"Bearer {word.encode().decode('latin-1')}"}),
        scene.client().post("/jobs", json=[{"clusterlist": [word]}], headers=alice.headers),
        scene.client().post("/proxies", json={"cert": word, "chain": word}),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        assert answer.content_type in ("application/json", "application/problem+json"), answer.text
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert json.loads(answer.data) is not None
    assert scene.rows("users")["users"], "the tables are still there"


@pytest.mark.parametrize("body", [
    b"[" * DEEP, b'{"jobs":' * DEEP, b"9" * DEEP, b'{"jobs":[' + b"1e999," * 10 + b"1]}", b'{"jobs": NaN}', b"\xff\xfe",
    b'{"jobs": "\\ud800"}', b"", b"null", b"[]", b'"x"', b"{}", b'{"jobs": {}}', b'{"jobs": [[]]}', b'{"ids": [1e30]}',
    b'{"jobs": [], "jobs": []}', b'{"jobs": [' + b"{}," * 2000 + b"{}]}", b"{" + b'"a": 1,' * DEEP + b'"b": 1}',
], ids=lambda b: ascii(b[:20]))  # fmt: skip
def test_json_that_is_made_to_hurt_is_refused(scene: Scene, alice: Person, body: bytes) -> None:
    before = scene.rows("clientjobs")
    for method, path in [("POST", f"{V1}/jobs"), ("POST", f"{V1}/jobs/confirm"), ("POST", f"{V1}/jobs/kill"),
                         ("POST", f"{V1}/proxies"), ("PUT", f"{V1}/proxies"), ("POST", "/proxies"), ("PUT", "/proxies"),
                         ("POST", "/jobs"), ("PUT", "/jobs")]:  # fmt: skip
        answer = scene.client().open(
            path, method=method, data=body, headers=alice.headers, content_type="application/json"
        )
        assert answer.status_code in (200, 400, 401, 413), (path, answer.text)
        assert answer.status_code != 200 or (path == "/jobs" and b'"id":' not in answer.data), (path, answer.text)
        assert len(answer.data) < 100_000
    assert scene.rows("clientjobs") == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html", "application/xml", "application/x-www-form-urlencoded", ""]
)
def test_other_content_types_are_refused(scene: Scene, alice: Person, kind: str) -> None:
    for path in ("/jobs", "/jobs/confirm", "/jobs/kill", "/proxies"):
        answer = scene.call(alice, "POST", path, data=b'{"all": true}', content_type=kind)
        assert answer.status_code == 415, answer.text
    assert scene.call(alice, "POST", "/jobs", data=b"", content_type="multipart/form-data").status_code == 400


def test_the_old_client_may_send_files_as_whatever_it_likes(scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    path = f"/jobs/{job}/data/run.sh"
    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = scene.client().put(path, data=SCRIPT, content_type=kind, headers=alice.headers)
        assert answer.status_code == 204, answer.text
    (file,) = scene.call(alice, "GET", f"/jobs/{job}").json["inputs"]
    assert file["size"] == len(SCRIPT)


@pytest.mark.parametrize("damage", [
    (b"--b\r\n", b"--c\r\n"), (b"--b--", b""), (b"Content-Disposition", b"X"), (b"\r\n\r\n", b"\r\n"),
    (b'name="request"', b"name="), (b"--b--", b"--b"), (b"form-data", b"\xff" * 100),
    (b"--b\r\n", b"--b" + b" " * 9999), (b'name="request"', b'name="' + b"x" * 2_000_000 + b'"'),
])  # fmt: skip
def test_multipart_that_is_broken_is_refused_and_leaves_nothing(
    scene: Scene, alice: Person, damage: tuple[bytes, bytes]
) -> None:
    jobs = {"jobs": [{"description": JOB.format(name="m"), "language": "xrsl", "inputs": ["run.sh"]}]}
    good = b"".join([
        b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n', json.dumps(jobs).encode(), b"\r\n",
        b'--b\r\nContent-Disposition: form-data; name="0"; filename="run.sh"\r\n\r\n', SCRIPT, b"\r\n--b--\r\n",
    ])  # fmt: skip
    bad = good.replace(*damage, 1)
    assert bad != good
    before = under_way(scene, alice)
    answer = scene.call(alice, "POST", "/jobs", data=bad, content_type="multipart/form-data; boundary=b")
    assert answer.status_code in (400, 413), answer.text
    assert under_way(scene, alice) == before


def test_files_beyond_the_limits_are_refused_and_leave_nothing(scene: Scene, alice: Person) -> None:
    job = scene.begin(alice)
    large = b"x" * 2_000_001
    old = scene.client().put(f"/jobs/{job}/data/run.sh", data=large, headers=alice.headers)
    new = scene.call(alice, "PUT", f"/jobs/{job}/inputs/run.sh", data=large)
    assert (old.status_code, new.status_code) == (413, 413)
    assert scene.call(alice, "GET", f"/jobs/{job}").json["inputs"] == []
    description = {"description": REMOTE.format(name="x") + " " * 200_000, "language": "xrsl"}
    (refused,) = scene.call(alice, "POST", "/jobs", json={"jobs": [description]}).json["jobs"]
    assert "error" in refused
    huge = b'{"jobs": "' + b"x" * (17 << 20) + b'"}'
    assert scene.call(alice, "POST", "/jobs", data=huge, content_type="application/json").status_code == 413


def test_results_with_hostile_names_cannot_leave_the_directory_they_are_unpacked_in(
    scene: Scene, alice: Person
) -> None:
    (job,) = scene.submit(alice, ["tar"])
    names = ["a\\..\\b", "-rf", "name with $(id)", "\u00fc/\u00e4", "x" * 180, "c:evil", "CON", "link -> there"]
    scene.end(job["id"], dict.fromkeys(names, b"x"))
    answer = scene.call(alice, "GET", f"/jobs/{job['id']}/results.tar")
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        members = archive.getmembers()
        assert sorted(m.name for m in members) == sorted(names)
        for member in members:
            tarfile.data_filter(member, str(scene.directory / "there"))


def test_a_replayed_request_does_nothing_twice(scene: Scene, alice: Person) -> None:
    jobs = [{"clusterlist": ["default"]}]
    (begun,) = scene.client().post("/jobs", json=jobs, headers=alice.headers).json
    path = f"/jobs/{begun['id']}/data/run.sh"
    desc = [{"id": begun["id"], "desc": JOB.format(name="replayed")}]
    for _ in range(2):
        assert scene.client().put(path, data=SCRIPT, headers=alice.headers).status_code == 204
    confirmed = [scene.client().put("/jobs", json=desc, headers=alice.headers).json for _ in range(2)]
    assert confirmed[0] == confirmed[1] == [{"id": begun["id"], "name": "replayed"}]
    other = [{"id": begun["id"], "desc": JOB.format(name="another")}]
    (refused,) = scene.client().put("/jobs", json=other, headers=alice.headers).json
    assert "already" in refused["msg"]
    key = {"key": "k", "jobs": [{"description": REMOTE.format(name="k"), "language": "xrsl"}]}
    answers = [scene.call(alice, "POST", "/jobs", json=key).json for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


def test_unknown_paths_and_methods_are_answered_in_the_words_of_their_interface(scene: Scene, alice: Person) -> None:
    for path, word in (("/nowhere", "msg"), (f"{V1}/nowhere", "detail")):
        answer = scene.client().get(path)
        assert answer.status_code == 404 and answer.json[word]
    for path, word in (("/info", "msg"), (f"{V1}/info", "detail")):
        answer = scene.client().delete(path)
        assert answer.status_code == 405 and answer.json[word] and "GET" in answer.headers["Allow"]


def test_a_failure_of_ours_is_told_without_its_words(
    scene: Scene, alice: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(scene.db), "read", lambda *_: 1 / 0)
    for path, word in (("/info", "msg"), (f"{V1}/info", "detail")):
        answer = scene.client().get(path, headers=alice.headers)
        assert answer.status_code == 500
        assert "division" not in answer.text
        number = answer.headers["X-Request-Id"]
        assert number in answer.json[word]
        assert number in caplog.text and "ZeroDivisionError" in caplog.text

"""Who may do what: every route of the app, with every kind of token. Only what should pass passes.

A new route has to be added to REQUESTS, or the first test fails. Pages know no tokens: see `test_pages_access`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from act import x509
from act.simulation import TestCA
from act.web.models import MAX_ID
from tests.integration.web_scene import JOB, SCRIPT, Person, Scene, chain_of, scene_in

SECRET = "only-alice-knows-this"
BEGUN, ENDED, NONE = "begun", "ended", "none"
ID = f"<int(max={MAX_ID}):job_id>"
OPEN = {"v1.health", "v1.openapi", "v1.offer", "legacy.offer"}
NO_TOKENS = {"pages", "metrics"}  # parts of the app that let people in by other means
OWN_TOKEN = {"v1.accept", "v1.abandon", "legacy.accept", "legacy.abandon"}  # speak of the token alone


@dataclass(frozen=True)
class Asked:
    """One request. job: which kind it is about; statuses: of the owner's success."""

    job: str = NONE
    statuses: tuple[int, ...] = (200,)
    path: str = ""
    more: Callable[[int], Mapping[str, Any]] = lambda _: {}


def ids(job: int) -> Mapping[str, Any]:
    return {"json": {"ids": [job]}}


def query(job: int) -> Mapping[str, Any]:
    return {"query_string": {"id": str(job)}}


NEW = {"description": JOB.format(name="new"), "language": "xrsl", "inputs": ["run.sh"]}
# (endpoint, method) -> request
REQUESTS: Mapping[tuple[str, str], Asked] = {
    ("v1.health", "GET"): Asked(),
    ("v1.openapi", "GET"): Asked(),
    ("v1.info", "GET"): Asked(),
    ("v1.offer", "POST"): Asked(statuses=(201,)),
    ("v1.accept", "PUT"): Asked(more=lambda _: {"json": {"chain": "x"}}),
    ("v1.abandon", "DELETE"): Asked(statuses=(204,)),
    ("v1.revoke", "DELETE"): Asked(statuses=(204,)),
    ("v1.submit", "POST"): Asked(more=lambda _: {"json": {"jobs": [NEW]}}),
    ("v1.upload", "PUT"): Asked(BEGUN, (201,), "run.sh", lambda _: {"data": SCRIPT}),
    ("v1.confirm", "POST"): Asked(BEGUN, more=ids),
    ("v1.find", "GET"): Asked(ENDED, more=query),
    ("v1.one", "GET"): Asked(ENDED),
    ("v1.explain", "GET"): Asked(ENDED),
    ("v1.kill", "POST"): Asked(BEGUN, more=ids),
    ("v1.resubmit", "POST"): Asked(ENDED, more=ids),
    ("v1.fetch", "POST"): Asked(ENDED, more=ids),
    ("v1.clean", "POST"): Asked(ENDED, more=ids),
    ("v1.results", "GET"): Asked(ENDED),
    ("v1.results_tar", "GET"): Asked(ENDED),
    ("v1.result", "GET"): Asked(ENDED, path="out.txt"),
    ("v1.live", "GET"): Asked(ENDED, path="out.txt"),
    ("legacy.offer", "POST"): Asked(),
    ("legacy.accept", "PUT"): Asked(more=lambda _: {"json": {"cert": "x", "chain": "x"}}),
    ("legacy.abandon", "DELETE"): Asked(statuses=(204,)),
    ("legacy.info", "GET"): Asked(),
    ("legacy.begin", "POST"): Asked(more=lambda _: {"json": [{"clusterlist": ["default"]}]}),
    ("legacy.upload", "PUT"): Asked(BEGUN, (204,), "run.sh", lambda _: {"data": SCRIPT}),
    ("legacy.confirm", "PUT"): Asked(BEGUN, more=lambda i: {"json": [{"id": i, "desc": JOB.format(name="x")}]}),
    ("legacy.find", "GET"): Asked(ENDED, more=lambda i: {"query_string": {"id": str(i), "client": "id,jobname"}}),
    ("legacy.steer", "PATCH"): Asked(BEGUN, more=lambda i: {"query_string": {"id": str(i), "action": "cancel"}}),
    ("legacy.clean", "DELETE"): Asked(ENDED, more=query),
    ("legacy.results", "GET"): Asked(ENDED),
    ("legacy.result", "GET"): Asked(ENDED, path="out.txt"),
}  # fmt: skip
GUARDED = [what for what in REQUESTS if what[0] not in OPEN]


class World:
    """Alice has a job that waits for its file, and one that has ended; bob has nothing."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.people = {name: scene.person(name) for name in ("alice", "bob", "carol")}
        self.alice = self.people["alice"]
        self.pending = scene.offer(scene.proxy_of("alice"))["token"]
        self.own_jobs(self.alice)

    def session(self, name: str, what: tuple[str, str]) -> Person:
        """Somebody; one whom nobody else needs, where all sessions will end."""
        return self.scene.person("dora") if what[0] == "v1.revoke" else self.people[name]

    def own_jobs(self, person: Person) -> None:
        """From now on it is about new jobs of this person's."""
        self.jobs = {BEGUN: self.scene.begin(person, SECRET), NONE: 0}
        (ended,) = self.scene.submit(person, [SECRET])
        self.jobs[ENDED] = ended["id"]
        self.scene.end(ended["id"], {"out.txt": SECRET.encode()})

    def ask(self, what: tuple[str, str], token: str | None) -> TestResponse:
        asked = REQUESTS[what]
        job = self.jobs[asked.job]
        path = path_of(self, what).replace("<path:name>", asked.path).replace(ID, str(job))
        headers = {} if token is None else {"Authorization": token}
        return self.scene.client().open(path, method=what[1], headers=headers, **asked.more(job))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, ca: TestCA) -> Iterator[World]:
    with scene_in(tmp_path_factory.mktemp("access"), sqlite_template, ca) as scene:
        yield World(scene)


@pytest.fixture(scope="module")
def bad_tokens(world: World) -> Mapping[str, str | None]:
    """Tokens that open nothing."""
    scene = world.scene
    gone = scene.person("alice")
    assert scene.call(gone, "DELETE", "/proxies").status_code == 204
    whole = world.alice.token
    return {
        "none": None,
        "empty": "Bearer ",
        "no scheme": whole,
        "another scheme": f"Basic {whole}",
        "garbage": "Bearer garbage.of.mine",
        "unsigned": f"Bearer {whole.rpartition('.')[0]}.",
        "changed": f"Bearer {whole[:-12]}{'A' * 12}",
        "expired": f"Bearer {scene.expired(whole)}",
        "revoked": f"Bearer {gone.token}",
    }


def endpoints(world: World) -> set[tuple[str, str]]:
    return {
        (rule.endpoint, method)
        for rule in world.scene.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.partition(".")[0] not in NO_TOKENS
    }


def test_every_route_is_tested(world: World) -> None:
    assert endpoints(world) == set(REQUESTS)


@pytest.mark.parametrize("what", GUARDED, ids=str)
def test_without_a_good_token_nothing_passes_and_nothing_changes(
    world: World, bad_tokens: Mapping[str, str | None], what: tuple[str, str]
) -> None:
    before = world.scene.rows()
    for kind, token in bad_tokens.items():
        if kind == "revoked" and what[1] == "DELETE" and what[0] in OWN_TOKEN:
            continue  # to end once more what has ended is no error: clients send it again when a connection breaks
        answer = world.ask(what, token)
        assert answer.status_code == 401, (kind, answer.text)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert SECRET not in answer.text
        told = answer.json["detail"] if what[0].startswith("v1.") else answer.json["msg"]
        assert told, kind
    assert world.scene.rows() == before


@pytest.mark.parametrize("what", [w for w in GUARDED if w[0] not in OWN_TOKEN], ids=str)
def test_a_pending_token_is_good_for_nothing_but_its_hand_over(world: World, what: tuple[str, str]) -> None:
    before = world.scene.rows()
    answer = world.ask(what, f"Bearer {world.pending}")
    assert answer.status_code == 401, answer.text
    assert SECRET not in answer.text
    assert world.scene.rows() == before


@pytest.mark.parametrize("what", [w for w in GUARDED if w[0] not in OWN_TOKEN], ids=str)
def test_what_is_another_users_is_neither_seen_nor_touched(world: World, what: tuple[str, str]) -> None:
    bob = world.session("bob", what)
    tables = ("clientjobs", "clientfiles", "cejobs", "results", "watches", "events", "proxies", "usercredentials")
    before = world.scene.rows(*tables)
    answer = world.ask(what, f"Bearer {bob.token}")
    assert SECRET not in answer.text
    if ID in path_of(world, what):
        assert answer.status_code == 404, answer.text
    after = world.scene.rows(*tables)
    for table, rows in before.items():
        assert set(map(repr, rows)) <= set(map(repr, after[table])), f"{what} changed {table} of alice"


def path_of(world: World, what: tuple[str, str]) -> str:
    return next(r.rule for r in world.scene.app.url_map.iter_rules() if r.endpoint == what[0])


@pytest.mark.parametrize("what", [w for w in GUARDED if w[0] not in OWN_TOKEN], ids=str)
def test_the_owner_passes(world: World, what: tuple[str, str]) -> None:
    carol = world.session("carol", what)
    world.own_jobs(carol)
    answer = world.ask(what, f"Bearer {carol.token}")
    assert answer.status_code in REQUESTS[what].statuses, answer.text
    world.own_jobs(world.alice)
    if what[0] in ("v1.find", "v1.one", "v1.results_tar", "v1.result", "v1.live", "legacy.find", "legacy.result"):
        assert SECRET in answer.text


def test_a_pending_token_ends_its_own_hand_over_only(world: World) -> None:
    scene = world.scene
    proxy = scene.proxy_of("carol")
    first, second = scene.offer(proxy), scene.offer(scene.proxy_of("alice"))
    signed = x509.sign_request(first["request"].encode(), proxy, 40000).decode()
    crossed = scene.client().put(
        "/api/v1/proxies", json={"chain": signed}, headers={"Authorization": f"Bearer {second['token']}"}
    )
    assert crossed.status_code == 400, crossed.text
    body = {"cert": signed, "chain": chain_of(proxy)}
    answer = scene.client().put("/proxies", json=body, headers={"Authorization": f"Bearer {first['token']}"})
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"token"}


def test_revoking_ends_all_sessions_of_the_caller_and_no_others(world: World) -> None:
    scene = world.scene
    first, second = scene.person("dora"), scene.person("dora")
    assert scene.call(first, "DELETE", "/sessions").status_code == 204
    assert [scene.call(p, "GET", "/info").status_code for p in (first, second, world.alice)] == [401, 401, 200]

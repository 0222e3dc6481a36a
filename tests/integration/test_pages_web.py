"""The pages of queues, CEs, users and jobs as a browser gets them: who sees what, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from act.control import apply
from act.db import ces, orders, results
from act.db.results import ResultFile
from act.errors import StorageUnavailable
from act.pages import acting
from act.pages.render import ROOT
from act.storage import Store, result_name
from act_atlas.joblog import joblog_name
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.integration.visitor import Visitor, serve, words

HOSTILE = "<script>alert(1)</script>'\"&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
def town(running: PandaTower) -> Iterator[PandaTower]:
    """A tower that one may look at."""
    serve(running.directory / "aCTConfigARC.xml", running.db)
    yield running


def visit(tower: PandaTower, name: str = "", *, operator: bool = False, pages: str = "open") -> Visitor:
    return Visitor(serve(tower.directory / "aCTConfigARC.xml", tower.db, pages), tower.db, name, operator=operator)


def ann(tower: PandaTower) -> Visitor:
    return visit(tower, "ann", operator=True)


# -- reading ---------------------------------------------------------------------------------------------------------


def test_each_page_shows_what_the_tower_has(town: PandaTower) -> None:
    pandaid = town.submitted()
    me = visit(town)
    assert f"Jobs Slots starting {QUEUE} 1 1 All 1 0 1" in me.see("/queues")
    assert "no jobs" not in me.see(f"/queues/{QUEUE}") and "jobs are asked for" in me.see(f"/queues/{QUEUE}")
    assert "ce1.example.org:443/arex well 1 1" in me.see("/ces")
    ce = me.see("/ces/1")
    assert "1 waiting of at most 500, 1 in all of at most 20000" in ce and "CE https://ce1" in ce
    assert "Nobody has been here yet" in me.see("/users")
    assert f"{pandaid} starting submitted" in me.see("/jobs?state=submitted")
    job = me.see(f"/jobs/{pandaid}")
    assert "runs the job once its inputs are there" in job and "getjob" in job and "Published logs" in job


def test_what_is_not_there_is_told_on_a_page(town: PandaTower) -> None:
    me = visit(town)
    for path in ("/queues/NO-SUCH", "/ces/99", "/jobs/12345", "/jobs/client:5", "/jobs/x", "/ces/x"):
        answer = me.ask(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/html"), path


def test_a_job_s_number_alone_leads_to_its_page(town: PandaTower) -> None:
    pandaid = town.submitted()
    answer = visit(town).ask(f"/jobs?name={pandaid}")
    assert (answer.status_code, answer.location) == (303, f"{ROOT}/jobs/{pandaid}")


def test_ended_jobs_are_found_in_the_archive(town: PandaTower) -> None:
    pandaid = town.submitted()
    town.say(pandaid, "finished")
    town.pass_time(301)
    town.once("heartbeat")
    town.pass_time(3600)
    town.once("cleaner-arc", "archiver")
    me = visit(town)
    assert f"{pandaid} done {QUEUE}" in me.see("/archive")
    assert f"{pandaid}" not in me.see("/archive?state=donefailed") and "None." in me.see("/archive?queue=OTHER")
    assert "no length of time" in me.see("/archive?newer=soon")
    assert "in the archive: done" in me.see(f"/jobs/{pandaid}")


def test_a_search_that_makes_no_sense_is_told_beside_its_form(town: PandaTower) -> None:
    answer = visit(town).ask("/jobs?older=soon&queue=Q%22x")
    assert answer.status_code == 200
    assert "no length of time" in words(answer.text) and 'value="Q&#34;x"' in answer.text
    for wrong in ("state=running&from=nowhere", "share=nobody"):
        told = visit(town).ask(f"/jobs?{wrong}")
        assert 'role="alert"' in told.text and "<tbody>" not in told.text, wrong


def test_markup_in_names_and_errors_is_inert(town: PandaTower) -> None:
    pandaid = town.submitted()
    town.say(pandaid, "failed", error=HOSTILE, node=HOSTILE)
    town.db.run("t", lambda c: ces.failed(c, 1, HOSTILE, HOSTILE, threshold=1, open_s=9, max_open_s=9))
    town.db.run("t", lambda c: ces.ensure(c, "arc", f"https://x/{HOSTILE}", HOSTILE))
    me = ann(town)
    paths = ("/ces", "/ces/1", "/ces/2", f"/jobs/{pandaid}", f"/jobs?queue={HOSTILE}", "/jobs?older=0s",
             f"/jobs?older=0s&error={HOSTILE}", f"/users?text={HOSTILE}", f"/queues/{HOSTILE}",
             f"/jobs/{HOSTILE}")  # fmt: skip
    for path in paths:
        answer = me.ask(path)
        assert "<script>alert" not in answer.text, path
    for path in ("/ces", "/ces/1", "/ces/2", f"/jobs/{pandaid}"):
        assert ESCAPED in me.ask(path).text, path
    sent = me.send("/orders", kind="ce", name=f"https://x/{HOSTILE}", what="drain", why=HOSTILE, sure="1")
    assert ESCAPED in sent.text and "<script>alert" not in sent.text + me.ask("/ces/2").text


def test_requests_and_files_are_for_operators(town: PandaTower) -> None:
    pandaid = town.submitted()
    assert "The request that the CE gets" not in visit(town).see(f"/jobs/{pandaid}")
    assert "The request that the CE gets" not in visit(town, "bob").see(f"/jobs/{pandaid}")
    assert "The request that the CE gets" in ann(town).see(f"/jobs/{pandaid}")


def test_strangers_may_be_kept_out(town: PandaTower) -> None:
    town.submitted()
    shut = visit(town, pages="login")
    for path in ("/queues", "/ces", "/ces/1", "/users", "/jobs", "/jobs/1", "/jobs/1/logs/1.out"):
        answer = shut.ask(path)
        assert (answer.status_code, answer.location) == (303, f"{ROOT}/login"), path


# -- logs ------------------------------------------------------------------------------------------------------------


def test_a_log_comes_as_text_that_no_browser_shows_as_a_page(town: PandaTower) -> None:
    pandaid = town.submitted()
    with Store(town.directory / "joblog").write(joblog_name(town.job(pandaid), "out")) as out:
        out.write(HOSTILE.encode())
    answer = visit(town).ask(f"/jobs/{pandaid}/logs/{pandaid}.out")
    assert (answer.status_code, answer.data) == (200, HOSTILE.encode())
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f"attachment; filename={pandaid}.out"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_only_logs_of_the_job_are_served(town: PandaTower) -> None:
    one, other = town.submitted(), town.submitted()
    (town.directory / "joblog" / "secret.out").write_text("secret")
    me = visit(town)
    assert me.ask(f"/jobs/{one}/logs/{one}.jdl").status_code == 200
    tricks = (f"{other}.jdl", "..", f"../{QUEUE}/{other}.jdl", "..%2f..%2fsecret.out", "%2e%2e%2fsecret.out",
              "secret.out", f"{one}.jdl%00", f"/{one}.jdl", "%252e%252e%252fsecret.out", f"{one}.JDL", "")  # fmt: skip
    for name in tricks:
        answer = me.ask(f"/jobs/{one}/logs/{name}")
        assert answer.status_code in (404, 308) and b"secret" not in answer.data.replace(b"secret.out", b""), name
    for job in ("..", "%2e%2e", f"0{one}", "client:1", f"{one}%20", "-1"):
        assert me.ask(f"/jobs/{job}/logs/{one}.jdl").status_code in (404, 308), job


def test_files_of_attempts_are_served_to_operators_by_their_noted_names_only(town: PandaTower) -> None:
    pandaid = town.submitted()
    attempt = town.job(pandaid).cejob_id
    store = Store(town.directory / "store")
    for name in ("out.txt", "unknown.txt"):
        with store.write(result_name(attempt, name)) as out:
            out.write(b"<b>hello")
    town.db.run("t", lambda c: results.note(c, attempt, [ResultFile("out.txt", 8, "00" * 32)]))
    path = f"/jobs/{pandaid}/files/{attempt}/out.txt"
    answer = ann(town).ask(path)
    assert (answer.data, answer.headers["Content-Type"]) == (b"<b>hello", "text/plain; charset=utf-8")
    assert visit(town).ask(path).status_code == 403
    assert visit(town, "bob").ask(path).status_code == 403
    for wrong in (f"{attempt}/unknown.txt", f"{attempt + 1}/out.txt", f"{attempt}/../{attempt}/out.txt"):
        assert ann(town).ask(f"/jobs/{pandaid}/files/{wrong}").status_code == 404, wrong


# -- acting ----------------------------------------------------------------------------------------------------------


def order_of(town: PandaTower) -> list[tuple[str, str, str, str]]:
    return [(o.kind, o.what, o.who, o.why) for o in town.db.read("t", orders.in_force)]


DRAIN = {"kind": "queue", "name": QUEUE, "what": "drain", "why": "cooling"}


def test_forms_are_for_operators_with_a_token_of_their_session(town: PandaTower) -> None:
    pandaid = town.submitted()
    kill = {"job": str(pandaid), "verb": "kill", "why": "no use", "sure": "1"}
    me = ann(town)
    evil = {"Origin": "https://evil.example.org"}
    for path, fields in (("/orders", {**DRAIN, "sure": "1"}), ("/orders/end", DRAIN), ("/jobs/act", kill)):
        assert visit(town).send(path, **fields).location == f"{ROOT}/login"
        bob = visit(town, "bob")
        assert bob.send(path, csrf=me.csrf, **fields).status_code == 403
        assert bob.send(path, csrf="", **fields).status_code == 403
        assert me.send(path, csrf="", **fields).status_code == 403
        assert me.send(path, csrf=ann(town).csrf, **fields).status_code == 403
        assert me.send(path, headers=evil, **fields).status_code == 403
        assert me.ask(path).status_code in (404, 405)
    assert (order_of(town), town.job(pandaid).state) == ([], "starting")


def test_readers_are_offered_no_forms(town: PandaTower) -> None:
    pandaid = town.submitted()
    for path in ("/ces/1", f"/queues/{QUEUE}", "/users", f"/jobs/{pandaid}", "/jobs?older=0s"):
        assert "why" not in visit(town, "bob").ask(path).text.partition("<main")[2], path
        assert 'name="why"' in ann(town).ask(path).text, path


def test_an_order_is_told_first_and_given_when_that_was_seen(town: PandaTower) -> None:
    me = ann(town)
    told = me.send("/orders", **DRAIN, until="2h")
    assert f"queue {QUEUE}: takes no new jobs until" in words(told.text) and order_of(town) == []
    done = me.confirm(told, "/orders")
    assert "Done" in words(done.text)
    assert order_of(town) == [("queue", "drain", "operator-ann", "cooling")]
    assert "draining cooling operator-ann" in me.see(f"/queues/{QUEUE}")
    back = me.send("/orders/end", kind="queue", name=QUEUE, what="drain")
    assert "no longer" in words(back.text) and len(order_of(town)) == 1
    me.send("/orders/end", kind="queue", name=QUEUE, what="drain", why="cold again", sure="1")
    assert order_of(town) == []
    history = town.db.read("t", orders.history)
    assert [(e.event, e.who) for e in history] == [("resume", "operator-ann"), ("drain", "operator-ann")]
    assert "cold again" in history[0].why


def test_an_order_that_makes_no_sense_is_refused_with_the_reason(town: PandaTower) -> None:
    me = ann(town)
    wrong = [
        ({"name": "NO-SUCH"}, "no queue 'NO-SUCH'"),
        ({"what": "explode"}, "is no order"),
        ({"kind": "moon"}, "is no kind of order"),
        ({"what": "max_jobs", "value": "many"}, "no whole number"),
        ({"what": "max_jobs"}, "no whole number"),
        ({"until": "yesterday"}, "is no time"),
        ({"why": " "}, "say why"),
    ]
    for changes, told in wrong:
        answer = me.send("/orders", **DRAIN | changes, sure="1")
        assert answer.status_code == 400 and told in words(answer.text), changes
    assert order_of(town) == []


def test_what_would_happen_to_jobs_is_shown_before_it_does(town: PandaTower) -> None:
    one, other = town.taken(), town.taken()
    me = ann(town)
    told = me.send("/jobs/act", job=[str(one), str(other)], verb="kill", why="wrong input")
    assert "It would be done to 2 jobs ; nothing has been done yet" in words(told.text)
    assert town.job(one).state == "sent"
    done = me.confirm(told, "/jobs/act")
    assert "It was done to 2 jobs" in words(done.text)
    assert {town.job(i).state for i in (one, other)} == {"cancelled"}
    assert "wrong input" in me.see(f"/jobs/{one}") and "operator-ann" in me.see(f"/jobs/{one}")


def test_all_that_a_search_finds_is_acted_on_only_when_that_is_said(town: PandaTower) -> None:
    other, one = town.submitted(), town.taken()
    me = ann(town)
    assert "no job is chosen" in words(me.send("/jobs/act", state="sent", verb="kill", why="x").text)
    assert "no job is chosen" in words(me.send("/jobs/act", all="1", verb="kill", why="x").text)
    me.send("/jobs/act", all="1", state="sent", verb="kill", why="x", sure="1")
    assert (town.job(one).state, town.job(other).state) == ("cancelled", "starting")


def test_jobs_that_it_cannot_be_done_to_are_told_with_the_reason(town: PandaTower) -> None:
    pandaid = town.submitted()
    town.say(pandaid, "running")
    answer = ann(town).send("/jobs/act", job=str(pandaid), verb="requeue", why="x", sure="1")
    assert "It was done to 0 jobs" in words(answer.text) and "must not run twice" in words(answer.text)


def test_one_form_acts_on_a_bounded_number_of_jobs(town: PandaTower, monkeypatch: pytest.MonkeyPatch) -> None:
    pandaids = town.order(3)
    town.once("getjob")
    monkeypatch.setattr(acting, "MOST", 2)
    monkeypatch.setattr(apply, "PAGE", 1)
    kill = {"all": "1", "state": "sent", "verb": "kill", "why": "x", "sure": "1"}
    answer = ann(town).send("/jobs/act", **kill)
    assert "It was done to 2 jobs" in words(answer.text) and "more such jobs" in words(answer.text)
    assert sorted(town.job(i).state for i in pandaids) == ["cancelled", "cancelled", "sent"]


def test_a_job_has_its_page_where_logs_cannot_be_read(town: PandaTower, monkeypatch: pytest.MonkeyPatch) -> None:
    pandaid = town.submitted()

    def broken(*_: object) -> None:
        raise StorageUnavailable("the disk is gone")

    monkeypatch.setattr(Store, "size", broken)
    assert "The published logs cannot be read: the disk is gone" in visit(town).see(f"/jobs/{pandaid}")


def test_priorities_and_places_are_numbers(town: PandaTower) -> None:
    pandaid = town.taken()
    town.once("panda2arc")
    me = ann(town)
    assert me.send("/jobs/act", job=str(pandaid), verb="priority", why="x", value="high").status_code == 400
    assert me.send("/jobs/act", job=str(pandaid), verb="move", why="x", place="").status_code == 400
    me.send("/jobs/act", job=str(pandaid), verb="priority", why="x", value="77", sure="1")
    assert town.get(town.job(pandaid).cejob_id).priority == 77

"""Files that jobs leave, and those of running jobs: what is in the store is noted, and bounded, and goes in time."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from act.daemons import fetcher
from act.db import cejobs, results
from act.db.engine import AnyRow
from act.db.results import ResultFile
from act.errors import OutputMissing
from act.states import Event
from act.storage import Store, live_name, result_name
from tests.fakes import unreachable
from tests.integration.conftest import MakeTower
from tests.kit import SPEC
from tests.tower import Tower

KEPT = replace(SPEC, fetch=("out/", "stdout.txt"), keep=True)
FILES = {"out/a": b"a", "out/deep/b": b"bb", "stdout.txt": b"said", "other": b"not asked for"}


@pytest.fixture
def job(tower: Tower) -> int:
    """An attempt that runs."""
    return running(tower)


def running(tower: Tower, **changes: object) -> int:
    (job,) = tower.submit(spec=replace(KEPT, **changes))  # type: ignore[arg-type]
    tower.once("submitter")
    say(tower, job, "running")
    return job


def say(tower: Tower, job: int, state: str) -> None:
    tower.sites[0].jobs[tower.get(job).ce_job_id].state = state
    tower.pass_time(100)
    tower.once("status")


def store(tower: Tower) -> Store:
    return Store(tower.config.paths.store_dir)


def noted(tower: Tower, job: int) -> list[ResultFile]:
    return tower.db.read("t", lambda c: results.brought(c, job))


def last_word(tower: Tower, job: int) -> str:
    return str(tower.db.read("t", lambda c: cejobs.history(c, "cejob", [job]))[-1].why)


def in_words(files: dict[str, bytes]) -> list[ResultFile]:
    return [ResultFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(files.items())]


# -- ended jobs --------------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched_file_by_file_and_each_is_noted(tower: Tower, job: int) -> None:
    tower.sites[0].files = dict(FILES)
    say(tower, job, "finished")
    tower.once("fetcher")
    wanted = {name: data for name, data in FILES.items() if name != "other"}
    assert (tower.get(job).state, noted(tower, job)) == ("done", in_words(wanted))
    assert {name: store(tower).read(result_name(job, name)) for name in wanted} == wanted
    assert len(store(tower).list()) == len(wanted)


def test_all_there_is_can_be_asked_for(tower: Tower) -> None:
    job = running(tower, fetch=("/",))
    tower.sites[0].files = dict(FILES)
    say(tower, job, "finished")
    tower.once("fetcher")
    assert noted(tower, job) == in_words(FILES)


def test_a_folder_without_files_is_noted(tower: Tower, job: int) -> None:
    say(tower, job, "finished")
    tower.once("fetcher")
    assert last_word(tower, job) == "the CE has no files in out/; the CE has no stdout.txt"


def test_files_that_the_application_keeps_outlive_the_job_at_the_ce(tower: Tower, job: int) -> None:
    tower.sites[0].files = dict(FILES)
    say(tower, job, "finished")
    tower.once("fetcher")
    tower.db.run("t", lambda c: cejobs.wish(c, [job], Event.CLEAN, who="application", why="test"))
    tower.once("cleaner")
    assert tower.get(job).state == "archived"
    assert store(tower).read(result_name(job, "out/a")) == b"a"
    assert len(noted(tower, job)) == 3


def test_files_that_nobody_keeps_are_not_noted(tower: Tower) -> None:
    job = running(tower, keep=False)
    tower.sites[0].files = dict(FILES)
    say(tower, job, "finished")
    tower.once("fetcher")
    assert (tower.get(job).state, noted(tower, job)) == ("done", [])


def test_a_job_that_leaves_too_much_is_fetched_up_to_there(new_tower: MakeTower) -> None:
    tower = new_tower(extra="<polling><fetch_total_mb>1</fetch_total_mb></polling>")
    job = running(tower)
    tower.sites[0].files = {"out/a": bytes(600_000), "out/b": bytes(600_000), "out/c": b"", "stdout.txt": b""}
    say(tower, job, "finished")
    tower.once("fetcher")
    assert [f.name for f in noted(tower, job)] == ["out/a"]
    assert "out/b and what came after it" in last_word(tower, job)
    assert "polling/fetch_total_mb" in last_word(tower, job)
    assert store(tower).list() == [result_name(job, "out/a")]


def test_what_has_been_brought_before_the_ce_failed_is_not_brought_again(tower: Tower, job: int) -> None:
    tower.sites[0].files = dict(FILES)
    say(tower, job, "finished")
    tower.sites[0].fails("fetch", unreachable(), when=lambda _, name: name == "stdout.txt")
    tower.once("fetcher")
    assert (tower.get(job).state, len(noted(tower, job))) == ("finished", 2)
    tower.sites[0].calls.clear()
    tower.once("fetcher")
    assert (tower.get(job).state, len(noted(tower, job))) == ("done", 3)
    assert tower.sites[0].calls["fetch"] == 1


def test_a_job_with_more_files_than_a_claim_lasts_for_is_fetched_in_parts(
    tower: Tower, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower.sites[0].files = {f"out/{n}": b"x" for n in range(5)}
    say(tower, job, "finished")
    left = iter([True, True, False] * 3)
    monkeypatch.setattr(fetcher.Lease, "has_time_for", lambda *_: next(left))
    sizes = []
    while tower.get(job).state == "finished":
        tower.once("fetcher")
        sizes.append(len(noted(tower, job)))
    assert sizes == [2, 4, 5]
    assert tower.get(job).state == "done"


@pytest.mark.parametrize("name", ["out/.hidden.part", "out/" + "x" * 250, "/".join(["out", *["y" * 99] * 6])])
def test_a_name_that_the_store_does_not_take_is_noted_and_no_trouble(tower: Tower, job: int, name: str) -> None:
    tower.sites[0].files = {name: b"x", "out/good": b"x"}
    say(tower, job, "finished")
    tower.once("fetcher")
    assert [f.name for f in noted(tower, job)] == ["out/good"]
    assert "is not kept" in last_word(tower, job)


def test_a_long_list_of_what_is_missing_is_told_in_short(tower: Tower) -> None:
    job = running(tower, fetch=tuple(f"file{n}" for n in range(50)))
    say(tower, job, "finished")
    tower.once("fetcher")
    assert last_word(tower, job).endswith("; and 40 more")


# -- running jobs ------------------------------------------------------------------------------------------------------


def watch(tower: Tower, job: int, name: str = "stdout.txt", for_s: float = 60) -> None:
    tower.db.run("t", lambda c: results.watch(c, job, name, for_s))


def watched(tower: Tower, job: int, name: str = "stdout.txt") -> AnyRow | None:
    return tower.db.read("t", lambda c: results.watched(c, job, name))


def live(tower: Tower, job: int, name: str = "stdout.txt") -> bytes | None:
    try:
        return store(tower).read(live_name(job, name))
    except OutputMissing:
        return None


def look(tower: Tower, after_s: float = 3) -> None:
    tower.pass_time(after_s)
    tower.once("fetcher")


def test_a_file_that_somebody_looks_at_is_brought_as_it_grows(tower: Tower, job: int) -> None:
    watch(tower, job)
    look(tower)
    assert live(tower, job) is None  # not there yet, which is no trouble
    for content in (b"", b"one", b"one two"):
        tower.sites[0].files["stdout.txt"] = content
        look(tower)
        row = watched(tower, job)
        assert (live(tower, job), row and row.size) == (content, len(content))


def test_nobody_looks_more_often_than_people_can_read(tower: Tower, job: int) -> None:
    tower.sites[0].files["stdout.txt"] = b"one"
    watch(tower, job)
    for _ in range(5):
        tower.once("fetcher")
    assert tower.sites[0].calls["fetch"] == 1


def test_a_copy_goes_when_nobody_looks_any_more(tower: Tower, job: int) -> None:
    tower.sites[0].files["stdout.txt"] = b"one"
    watch(tower, job)
    look(tower)
    look(tower, after_s=61)
    assert (live(tower, job), watched(tower, job), store(tower).list()) == (None, None, [])
    assert tower.daemon("fetcher").lanes() == []


def test_a_wish_lasts_while_it_is_repeated(tower: Tower, job: int) -> None:
    tower.sites[0].files["stdout.txt"] = b"one"
    for _ in range(4):
        watch(tower, job)
        look(tower, after_s=40)
    assert live(tower, job) == b"one"


def test_a_copy_stays_until_the_whole_file_is_there(tower: Tower, job: int) -> None:
    tower.sites[0].files["stdout.txt"] = b"one"
    watch(tower, job)
    look(tower)
    tower.sites[0].fails("fetch", unreachable())
    say(tower, job, "finished")
    watch(tower, job, for_s=600)
    look(tower)
    assert (tower.get(job).state, live(tower, job)) == ("finished", b"one")
    look(tower)
    assert (tower.get(job).state, live(tower, job)) == ("done", None)
    assert store(tower).read(result_name(job, "stdout.txt")) == b"one"


def test_looking_comes_after_what_has_ended_and_its_trouble_does_not_undo_that(tower: Tower, job: int) -> None:
    ended = running(tower)
    tower.sites[0].files = dict(FILES)
    say(tower, ended, "finished")
    watch(tower, job)
    still_runs = tower.get(job).ce_job_id
    tower.sites[0].fails("fetch", unreachable(), when=lambda ce_job_id, _: ce_job_id == still_runs)
    look(tower)
    assert (tower.get(ended).state, live(tower, job)) == ("done", None)


def test_only_the_beginning_of_a_file_that_is_too_large_is_shown(new_tower: MakeTower) -> None:
    tower = new_tower(extra="<polling><fetch_max_mb>1</fetch_max_mb></polling>")
    job = running(tower)
    tower.sites[0].files["stdout.txt"] = bytes(1_500_000)
    watch(tower, job)
    look(tower)
    assert len(live(tower, job) or b"") == 1_000_000


def test_a_job_that_is_gone_at_the_ce_shows_nothing(tower: Tower, job: int) -> None:
    tower.sites[0].jobs.clear()
    watch(tower, job)
    look(tower)
    assert live(tower, job) is None


def test_a_job_that_waits_can_be_looked_at_when_it_runs(tower: Tower) -> None:
    (job,) = tower.submit(spec=KEPT)
    watch(tower, job)
    look(tower)
    tower.once("submitter")
    say(tower, job, "running")
    watch(tower, job)
    tower.sites[0].files["stdout.txt"] = b"one"
    look(tower)
    assert live(tower, job) == b"one"


def test_names_go_only_to_where_live_copies_are(tower: Tower, job: int) -> None:
    watch(tower, job, "../../../secret")
    tower.sites[0].files["../../../secret"] = b"x"
    look(tower)
    assert store(tower).list() == []

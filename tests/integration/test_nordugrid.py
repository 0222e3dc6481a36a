"""NorduGrid mode: the CE moves the data, the tower speaks for the pilot, looks at outputs and tries again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from act.db import cejobs, specs
from act.db.schema import archive
from act.states import Event
from act_atlas.joblog import joblog_name
from tests.integration.nordugrid import (
    CE_FAULT,
    Storage,
    leave_report,
    outputs_of,
    ran_well,
    store_all,
    story,
    tell,
    validate,
)
from tests.integration.panda_tower import PandaTower


@pytest.fixture
def tower(nordugrid_tower: PandaTower) -> PandaTower:
    """A tower whose only queue is in NorduGrid mode."""
    return nordugrid_tower


# -- a life without trouble --------------------------------------------------------------------------------------------


def test_the_tower_speaks_for_the_job_all_its_life_and_tells_panda_every_output(
    tower: PandaTower, storage: Storage
) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid)
    tower.say(pandaid, "running")
    tower.once("heartbeat")
    assert tower.known(pandaid) == "running"
    for _ in range(4):
        tower.pass_time(1801)
        tower.once("heartbeat")
    assert story(tower, pandaid)["updates"]["running"] >= 4
    tower.say(pandaid, "finishing")
    assert tower.job(pandaid).state == "running"
    tower.pass_time(601)
    tower.once("pandastatus", "heartbeat")
    assert tower.known(pandaid) == "transferring"
    tower.say(pandaid, "finished", exit_code=0)
    assert tower.job(pandaid).state == "tovalidate"
    validate(tower)
    assert tower.job(pandaid).state == "finished"
    tower.pass_time(61)
    tower.once("heartbeat")
    told = story(tower, pandaid)
    assert set(json.loads(told["reported"]["outputs"])) == set(outputs_of(tower, pandaid))
    assert told["values"]["cpu_consumption_time"] == 12
    tower.pass_time(10)
    assert tower.known(pandaid) == "finished"
    assert tower.job(pandaid).state == "done"


def test_a_job_in_the_archive_names_its_outputs_and_what_was_found(tower: PandaTower, storage: Storage) -> None:
    pandaid = ran_well(tower, storage)
    validate(tower)
    tell(tower, pandaid)
    tower.once("pandastatus", "cleaner-arc")
    tower.pass_time(3600)
    tower.once("archiver")
    (row,) = tower.db.read("t", lambda c: c.execute(select(archive)).all())
    assert [(o[0], o[2]) for o in row.history["outputs"]] == [(n, "good") for n in outputs_of(tower, pandaid)]


# -- the pilot's report ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b'{"jobId": "', b"[" * 100_000, b'{"jobId": 1}'])
def test_a_job_without_a_report_of_any_use_has_failed_and_panda_gets_what_logs_say(
    tower: PandaTower, content: bytes | None
) -> None:
    pandaid = tower.submitted()
    row = tower.get(tower.job(pandaid).cejob_id)
    (spec,) = tower.db.read("t", lambda c: specs.get(c, [row.jobspec_id])).values()
    tower.site.files[spec.stdout] = b"all is well\nERROR: no space left on device\n"
    if content is not None:
        tower.site.files["heartbeat.json"] = content
    tower.say(pandaid, "running")
    tower.say(pandaid, "finished", exit_code=0)
    validate(tower)
    assert tell(tower, pandaid) == "failed"
    values = story(tower, pandaid)["values"]
    assert values["pilot_error_code"] == 9000
    assert "no space left" in values["pilot_log"]
    assert (tower.directory / "joblog" / joblog_name(tower.job(pandaid), "out")).exists()


def test_a_failure_that_the_pilot_reports_is_told_in_its_words_and_not_tried_again(
    tower: PandaTower, storage: Storage
) -> None:
    pandaid = tower.submitted()
    leave_report(tower, storage, pandaid, state="failed", pilotErrorCode=1305, pilotErrorDiag="payload failed")
    tower.say(pandaid, "running")
    tower.say(pandaid, "failed", error=CE_FAULT, exit_code=1)
    validate(tower)
    assert tell(tower, pandaid) == "failed"
    values = story(tower, pandaid)["values"]
    assert (values["pilot_error_code"], values["pilot_error_diag"]) == (1305, "payload failed")
    assert tower.job(pandaid).attempts == 1


# -- another attempt ---------------------------------------------------------------------------------------------------


def test_where_the_ce_was_at_fault_the_job_is_tried_again_but_not_for_ever(tower: PandaTower) -> None:
    pandaid = tower.submitted()
    first = tower.job(pandaid).cejob_id
    tower.say(pandaid, "failed", error=CE_FAULT)
    validate(tower)
    assert (tower.job(pandaid).state, tower.job(pandaid).cejob_id) == ("sent", None)
    tower.once("panda2arc", "submitter-arc", "pandastatus")
    assert tower.job(pandaid).cejob_id not in (None, first)
    tower.say(pandaid, "failed", error=CE_FAULT)
    validate(tower)
    assert tell(tower, pandaid) == "failed"
    assert CE_FAULT in story(tower, pandaid)["values"]["pilot_error_diag"]


def test_no_other_attempt_is_made_where_the_ce_fell_silent(tower: PandaTower) -> None:
    pandaid = tower.submitted()
    attempt = tower.job(pandaid).cejob_id
    move = cejobs.Move(attempt, "submitted", Event.SILENT)
    tower.db.run("t", lambda c: cejobs.move(c, [move], who="reconciler"))
    tower.once("pandastatus")
    validate(tower)
    tower.once("heartbeat", "panda2arc", "submitter-arc")
    assert tower.job(pandaid).error_code == 9001
    assert len(tower.site.jobs) == 1


@pytest.mark.parametrize("trouble", ["missing", "size", "checksum"])
def test_outputs_that_are_not_what_was_reported_are_removed_and_the_job_is_tried_again(
    tower: PandaTower, storage: Storage, trouble: str
) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid)
    bad = outputs_of(tower, pandaid)[0]
    if trouble == "missing":
        (storage.root / bad).unlink()
    else:
        storage.put(bad, b"an output!\n" if trouble == "size" else b"AN OUTPUT\n")
    tower.say(pandaid, "running")
    tower.say(pandaid, "finished", exit_code=0)
    validate(tower)
    assert (tower.job(pandaid).state, storage.names()) == ("sent", set())
    tower.once("panda2arc", "submitter-arc", "pandastatus")
    store_all(tower, storage, pandaid)
    tower.say(pandaid, "running")
    tower.say(pandaid, "finished", exit_code=0)
    validate(tower)
    assert tell(tower, pandaid) == "finished"
    assert storage.names() == set(outputs_of(tower, pandaid))


def test_after_the_last_attempt_bad_outputs_are_removed_and_named_to_panda(tower: PandaTower, storage: Storage) -> None:
    pandaid = tower.submitted()
    leave_report(tower, storage, pandaid)
    for _ in range(2):
        tower.once("panda2arc", "submitter-arc", "pandastatus")
        store_all(tower, storage, pandaid, b"AN OUTPUT\n")
        tower.say(pandaid, "running")
        tower.say(pandaid, "finished", exit_code=0)
        validate(tower)
    assert storage.names() == set()
    assert tell(tower, pandaid) == "failed"
    values = story(tower, pandaid)["values"]
    assert (values["pilot_error_code"], "wrong checksum" in values["pilot_error_diag"]) == (1137, True)


def test_a_job_with_outputs_that_may_not_be_removed_is_not_tried_again(tower: PandaTower, tmp_path: Path) -> None:
    elsewhere = Storage(tmp_path / "elsewhere")
    pandaid = tower.submitted()
    store_all(tower, elsewhere, pandaid, b"AN OUTPUT\n")
    leave_report(tower, elsewhere, pandaid)
    tower.say(pandaid, "running")
    tower.say(pandaid, "finished", exit_code=0)
    validate(tower)
    assert tell(tower, pandaid) == "failed"
    assert elsewhere.names() == set(outputs_of(tower, pandaid))
    assert "storages/removable" in story(tower, pandaid)["values"]["pilot_error_diag"]


# -- kills -------------------------------------------------------------------------------------------------------------


def test_a_job_killed_while_its_outputs_are_looked_at_is_cancelled_and_leaves_nothing(
    tower: PandaTower, storage: Storage
) -> None:
    pandaid = ran_well(tower, storage)
    tower.panda.board.kill(pandaid)
    tower.pass_time(1801)
    tower.once("heartbeat")
    assert tower.job(pandaid).state == "toclean"
    validate(tower)
    assert storage.names() == set()
    assert tell(tower, pandaid) == "cancelled"


def test_a_job_killed_while_the_ce_stages_out_leaves_nothing(tower: PandaTower, storage: Storage) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid)
    tower.say(pandaid, "running")
    tower.say(pandaid, "finishing")
    tower.panda.board.kill(pandaid)
    tower.pass_time(1801)
    tower.once("heartbeat", "canceller-arc")
    assert tower.job(pandaid).state == "tobekilled"
    tower.say(pandaid, "killed")
    validate(tower)
    assert storage.names() == set()
    assert tell(tower, pandaid) == "cancelled"

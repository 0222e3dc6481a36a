"""NorduGrid mode: the CE moves the data, the tower speaks for the pilot, looks at outputs and tries again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from act.db import cejobs, specs
from act.db.schema import archive
from act.errors import StorageUnavailable
from act.simulation import TestCA
from act.states import Event
from act_atlas import db
from act_atlas.daemons.panda2ce import joblog_name
from act_atlas.simulator import PandaSimulator
from tests.integration.panda_tower import PandaTower
from tests.truth import assert_all_explained

CE_FAULT = "Failed initiating job submission to LRMS"
NORDUGRID = {"copytools": {"mv": {}}, "acopytools": {"pr": ["mv"], "pw": ["mv"]}}


class Storage:
    """Files of jobs, in a directory, under file:// URLs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def url(self, lfn: str) -> str:
        return f"file://{self.root}/{lfn}"

    def put(self, lfn: str, content: bytes = b"an output\n") -> None:
        (self.root / lfn).write_bytes(content)

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir()}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage")


@pytest.fixture
def tower(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch, storage: Storage
) -> Iterator[PandaTower]:
    """A tower whose only queue is in NorduGrid mode."""
    settings = (
        f"<storages><removable>file://{storage.root}/</removable><retry_s>30</retry_s></storages>"
        f"<errors><max_attempts>2</max_attempts><resubmit>{CE_FAULT}</resubmit></errors>"
    )
    with PandaSimulator(panda_ca, adder_s=1) as panda:
        tower = PandaTower(tmp_path, sqlite_template, panda_ca, panda, atlas=settings, facts=NORDUGRID)
        for variable, value in tower.environment.items():
            monkeypatch.setenv(variable, value)
        tower.once("proxy", "cric")
        yield tower
        assert_all_explained(tower.environment)
        tower.close()


def outputs_of(tower: PandaTower, pandaid: int) -> list[str]:
    """Names of all files that the job is to make, its log included."""
    fields = tower.panda.board.dispatch(pandaid)
    assert fields is not None
    return [name for name in str(fields[2]["outFiles"]).split(",") if name]


def leave_report(
    tower: PandaTower, storage: Storage, pandaid: int, content: bytes = b"an output\n", **more: Any
) -> None:
    """The pilot's heartbeat.json, naming all outputs with the facts of ``content``."""
    facts = {"fsize": len(content), "adler32": f"{zlib.adler32(content):08x}"}
    files = {n: {"guid": f"guid-{n}", "surl": storage.url(n), **facts} for n in outputs_of(tower, pandaid)}
    told = {"jobId": str(pandaid), "state": "finished", "cpuConsumptionTime": "12.4", "timestamp": "now",
            "meanCoreCount": 0.97, "xml": json.dumps(files), **more}  # fmt: skip
    tower.site.files["heartbeat.json"] = json.dumps(told).encode()


def store_all(tower: PandaTower, storage: Storage, pandaid: int, content: bytes = b"an output\n") -> None:
    for name in outputs_of(tower, pandaid):
        storage.put(name, content)


def ran_well(tower: PandaTower, storage: Storage, **order: Any) -> int:
    """A job that ended well at the CE, its outputs on the storage."""
    pandaid = tower.submitted(**order)
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid)
    tower.say(pandaid, "running")
    tower.say(pandaid, "finished", exit_code=0)
    return pandaid


def validate(tower: PandaTower) -> None:
    """Enough passes to check, to judge, to remove and to judge again."""
    for _ in range(4):
        with suppress(StorageUnavailable):
            tower.once("validator")


def story(tower: PandaTower, pandaid: int) -> dict[str, Any]:
    return tower.panda.board.describe([pandaid])[pandaid]


def tell(tower: PandaTower, pandaid: int) -> str:
    """The final report goes out; what PanDA makes of the job in the end."""
    tower.pass_time(61)
    tower.once("heartbeat")
    tower.pass_time(10)
    return tower.known(pandaid)


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


# -- storages ----------------------------------------------------------------------------------------------------------


class Away(Storage):
    """A storage where nobody answers."""

    def url(self, lfn: str) -> str:
        return f"davs://localhost:1/atlas/{lfn}"


def test_a_storage_that_is_down_means_later_and_holds_up_no_other(
    tower: PandaTower, storage: Storage, tmp_path: Path
) -> None:
    stuck = ran_well(tower, Away(tmp_path / "away"))
    good = ran_well(tower, storage)
    validate(tower)
    assert (tower.job(stuck).state, tower.job(good).state) == ("tovalidate", "finished")
    (file, *_) = tower.db.read("t", lambda c: db.outputs.of_jobs(c, [tower.job(stuck).id]))[tower.job(stuck).id]
    assert (file.wish, file.finding, "localhost:1" in file.detail) == ("check", None, True)


def test_outputs_that_cannot_be_looked_at_in_two_days_end_the_job_with_that_reason(
    tower: PandaTower, tmp_path: Path
) -> None:
    stuck = ran_well(tower, Away(tmp_path / "away"))
    validate(tower)
    tower.pass_time(2 * 86400 + 1)
    tower.once("archiver")
    validate(tower)
    row = tower.job(stuck)
    assert (row.state, row.error_diag) == ("failed", "its outputs could not be validated in 2 days")


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

"""NorduGrid mode: outputs on storages that are down, slow or hostile, or that are told of too little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from act.db import cejobs
from act.errors import ConfigError, StorageUnavailable
from act_atlas import db
from tests.integration.nordugrid import (
    Storage,
    leave_report,
    outputs_of,
    ran_well,
    store_all,
    validate,
)
from tests.integration.panda_tower import PandaTower


@pytest.fixture
def tower(nordugrid_tower: PandaTower) -> PandaTower:
    """A tower whose only queue is in NorduGrid mode."""
    return nordugrid_tower


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


def test_a_storage_that_lets_nobody_read_does_not_keep_what_is_to_be_removed(
    tower: PandaTower, storage: Storage
) -> None:
    stuck = ran_well(tower, storage)
    for name in outputs_of(tower, stuck):
        (storage.root / name).unlink()
        (storage.root / name).symlink_to(name)  # to itself: whoever opens it gets an error
    failed = tower.submitted()
    store_all(tower, storage, failed)
    leave_report(tower, storage, failed, state="failed", pilotErrorCode=1305)
    tower.say(failed, "failed", error="walltime exceeded")
    with pytest.raises(StorageUnavailable):
        tower.once("validator")
    assert tower.job(stuck).state == "tovalidate"
    assert storage.names() == set(outputs_of(tower, stuck))


def test_outputs_that_cannot_be_removed_in_two_days_do_not_hide_what_was_wrong(
    tower: PandaTower, storage: Storage
) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid, state="failed", pilotErrorCode=1305, pilotErrorDiag="payload failed")
    tower.say(pandaid, "failed", error="walltime exceeded")
    before = tower.job(pandaid)
    tower.pass_time(2 * 86400 + 1)
    tower.once("archiver")
    row = tower.job(pandaid)
    assert (row.state, row.error_code, row.error_diag) == ("failed", 1305, before.error_diag)
    history = tower.db.read("t", lambda c: cejobs.history(c, "pandajob", [row.id]))
    assert "could not be removed in 2 days" in history[-1].why


def test_a_validator_whose_bulks_outlast_its_claims_does_not_start(tower: PandaTower) -> None:
    path = Path(tower.environment["ACTCONFIGATLAS"])
    path.write_text(path.read_text().replace("<retry_s>30<", "<total_s>600</total_s><retry_s>30<"))
    with pytest.raises(ConfigError, match="storages/total_s"):
        tower.once("validator")
    path.write_text(path.read_text().replace("<total_s>600</total_s>", ""))


def test_outputs_that_a_failed_pilot_tells_too_little_of_are_removed_with_the_others(
    tower: PandaTower, storage: Storage
) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    files = {name: {"surl": storage.url(name)} for name in outputs_of(tower, pandaid)}
    leave_report(tower, storage, pandaid, state="failed", pilotErrorCode=1305, xml=json.dumps(files))
    tower.say(pandaid, "failed", error="walltime exceeded")
    validate(tower)
    assert (tower.job(pandaid).state, storage.names()) == ("failed", set())


def test_two_outputs_at_one_place_are_each_held_against_their_own_facts(tower: PandaTower, storage: Storage) -> None:
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    names = outputs_of(tower, pandaid)
    files = {name: {"guid": f"guid-{n}", "surl": storage.url(names[0]), "fsize": size, "adler32": "1"}
             for n, (name, size) in enumerate(zip(names, (7, 8), strict=True))}  # fmt: skip
    leave_report(tower, storage, pandaid, xml=json.dumps(files))
    tower.say(pandaid, "finished", exit_code=0)
    for _ in range(2):
        tower.once("validator")
    found = tower.db.read("t", lambda c: db.outputs.of_jobs(c, [tower.job(pandaid).id]))[tower.job(pandaid).id]
    assert [(f.finding, f"{size} in the report" in f.detail) for f, size in zip(found, (7, 8), strict=True)] == [
        ("wrong size", True), ("wrong size", True)]  # fmt: skip

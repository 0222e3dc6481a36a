"""NorduGrid mode by hand: a storage in a directory, and what the pilot of a job leaves there and at the CE."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from act.errors import StorageUnavailable
from tests.integration.panda_tower import PandaTower

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

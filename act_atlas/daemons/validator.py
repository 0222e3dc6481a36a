"""validator: looks at outputs on storage, and removes those of attempts that came to nothing.

One lane for each storage host and what is wanted of it, so that a storage that is down or lets nobody read holds up
nothing else, and one for the jobs of which all files are decided. What is asked of a storage may be asked again without
harm, so a crash costs a repetition.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from sqlalchemy import Connection

from act.config import CoreConfig
from act.daemons.base import Key
from act.daemons.context import Context
from act.daemons.lease import must_cover
from act.db.engine import NOW, AnyRow, chunks
from act.db.moves import Move
from act.errors import CredentialError, JobError, StorageUnavailable
from act_atlas import db
from act_atlas.config import ATLAS_FILE, AtlasConfig
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.db.outputs import CHECK, KEPT, REMOVE, REMOVED, Found
from act_atlas.outcome import STAGEOUT_CODE, of_validation
from act_atlas.replicas import Checked, Replica, Storage, open_storage, scheme_of
from act_atlas.states import Event

log = logging.getLogger(__name__)

BATCH = 200
JOBS_AT_ONCE = 20  # whose files are in memory together; each job may have thousands


class Validator(AtlasDaemon):
    """Files by what is wanted and storage host ("check se1:443"), jobs by themselves."""

    kind = "validator"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        """Raises ConfigError if a bulk does not fit into a lease."""
        super().__init__(context, name, flavour)
        check_config(context.config, self.atlas)

    def lanes(self) -> Sequence[Key]:
        return [None, *(f"{wish} {host}" for wish, host in self.db.read("hosts", db.outputs.hosts))]

    def work(self, lane: Key) -> int:
        if not isinstance(lane, str):
            return self.db.run("judge", self._judge)
        wish, _, host = lane.partition(" ")
        return self._ask(host, wish)

    # -- files ---------------------------------------------------------------------------------------------------

    def _ask(self, host: str, wish: str) -> int:
        """One bulk for each protocol that the host's files are named with; returns how many files were asked for."""
        limits = self.atlas.storages
        lease = self.claim()
        rows = self.db.run("take", lambda c: db.outputs.take(c, host, wish, limit=limits.batch, lease_s=lease.lease_s))
        left = {r.id: r for r in rows}
        try:
            for scheme, files in _bulks(rows).items():
                if not lease.covers(limits.total_s):  # what is removed late could be of the next attempt
                    break
                found = self._check(host, scheme, files) if wish == CHECK else self._remove(host, scheme, files)
                self._write(wish, found)
                for file in files:
                    del left[file.id]
        except (StorageUnavailable, CredentialError) as error:
            self._write(wish, [Found(r.id, r.finding, str(error), wish, limits.retry_s) for r in left.values()])
            raise
        if left:  # not reached: at once
            self._write(wish, [Found(r.id, r.finding, r.detail, wish) for r in left.values()])
        return len(rows) - len(left)

    def _write(self, wish: str, found: Iterable[Found]) -> None:
        self.db.run("found", lambda c: db.outputs.write(c, wish, found))

    def _check(self, host: str, scheme: str, files: Sequence[AnyRow]) -> list[Found]:
        with closing(self._open(host, scheme)) as storage:
            answers = storage.check([Replica(f.url, f.size, f.adler32, f.md5) for f in files])
        return [self._checked(f, answers[f.url]) for f in files]

    def _checked(self, file: AnyRow, answer: Checked | StorageUnavailable) -> Found:
        if isinstance(answer, StorageUnavailable):
            return Found(file.id, file.finding, str(answer), CHECK, self.atlas.storages.retry_s)
        return Found(file.id, answer.finding.value, answer.detail or None)

    def _remove(self, host: str, scheme: str, files: Sequence[AnyRow]) -> list[Found]:
        with closing(self._open(host, scheme)) as storage:
            answers = storage.remove([f.url for f in files])
        found = []
        for file in files:
            answer = answers[file.url]
            if answer is None:
                found.append(Found(file.id, REMOVED, None))
            elif isinstance(answer, JobError):
                log.warning("%s stays: %s", file.url, answer)
                found.append(Found(file.id, KEPT, str(answer)))
            else:
                found.append(Found(file.id, file.finding, str(answer), REMOVE, self.atlas.storages.retry_s))
        return found

    def _open(self, host: str, scheme: str) -> Storage:
        proxy = self.context.proxy_for(self.atlas.panda.role)
        return open_storage(host, scheme, self.atlas.storages, proxy.pem, self.context.config.ca_dir)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _judge(self, connection: Connection) -> int:
        return self._judge_validated(connection) + self._judge_resubmitted(connection) + self._judge_cleaned(connection)

    def _judge_validated(self, connection: Connection) -> int:
        rows = db.outputs.decided(connection, "tovalidate", limit=BATCH)
        decided = {r.id: of_validation(r, files, self.atlas.errors) for r, files in _with_files(connection, rows)}
        moves = [Move(i, "tovalidate", d.events[0], d.why, {"due": NOW, **d.values()}) for i, d in decided.items()]
        moved = db.move(connection, moves, who=self.name)
        db.outputs.want_removed(connection, [i for i in moved if decided[i].events[0] != Event.VALID])
        return len(moved)

    def _judge_resubmitted(self, connection: Connection) -> int:
        rows = db.outputs.decided(connection, "toresubmit", limit=BATCH)
        moves = []
        for row, files in _with_files(connection, rows):
            if kept := [f for f in files if f.finding == KEPT]:
                why = f"no new attempt, as {kept[0].lfn} of the last one cannot be removed: {kept[0].detail}"
                values = {"error_code": row.error_code or STAGEOUT_CODE, "error_diag": why[:500], "due": NOW}
                moves.append(Move(row.id, "toresubmit", Event.GIVEUP, why, values))
            else:
                why = "nothing is left of the last attempt"
                fresh = {"cejob_id": None, "error_code": None, "error_diag": None, "exit_code": None, "due": NOW}
                moves.append(Move(row.id, "toresubmit", Event.RETRY, why, fresh))
        moved = db.move(connection, moves, who=self.name)
        db.outputs.forget(connection, [i for i, state in moved.items() if state == "sent"])
        return len(moved)

    def _judge_cleaned(self, connection: Connection) -> int:
        rows = db.outputs.decided(connection, "toclean", limit=BATCH)
        moves = [Move(r.id, "toclean", Event.CLEANED, values={"due": NOW}) for r in rows]
        return len(db.move(connection, moves, who=self.name))


def check_config(core: CoreConfig, atlas: AtlasConfig) -> None:
    """Raises ConfigError if a bulk of files does not fit into a lease."""
    must_cover(core.leases, f"storages/total_s in {ATLAS_FILE}", atlas.storages.total_s)


def _with_files(connection: Connection, rows: Sequence[AnyRow]) -> Iterator[tuple[AnyRow, list[AnyRow]]]:
    """Each job with what was found of its outputs."""
    for part in chunks(rows, JOBS_AT_ONCE):
        found = db.outputs.findings(connection, [r.id for r in part])
        yield from ((r, found.get(r.id, [])) for r in part)


def _bulks(rows: Sequence[AnyRow]) -> dict[str, list[AnyRow]]:
    """Files by protocol. A storage answers by URL, so one that several files claim to be at is asked for one by one."""
    bulks: dict[str, dict[str, AnyRow]] = defaultdict(dict)
    for row in rows:
        bulks[scheme_of(row.url)].setdefault(row.url, row)
    return {scheme: [*by_url.values()] for scheme, by_url in bulks.items()}

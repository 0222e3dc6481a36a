"""The tables of PanDA jobs and all SQL on them."""

from act_atlas.db import asks, outputs
from act_atlas.db.archive import archivable, archive_rows, to_archive
from act_atlas.db.jobs import (
    add,
    claim,
    counts,
    find,
    get,
    heartbeats_due,
    initialise,
    listing,
    move,
    overdue,
    release,
    set_values,
    staging_out,
    take_due,
    to_report,
    told,
    unheard,
    waiting_and_running,
)
from act_atlas.db.looking import look
from act_atlas.db.tables import LEDGER, SOURCE, pandajobs

__all__ = [
    "LEDGER",
    "SOURCE",
    "add",
    "archivable",
    "archive_rows",
    "asks",
    "claim",
    "counts",
    "find",
    "get",
    "heartbeats_due",
    "initialise",
    "listing",
    "look",
    "move",
    "outputs",
    "overdue",
    "pandajobs",
    "release",
    "set_values",
    "staging_out",
    "take_due",
    "to_archive",
    "to_report",
    "told",
    "unheard",
    "waiting_and_running",
]

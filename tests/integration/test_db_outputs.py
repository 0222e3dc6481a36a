"""What the database keeps of outputs."""

from __future__ import annotations

from act.db.engine import Database
from act_atlas.db import outputs
from act_atlas.db.outputs import CHECK, Found, LeftBehind, NewOutput


def test_what_a_storage_says_fits_however_much_it_says(database: Database) -> None:
    file = NewOutput("out.root", "davs://se/out.root", "se:443")
    left = LeftBehind(1, None, "", [file], CHECK)
    database.run("t", lambda c: outputs.store_reports(c, [left]))
    (row,) = database.run("t", lambda c: outputs.take(c, "se:443", CHECK, limit=10, lease_s=60))
    said = Found(row.id, None, "\udcff" + "no " * 100_000, CHECK)
    database.run("t", lambda c: outputs.write(c, CHECK, [said]))
    ((found,),) = database.read("t", lambda c: outputs.of_jobs(c, [1])).values()
    assert found.detail.startswith("?no no ")

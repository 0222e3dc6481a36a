"""Job specifications: written once with the attempt, read by the submitter and the fetcher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from act.db.engine import chunks
from act.db.schema import jobspecs
from act.errors import StaleClaim
from act.model import InputFile, JobSpec, OutputFile


def dump(spec: JobSpec) -> str:
    """JobSpec -> JSON text; what has its default is left out."""
    fields = {
        f.name: getattr(spec, f.name)
        for f in dataclasses.fields(spec)
        if f.default is dataclasses.MISSING or getattr(spec, f.name) != f.default
    }
    fields["inputs"] = [dataclasses.asdict(i) for i in spec.inputs]
    fields["outputs"] = [dataclasses.asdict(o) for o in spec.outputs]
    fields["extra"] = dict(spec.extra)
    return json.dumps(fields, separators=(",", ":"))


def load(text: str) -> JobSpec:
    """The inverse of `dump`."""
    fields: dict[str, Any] = json.loads(text)
    pairs = {k: tuple(tuple(p) for p in fields.get(k, ())) for k in ("environment",)}
    lists = {k: tuple(fields[k]) for k in ("arguments", "runtime_environments", "fetch") if k in fields}
    inputs = tuple(InputFile(**i | {"options": tuple(tuple(o) for o in i["options"])}) for i in fields["inputs"])
    outputs = tuple(OutputFile(**o) for o in fields["outputs"])
    return JobSpec(**fields | pairs | lists | {"inputs": inputs, "outputs": outputs})


def add(connection: Connection, specs: Sequence[JobSpec]) -> list[int]:
    """Write specifications; returns their ids in order."""
    query = insert(jobspecs).returning(jobspecs.c.id, sort_by_parameter_order=True)
    return list(connection.scalars(query, [{"spec": dump(s)} for s in specs]))


def get(connection: Connection, ids: Iterable[int]) -> dict[int, JobSpec]:
    """Specifications by id. Raises StaleClaim if one is gone: its job was archived while the caller stood still."""
    wanted = set(ids)
    found = {}
    for part in chunks(list(wanted)):
        rows = connection.execute(select(jobspecs).where(jobspecs.c.id.in_(part)))
        found.update({r.id: load(r.spec) for r in rows})
    if gone := wanted - set(found):
        raise StaleClaim(f"{len(gone)} jobs were archived while somebody still worked on them")
    return found

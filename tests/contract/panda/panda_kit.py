"""What the tests of PanDA's client and simulator share."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from act.simulation import TestCA
from act_atlas import pilot
from act_atlas.panda import Acquired, JobUpdate, PandaClient, PandaServer, connect
from act_atlas.simulator import Order, PandaSimulator

QUEUE = "ARC-TEST"


@contextmanager
def connected(server: PandaServer) -> Iterator[PandaClient]:
    client = connect(server)
    try:
        yield client
    finally:
        client.close()


def acquire(client: PandaClient, n: int = 1, **arguments: Any) -> Acquired:
    return client.parse_jobs(client.fetch_jobs(QUEUE, n, scheduler_id="act-1", node="tower", **arguments))


def one_job(sim: PandaSimulator, client: PandaClient, **order: Any) -> int:
    """A job that has been acquired."""
    (pandaid,) = sim.board.define(Order(QUEUE, **order))
    assert [j.pandaid for j in acquire(client).jobs] == [pandaid]
    return pandaid


def status(sim: PandaSimulator, pandaid: int) -> str:
    found = sim.board.status(pandaid)
    assert found is not None
    return found[0]


def finished(sim: PandaSimulator, pandaid: int, outputs: dict[str, Any] | None = None) -> JobUpdate:
    """A final report with which all is well, unless other outputs are given."""
    found = sim.board.dispatch(pandaid)
    assert found is not None
    if outputs is None:
        outputs = {name: pilot.entry(b"x") for name in pilot.output_names(found[2])}
    return JobUpdate(pandaid, "finished", 1, job_output_report=json.dumps(outputs))


def raw(
    sim: PandaSimulator, ca: TestCA, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str, bytes]:
    """(HTTP status, content type, body) of one request."""
    request = urllib.request.Request(sim.url + path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    context = ssl.create_default_context(capath=str(ca.ca_dir))
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.headers["Content-Type"], e.read()


def v1(sim: PandaSimulator, ca: TestCA, method: str, **arguments: Any) -> dict[str, Any]:
    _, _, body = raw(sim, ca, f"/api/v1/{method}", json.dumps(arguments).encode(), Content_Type="application/json")
    value: dict[str, Any] = json.loads(body)
    return value

"""What the tests of the simulated ARC CE share: raw calls with one proxy, and descriptions of jobs."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from act.simulation import TestCA
from act.x509 import sign_request
from act_arc.simulator import ArcSimulator


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Raw calls with one proxy; nothing of the product's own client."""

    def __init__(self, sim: ArcSimulator, ca: TestCA, proxy: Path | None, version: str) -> None:
        self.base = f"/arex/rest/{version}"
        context = ssl.create_default_context(capath=str(ca.ca_dir))
        if proxy:
            context.load_cert_chain(proxy)
        self.proxy = proxy
        self.connection = http.client.HTTPSConnection("localhost", sim.port, context=context, timeout=10)

    def call(self, method: str, path: str, body: bytes | None = None, **query: str) -> Answer:
        target = path if path.startswith("/_sim/") or path == "/arex/rest" else self.base + path
        target = quote(target) + (f"?{urlencode(query)}" if query else "")
        self.connection.request(method, target, body, {"Accept": "application/json"})
        got = self.connection.getresponse()
        return Answer(got.status, got.reason, {k.lower(): v for k, v in got.getheaders()}, got.read())

    def new(self, text: str, **query: str) -> Answer:
        return self.call("POST", "/jobs", text.encode(), action="new", **query)

    def create(self, text: str, **query: str) -> str:
        answer = self.new(text, **query).json["job"]
        return str((answer[0] if isinstance(answer, list) else answer)["id"])

    def manage(self, action: str, *ids: str) -> list[dict[str, Any]]:
        body = json.dumps({"job": [{"id": i} for i in ids]}).encode()
        answer = self.call("POST", "/jobs", body, action=action).json["job"]
        return answer if isinstance(answer, list) else [answer]

    def info(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.manage("info", job_id)[0]["info_document"]["ComputingActivity"]
        return found

    def status(self, job_id: str) -> str:
        return str(self.manage("status", job_id)[0]["state"])

    def wait(self, job_id: str, *states: str) -> str:
        for _ in range(1000):
            if (state := self.status(job_id)) in states:
                return state
            time.sleep(0.01)
        raise AssertionError(f"job is {state}, not one of {states}")

    def put(self, job_id: str, name: str, body: bytes = b"x") -> Answer:
        return self.call("PUT", f"/jobs/{job_id}/session/{name}", body)

    def get(self, job_id: str, name: str) -> Answer:
        return self.call("GET", f"/jobs/{job_id}/session/{name}")

    def delegate(self) -> str:
        assert self.proxy
        answer = self.call("POST", "/delegations", action="new")
        delegation = answer.headers["location"].split("/")[-1]
        chain = sign_request(answer.body, self.proxy.read_bytes(), 3600)
        assert self.call("PUT", f"/delegations/{delegation}", chain).status == 200
        return delegation


Make = Callable[..., tuple[ArcSimulator, Client]]


def job(name: str = "job", more: str = "", script: str = "true") -> str:
    return (
        f'&(executable="/bin/sh")(arguments="-c" "{script}")(jobname="{name}")(stdout="out.txt")(join="yes")'
        f'(outputfiles=("out.txt" "")){more}'
    )


INERT = '(inputfiles=("x" ""))'

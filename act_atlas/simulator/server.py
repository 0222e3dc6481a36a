"""The simulated PanDA as a server: both interfaces on one port, the pilot, CRIC's queues, and its own controls."""

from __future__ import annotations

import base64
import io
import json
import re
import ssl
import tarfile
from functools import cache
from pathlib import Path
from typing import Any, Self

from act.simulation import Request, Response, SimServer, TestCA
from act_atlas import pilot
from act_atlas.simulator.access import Access, Forbidden
from act_atlas.simulator.board import Board
from act_atlas.simulator.clock import SimClock
from act_atlas.simulator.jobs import Order
from act_atlas.simulator.legacy import Legacy
from act_atlas.simulator.v1 import V1

WRAPPER_PATH = "/cache/runpilot2-wrapper.sh"
PILOT_PATH = "/cache/pilot3.tar.gz"
CRIC_PATH = "/cric/pandaqueues.json"
_QUEUE_DATA = re.compile(r"/cache/schedconfig/([^/]+)\.all\.json")


class PandaSimulator(SimServer):
    """See `Board` for what it does. Controls, beside those of `SimServer`, all JSON:

    POST /_sim/jobs      an `Order`, or a list of them -> {"pandaids": [...]}
    GET  /_sim/jobs      ?ids=1,2 -> {pandaid: story}; without ids: all
    GET  /_sim/summary   counts only
    POST /_sim/kill      {"pandaids": [...], "code": int or null} -> {"killed": [bool]}
    POST /_sim/command   {"pandaid": int, "command": "debug"}
    POST /_sim/clock     {"forward": seconds, "rate": factor}, each optional -> {"now": epoch seconds}
    POST /_sim/cric      the queues, as CRIC tells them
    POST /_sim/executed  {"pandaid": int, "who": text}; what pilots call

    client_ca_dir: a CA directory; client certificates from there are taken, too.
    """

    def __init__(
        self, ca: TestCA, *, port: int = 0, clock_rate: float = 1.0, access: Access | None = None,
        adder_s: float = 3.0, client_ca_dir: Path | None = None, cert_expired: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(ca, port=port, cert_expired=cert_expired)
        if client_ca_dir:
            self._context.load_verify_locations(capath=str(client_ca_dir))
        self._ca_cert = ca.ca_cert
        self.board = Board(SimClock(clock_rate), adder_s=adder_s)
        admission = access or Access()
        self._v1, self._legacy = V1(self.board, admission), Legacy(self.board, admission)

    def start(self) -> Self:
        super().start()
        ca = base64.b64encode(ssl.PEM_cert_to_DER_cert(self._ca_cert.read_text())).decode()
        self.board.payload_extra = f"--ca={ca} --sim={self.url}"
        return self

    def handle(self, request: Request) -> Response:
        """The answer to one request."""
        try:
            if request.path.startswith("/api/"):
                return self._v1.handle(request)
            if request.path.startswith("/server/panda/"):
                return self._legacy.handle(request)
        except Forbidden as e:
            return Response(403, str(e).encode(), {"Content-Type": "text/plain"})
        return file(self.board, request.path) or Response(
            403, f"ERROR : method {request.path} is forbidden".encode(), {"Content-Type": "text/plain"}
        )

    def state(self) -> dict[str, Any]:
        """Clock, counts and every job with its story."""
        return {"now": self.board.clock.now(), "summary": self.board.summary(), "jobs": self.board.describe()}

    def control(self, request: Request) -> Response:
        """The answer to a request below /_sim/."""
        try:
            if request.method == "GET":
                return self._show(request)
            return Response.json(self._command(request.path.removeprefix("/_sim/"), json.loads(request.body)))
        except (ValueError, TypeError) as e:
            return Response.json({"error": str(e)}, 400)
        except KeyError as e:
            return Response.json({"error": f"not there: {e}"}, 404)

    def _show(self, request: Request) -> Response:
        if request.path == "/_sim/summary":
            return Response.json(self.board.summary())
        if request.path == "/_sim/jobs":
            ids = request.one("ids")
            return Response.json(self.board.describe([int(i) for i in ids.split(",")] if ids else None))
        return Response(404)

    def _command(self, what: str, body: Any) -> dict[str, Any]:
        """Do what a control says. Raises KeyError for an unknown one."""
        if what == "jobs":
            orders = [Order(**{**o, "omit": tuple(o.get("omit", ()))}) for o in _list(body)]
            return {"pandaids": [i for order in orders for i in self.board.define(order)]}
        if what == "kill":
            return {"killed": [self.board.kill(int(i), body.get("code")) for i in body["pandaids"]]}
        if what == "executed":
            self.board.executed(int(body["pandaid"]), str(body["who"]))
        elif what == "command":
            self.board.command(int(body["pandaid"]), str(body["command"]))
        elif what == "cric":
            self.board.cric = dict(body)
        elif what == "clock":
            self.board.clock.forward(float(body.get("forward", 0)))
            if "rate" in body:
                self.board.clock.set_rate(float(body["rate"]))
        else:
            raise KeyError(what)
        return {"now": self.board.clock.now()}


def file(board: Board, path: str) -> Response | None:
    """What is to be had without any interface: the wrapper, the pilot, CRIC's queues, and one queue for its pilots."""
    if path == WRAPPER_PATH:
        return Response(200, Path(pilot.__file__).read_bytes(), {"Content-Type": "text/x-shellscript"})
    if path == PILOT_PATH:
        return Response(200, tarball(), {"Content-Type": "application/gzip"})
    if path == CRIC_PATH:
        return Response.json(board.cric)
    if found := _QUEUE_DATA.fullmatch(path):
        facts = board.queue_data(found[1])
        return None if facts is None else Response.json(facts)
    return None


@cache
def tarball() -> bytes:
    """The pilot for NorduGrid mode."""
    folder, packed = Path(pilot.__file__).parent, io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("__init__.py", "pilot.py", "pilot_nordugrid.py"):
            tar.add(folder / name, f"{folder.name}/{name}")
    return packed.getvalue()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

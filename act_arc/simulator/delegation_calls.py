"""The delegations of the simulated CE, over HTTP."""

from __future__ import annotations

from act.simulation import Request, Response
from act_arc.simulator.answers import Fault, Shape
from act_arc.simulator.delegations import Delegations
from act_arc.simulator.engine import Engine


class DelegationCalls:
    """GET and POST of delegations, PUT and POST of one."""

    def __init__(self, delegations: Delegations, engine: Engine, shape: Shape) -> None:
        self._delegations, self._engine, self._shape = delegations, engine, shape

    def handle(self, request: Request, owner: str, delegation_id: str) -> Response:
        """Answer one call; ``delegation_id`` is empty for the collection."""
        action = request.one("action")
        pem = {"content-type": "application/x-pem-file"}
        match request.method, delegation_id, action:
            case "GET", "", _:
                return self._list(request, owner)
            case "POST", "", "new":
                made = self._delegations.create(owner)
                where = f"{request.path.rstrip('/')}{'' if self._shape.new else '?action=new'}/{made.id}"
                return Response(201, made.request(odd_version=not self._shape.new), {**pem, "location": where})
            case "PUT", str(), _ if delegation_id:
                if not self._delegations.sign(owner, delegation_id, request.body):
                    raise Fault(500, "Failed accepting delegation")
                return Response(200)
            case "POST", str(), ("get" | "renew" | "delete") if delegation_id:
                return self._act(owner, delegation_id, action, pem)
            case "POST", _, _:
                raise Fault(501, "Action not implemented")
        raise Fault(501, "Not Implemented")

    def _list(self, request: Request, owner: str) -> Response:
        kind: dict[str, str] = {"type": "x509"} if self._shape.new else {}
        mine = self._delegations.of(owner) if not self._shape.new or request.one("type", "x509") == "x509" else []
        return self._shape({"delegation": [{"id": d.id, **kind} for d in mine]})

    def _act(self, owner: str, delegation_id: str, action: str, pem: dict[str, str]) -> Response:
        found = self._delegations.find(owner, delegation_id)
        if action == "renew":  # of an unknown id too (seen)
            renewed = found or self._delegations.create(owner, delegation_id)
            return Response(201, renewed.request(odd_version=not self._shape.new), pem)
        if found is None:
            raise Fault(404, "No delegation found" if action == "get" else "No such delegation")
        if action == "get":
            return Response(200, found.chain or b"\n", pem)
        with self._engine.lock:
            if any(job.delegation == delegation_id for job in self._engine.jobs.values()):
                raise Fault(500, "Failed deleting delegation")  # locked until its jobs are cleaned (seen)
        self._delegations.remove(delegation_id)
        return Response(202)

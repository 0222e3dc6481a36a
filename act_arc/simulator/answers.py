"""How A-REX words its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from act.simulation import Response


class Fault(Exception):
    """A-REX's way to refuse a whole request: a status, a reason phrase and no body."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = Response(status, reason=reason)


def json_answer(value: dict[str, Any]) -> Response:
    """An answer with a JSON object, which for an empty one has no body at all."""
    body = json.dumps(value, separators=(",", ":")) if value else ""
    return Response(200, body.encode(), {"content-type": "application/json"})


@dataclass(frozen=True)
class Shape:
    """Lists in JSON: version 7 writes them all, 6 writes a single element bare and nothing at all for none."""

    new: bool

    def __call__(self, fields: dict[str, list[Any]], status: int = 200) -> Response:
        """An answer with these lists."""
        if not self.new:
            fields = {k: v[0] if len(v) == 1 else v for k, v in fields.items() if v}
        answer = json_answer(fields)
        answer.status = status
        return answer

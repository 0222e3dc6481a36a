"""The OpenAPI document of /api/v1, made from the routes and types that are served."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from pydantic import TypeAdapter

from act import __version__
from act.web import models
from act.web.errors import PROBLEM
from act.web.routes import BINARY, JSON, MULTIPART, Route

PARAMETER = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
ALWAYS = (400, 500, 503)
_REF = "#/components/schemas/{model}"
_HEADERS: dict[str, dict[str, Any]] = {
    "Range": {"type": "string", "examples": ["bytes=0-99"]},
    "If-None-Match": {"type": "string", "description": "the ETag of what the client has: the SHA-256 of the file"},
    "Repr-Digest": {"type": "string", "description": "sha-256=:<base64>: of the file (RFC 9530), to be checked"},
}
_PATH: dict[str, dict[str, Any]] = {
    "job_id": {"type": "integer", "minimum": 1, "maximum": models.MAX_ID},
    "name": {"type": "string", "minLength": 1, "maxLength": 1000},
}
Views = dict[str, tuple[Route, Callable[..., Any]]]


def document(views: Views, base: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes of these views below ``base``."""
    schemas = _Schemas(route for route, _ in views.values())
    paths: dict[str, dict[str, Any]] = {}
    for name, (route, view) in views.items():
        path = PARAMETER.sub(r"{\2}", route.rule)
        paths.setdefault(path, {})[route.method.lower()] = _operation(name, route, view, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aCT: jobs on many compute elements",
            "version": __version__,
            "description": "Errors are `application/problem+json`; their `detail` says what to do. "
            "Times are seconds since the epoch, UTC.",
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """JSON schemas of all types that the routes name."""

    def __init__(self, routes: Iterable[Route]) -> None:
        modes: dict[Any, Literal["validation", "serialization"]] = {models.Problem: "serialization"}
        for route in routes:
            modes |= {a: "serialization" for a in route.answers.values() if isinstance(a, type)}
            if isinstance(route.body, type):
                modes[route.body] = "validation"
        made, rest = TypeAdapter.json_schemas(
            [(kind, mode, TypeAdapter(kind)) for kind, mode in modes.items()], ref_template=_REF
        )
        self._of = {kind: made[(kind, mode)] for kind, mode in modes.items()}
        self.definitions = rest["$defs"]

    def content(self, kind: Any) -> dict[str, Any]:
        """A body of a type, or of a media type."""
        if isinstance(kind, type):
            return {JSON: {"schema": self._of[kind]}}
        return {kind: {"schema": {"type": "string", "format": "binary"}}}

    def problem(self) -> dict[str, Any]:
        """The body of every error."""
        return {PROBLEM: {"schema": self._of[models.Problem]}}


def _operation(name: str, route: Route, view: Callable[..., Any], schemas: _Schemas) -> dict[str, Any]:
    summary, _, description = inspect.getdoc(view).partition("\n\n")  # type: ignore[union-attr]
    made: dict[str, Any] = {
        "operationId": name,
        "summary": " ".join(summary.split()),
        "description": description,
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.body is not None:
        content = schemas.content(route.body)
        if route.files:
            content[MULTIPART] = {"schema": _multipart(content[JSON]["schema"])}
        made["requestBody"] = {"required": True, "content": content}
    if not route.open:
        made["security"] = [{"bearer": []}]
    return made


def _multipart(schema: dict[str, Any]) -> dict[str, Any]:
    """Its first part is the JSON, the others are files."""
    file = {"type": "string", "format": "binary"}
    return {"type": "object", "properties": {"request": schema}, "required": ["request"],
            "additionalProperties": file}  # fmt: skip


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": _PATH[name]}
        for _, name in PARAMETER.findall(route.rule)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema()
        found += [{"name": n, "in": "query", "schema": s} for n, s in schema["properties"].items()]
    return found + [{"name": name, "in": "header", "schema": _HEADERS[name]} for name in route.headers]


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, kind in route.answers.items():
        answers[str(status)] = {"description": "As wanted"} | ({"content": schemas.content(kind)} if kind else {})
    statuses = {*ALWAYS, *route.errors}
    if not route.open:
        statuses |= {401, 403}
    if route.body is not None:
        statuses |= {408, 413} | ({415} if route.body != BINARY else set())
    for status in sorted(statuses):
        answers[str(status)] = {"description": "See detail", "content": schemas.problem()}
    return answers

"""A route is declared once, beside the view: what Flask serves and what OpenAPI tells are made from that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Blueprint, g, request
from pydantic import BaseModel, ValidationError

from act.client.identity import Gate
from act.web.bodies import must_be, read_all
from act.web.errors import BadRequest

View = TypeVar("View", bound=Callable[..., Any])
M = TypeVar("M", bound=BaseModel)
BINARY = "application/octet-stream"
MULTIPART = "multipart/form-data"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    answers: status -> type of the JSON, a media type, or None for an empty answer. errors: statuses beside those
    that every route has. query, body: types of what comes; files: the body may also be multipart with files.
    """

    method: str
    rule: str
    answers: Mapping[int, Any]
    errors: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | str | None = None
    files: bool = False
    headers: tuple[str, ...] = field(default=())
    open: bool = False  # to everybody


def route(
    method: str, rule: str, answers: Mapping[int, Any], errors: tuple[int, ...] = (), **more: Any
) -> Callable[[View], View]:
    """Declare a method of a class of views to be what answers; more: as of `Route`."""

    def declare(view: View) -> View:
        view.route = Route(method, rule, answers, errors, **more)  # type: ignore[attr-defined]
        return view

    return declare


def declared(views: object) -> dict[str, tuple[Route, Callable[..., Any]]]:
    """The views of an object by name."""
    methods = inspect.getmembers(views, lambda m: inspect.ismethod(m) and hasattr(m, "route"))
    return {name: (method.route, method) for name, method in methods}


def blueprint(name: str, views: object, gate: Gate) -> Blueprint:
    """All views of an object. Who calls is found first, in `g.caller`, but for routes that are open."""
    made = Blueprint(name, __name__)
    routes = declared(views)
    for endpoint, (one, view) in routes.items():
        made.add_url_rule(one.rule, endpoint, view, methods=[one.method])

    @made.before_request
    def authenticate() -> None:
        if not routes[str(request.endpoint).rpartition(".")[2]][0].open:
            g.caller = gate.caller(request.headers.get("Authorization"))

    return made


def body(model: type[M], limit: int) -> M:
    """The JSON body of the current request. Raises BadRequest."""
    must_be(JSON)
    return checked(model, read_all(limit))


def checked(model: type[M], data: bytes) -> M:
    """JSON of at most the depth and size that the model has. Raises BadRequest with all that is wrong."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise BadRequest(_mistakes(error)) from error


def query(model: type[M]) -> M:
    """The query of the current request. Raises BadRequest."""
    given = request.args
    if twice := sorted(name for name in given if len(given.getlist(name)) > 1):
        raise BadRequest(f"given more than once: {', '.join(twice)}")
    try:
        return model.model_validate_strings(given.to_dict())
    except ValidationError as error:
        raise BadRequest(_mistakes(error)) from error


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:10]
    return "; ".join(f"{'.'.join(str(part) for part in e['loc'][:6]) or 'request'}: {e['msg']}" for e in found)

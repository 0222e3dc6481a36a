"""What becomes of an error: one status, one word for programs, one sentence for people.

Legacy routes tell it as ``{"msg"}``, /api/v1 as ``application/problem+json``.
"""

from __future__ import annotations

import http
import json
import logging
from dataclasses import dataclass

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from act import errors
from act.client import identity, model

log = logging.getLogger(__name__)
API = "/api/"
PROBLEM = "application/problem+json"
RETRY_AFTER_S = 5


class BadRequest(errors.ActError):
    """The request itself is wrong, whatever it is about; ``status``: how to tell it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Told:
    """How an error is told. code: of an item or a problem, for programs."""

    status: int
    code: str
    detail: str


# The first that fits holds: special ones come before those they are made from.
_STATUS: tuple[tuple[type[errors.ActError], int, str], ...] = (
    (identity.Unauthorised, 401, "unauthorised"),
    (identity.Forbidden, 403, "forbidden"),
    (model.TooLarge, 413, "too_large"),
    (model.QuotaExceeded, 403, "quota_exceeded"),
    (model.JobNotFound, 404, "not_found"),
    (errors.OutputMissing, 404, "not_found"),
    (model.WrongState, 409, "wrong_state"),
    (errors.JobError, 400, "bad_job"),
    (identity.BadCredential, 400, "bad_credential"),
    (errors.TemporaryError, 503, "unavailable"),
)


def told(error: Exception) -> Told:
    """How to tell an error; what is nobody's fault but ours is told without its words."""
    if isinstance(error, BadRequest):
        return Told(error.status, _code(error.status), str(error))
    if isinstance(error, HTTPException):
        status = error.code or 500
        return Told(status, _code(status), error.description or title(status))
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return Told(status, code, str(error))
    return Told(500, "server_error", f"Server error; the operators find it in their logs as {g.request_id}")


def answer(error: Exception) -> Response:
    """The answer to a request that failed: for the whole app, the only place where that is decided."""
    what = told(error)
    if what.status == 500:
        log.error("%s: %s %s", g.request_id, request.method, ascii(request.path), exc_info=error)
    if request.path.startswith(API):
        body = {"title": title(what.status), "status": what.status, "detail": what.detail, "code": what.code}
        response = Response(json.dumps(body), what.status, content_type=PROBLEM)
    else:
        response = Response(json.dumps({"msg": what.detail}), what.status, content_type="application/json")
    if isinstance(error, HTTPException):
        for name, value in error.get_headers(request.environ):
            if name in ("Allow", "Content-Range"):
                response.headers[name] = value
    if what.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="act"'
    if what.status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def install(app: Flask) -> None:
    """Answer every error of the app in this way."""
    app.register_error_handler(Exception, answer)


def _code(status: int) -> str:
    return title(status).lower().replace(" ", "_").replace("-", "_")


def title(status: int) -> str:
    """``404`` -> ``Not Found``."""
    return http.HTTPStatus(status).phrase

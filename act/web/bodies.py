"""Bodies of requests: read piece by piece, never more than allowed, and to their real end."""

from __future__ import annotations

import io
from typing import Any

import pydantic_core
from flask import request

from act.web.errors import BadRequest

PIECE = 1 << 16


class Body(io.RawIOBase):
    """The body of the current request. One that breaks off, stalls or is longer than ``limit`` bytes is refused."""

    def __init__(self, limit: int) -> None:
        self._source = request.environ["wsgi.input"]
        self._limit = limit
        self._announced = request.content_length
        self._got = 0
        if self._announced is not None and self._announced > limit:
            raise self._too_large()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; empty at the end. Raises BadRequest."""
        left = self._limit + 1 - self._got
        if self._announced is not None:
            left = self._announced - self._got
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        try:
            data: bytes = self._source.read(wanted)
        except TimeoutError as error:
            raise BadRequest("the body of the request came too slowly: send it again", 408) from error
        except (OSError, ValueError) as error:
            raise BadRequest(f"the body of the request is broken: {error}") from error
        self._got += len(data)
        if self._got > self._limit:
            raise self._too_large()
        if not data and self._announced is not None:
            raise BadRequest("the body of the request broke off: send it again")
        return data

    def _too_large(self) -> BadRequest:
        return BadRequest(f"the body of the request is larger than the {self._limit} bytes that are allowed here", 413)


def read_all(limit: int) -> bytes:
    """The whole body, of at most ``limit`` bytes."""
    body, pieces = Body(limit), []
    while piece := body.read(PIECE):
        pieces.append(piece)
    return b"".join(pieces)


def must_be(media_type: str) -> None:
    """Refuse a body that says it is something else."""
    if request.mimetype != media_type:
        raise BadRequest(f"send the request as {media_type}, not as '{request.mimetype}'", 415)


def parse_json(data: bytes) -> Any:
    """Any JSON value; deep nesting, numbers that are none and broken characters are refused."""
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"the body of the request is not good JSON: {error}") from error

"""multipart/form-data (RFC 7578) as a stream of parts: nothing of a file is kept but the piece that is passed on.

Our own, as parsers of frameworks spool whole files first, and the streaming one of Werkzeug adds a byte to a file where
a piece of the body ends between a boundary and the two bytes after it (seen in 3.1.9).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from flask import request
from werkzeug.http import parse_options_header

from act.web.bodies import PIECE, Body
from act.web.errors import BadRequest

HEAD_BYTES = 16 << 10  # of the headers of a part
LONGEST_BOUNDARY = 200  # RFC 2046 has 70, and some clients go a bit beyond it
_LONG_HEAD = "the head of a part of the request is too long"


@dataclass(frozen=True, slots=True)
class Part:
    """One part, to be read before the next is asked for. filename: "" if it is no file."""

    name: str
    filename: str
    data: io.RawIOBase


def parts(body: Body) -> Iterator[Part]:
    """The parts of the current request, in order. Raises BadRequest."""
    boundary = request.mimetype_params.get("boundary", "")
    if not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
        raise BadRequest("the content type of the request names no boundary of its parts")
    stream = _Stream(body, b"\r\n--" + boundary.encode())
    stream.skip()  # what comes before the first boundary means nothing
    while stream.begin_part():
        told = stream.disposition()
        yield Part(told.get("name", ""), told.get("filename", ""), _Data(stream))
        stream.skip()


class _Stream:
    """The body, seen as pieces of content between boundaries."""

    def __init__(self, body: Body, delimiter: bytes) -> None:
        self._body, self._delimiter = body, delimiter
        self._buffer = bytearray(b"\r\n")  # which belongs to a boundary, and lacks before the first one
        self._at_boundary = False

    def read(self, size: int) -> bytes:
        """Some bytes of content, at most ``size``; none when the next boundary is reached."""
        while not self._at_boundary:
            end = self._buffer.find(self._delimiter)
            # where there is no boundary in the buffer, one may still begin at its end
            sure = end if end >= 0 else len(self._buffer) - len(self._delimiter) + 1
            if sure > 0:
                data = bytes(self._buffer[: min(size, sure)])
                del self._buffer[: len(data)]
                return data
            if end == 0:
                self._at_boundary = True
            else:
                self._fill()
        return b""

    def skip(self) -> None:
        """Go to the next boundary."""
        while self.read(PIECE):
            pass

    def begin_part(self) -> bool:
        """Go past the boundary; False if it was the last one."""
        del self._buffer[: len(self._delimiter)]
        self._at_boundary = False
        while len(self._buffer) < 2:
            self._fill()
        if self._buffer.startswith(b"--"):
            return False
        if self._line().strip(b" \t"):
            raise BadRequest("the parts of the request are broken: something stands behind a boundary")
        return True

    def disposition(self) -> dict[str, str]:
        """What the headers of a part say in Content-Disposition."""
        told: dict[str, str] = {}
        size = 0
        while line := self._line():
            size += len(line)
            if size > HEAD_BYTES:
                raise BadRequest(_LONG_HEAD)
            name, _, value = line.decode("utf-8", "replace").partition(":")
            if name.strip().lower() == "content-disposition":
                kind, told = parse_options_header(value)
                if kind.lower() != "form-data":
                    raise BadRequest("the parts of the request are broken: one is not of a form")
        return told

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES:
                raise BadRequest(_LONG_HEAD)
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _fill(self) -> None:
        piece = self._body.read(PIECE)
        if not piece:
            raise BadRequest("the parts of the request are broken: the last boundary is missing")
        self._buffer += piece


class _Data(io.RawIOBase):
    """The content of the part that the stream is in."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """``size`` bytes, less only at the end; all for a negative one."""
        pieces, left = [], size
        while left and (piece := self._stream.read(PIECE if left < 0 else left)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

"""Bodies of multipart/form-data with many files, read one after the other while they are sent."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from act.cli.user.errors import Refused

PIECE = 1 << 17


class Multipart:
    """The part "request" (JSON), then one part per file: (part's name, file's name there, path)."""

    def __init__(self, request: Mapping[str, Any], files: Sequence[tuple[str, str, Path]]) -> None:
        boundary = f"act-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        head = 'Content-Disposition: form-data; name="request"\r\nContent-Type: application/json'
        self._start = f"--{boundary}\r\n{head}\r\n\r\n".encode() + json.dumps(request).encode() + b"\r\n"
        self._files = [(_head(boundary, part, name), path, path.stat().st_size) for part, name, path in files]
        self._end = f"--{boundary}--\r\n".encode()
        self.size = len(self._start) + len(self._end) + sum(len(h) + s + 2 for h, _, s in self._files)

    def pieces(self, watch: Callable[[int], None]) -> Iterator[bytes]:
        """The body; watch is told the size of each piece of a file before it goes out, and may raise."""
        yield self._start
        for head, path, size in self._files:
            yield head
            yield from read_pieces(path, size, watch)
            yield b"\r\n"
        yield self._end


def _head(boundary: str, part: str, name: str) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{part}"; filename="{name}"'
    return f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()


def read_pieces(path: Path, size: int, watch: Callable[[int], None]) -> Iterator[bytes]:
    """A file piece by piece. Raises Refused if it has no longer ``size`` bytes."""
    left = size
    try:
        with path.open("rb") as file:
            while piece := file.read(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                watch(len(piece))
                yield piece
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}") from error
    if left:
        raise Refused(f"{path} changed while it was sent: submit again when it is complete")

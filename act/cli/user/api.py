"""The server's API, call by call. Shapes of answers are those of its OpenAPI document."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from act.cli.user.errors import Unreachable
from act.cli.user.multipart import Multipart, read_pieces
from act.cli.user.selection import Selection
from act.cli.user.transport import Call, Transport

PAGE = 5000
LARGEST_LOOK = 200_000_000  # bytes, for the time that one look may take
MOST_CONFIRMED = 1000
WORK_S = 300.0  # that the server may take for many jobs

Json = dict[str, Any]
Watch = Callable[[int], None]  # told how many more bytes went out; may raise to give up


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes) -> object:
        """All of them."""


@dataclass(frozen=True, slots=True)
class Live:
    """A look at a file of a job. state: of the job; final: there will be no more."""

    state: str
    final: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a result file from ``start`` on, which is 0 if the server did not go on where it was asked to."""

    start: int
    data: Iterator[bytes]


class Api:
    """What a user can ask of the tower. All methods raise what `Transport` does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.server = transport.server

    def info(self) -> Json:
        """Who we are, CEs, limits and what is used of them."""
        return self._transport.object(Call("GET", "info", repeat=True))

    # --- credentials

    def offer(self, chain: str) -> Json:
        """Begin to hand over a proxy: a request to sign, and a token to finish with."""
        return self._transport.object(Call("POST", "proxies", body={"chain": chain}))

    def accept(self, chain: str) -> Json:
        """Finish the hand-over that our token is for: the token of a session."""
        return self._transport.object(Call("PUT", "proxies", body={"chain": chain}))

    def abandon(self) -> None:
        """Give up the hand-over or session that our token is for."""
        self._transport.send(Call("DELETE", "proxies", repeat=True))

    def end_sessions(self) -> None:
        """End all sessions of this user."""
        self._transport.send(Call("DELETE", "sessions", repeat=True))

    # --- submission; a key makes repeats harmless

    def submit(self, request: Mapping[str, Any]) -> list[Json]:
        """Create jobs; those without inputs to upload are submitted with it. Answers in order."""
        return self._items(Call("POST", "jobs", body=request, repeat=True, wait_s=WORK_S), "jobs")

    def submit_with(
        self, request: Mapping[str, Any], parts: Sequence[tuple[str, str, Path]], watch: Watch
    ) -> list[Json]:
        """Create and submit jobs with their inputs: (index of the job or "*", name, file)."""
        body = Multipart(request, parts)
        call = Call("POST", "jobs", content=lambda: body.pieces(watch), size=body.size,
                    headers={"Content-Type": body.content_type}, repeat=True, wait_s=WORK_S)  # fmt: skip
        return self._items(call, "jobs")

    def upload(self, job_id: int, name: str, path: Path, watch: Watch) -> None:
        """Give a begun job one input."""
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
        self._transport.object(
            Call(
                "PUT", f"jobs/{job_id}/inputs/{quote(name)}", content=lambda: read_pieces(path, size, watch),
                size=size, headers={"Repr-Digest": f"sha-256=:{digest}:", "Content-Type": "application/octet-stream"},
                repeat=True,
            )
        )  # fmt: skip

    def confirm(self, job_ids: Sequence[int]) -> list[Json]:
        """Submit begun jobs whose inputs are there. Answers in order."""
        answers: list[Json] = []
        for start in range(0, len(job_ids), MOST_CONFIRMED):
            body = {"ids": list(job_ids[start : start + MOST_CONFIRMED])}
            answers += self._items(Call("POST", "jobs/confirm", body=body, repeat=True, wait_s=WORK_S), "jobs")
        return answers

    # --- jobs

    def jobs(self, selection: Selection) -> Iterator[Json]:
        """The jobs that are meant, by id."""
        for query in selection.queries():
            cursor: str | None = ""
            while cursor is not None:
                params = query | {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
                page = self._told(Call("GET", "jobs", params=params, repeat=True), "jobs")
                yield from page["jobs"]
                cursor = None if page.get("next") is None else str(page["next"])

    def explain(self, job_id: int) -> list[Json]:
        """Why a job is as it is: stories of a title and lines."""
        return self._items(Call("GET", f"jobs/{job_id}/explain", repeat=True), "stories")

    def change(self, verb: str, selection: Selection) -> tuple[list[Json], list[Json]]:
        """kill, resubmit, fetch or clean; returns jobs that it was done to, and those refused."""
        done: list[Json] = []
        refused: list[Json] = []
        for body in selection.bodies():
            answer = self._told(Call("POST", f"jobs/{verb}", body=body, wait_s=WORK_S), "jobs", "refused")
            done += answer["jobs"]
            refused += answer["refused"]
        return done, refused

    # --- files of jobs

    def results(self, job_id: int) -> list[Json]:
        """Name, size and sha256 of the files that a job left."""
        return self._items(Call("GET", f"jobs/{job_id}/results", repeat=True), "files")

    @contextmanager
    def result(self, job_id: int, name: str, size: int, sha256: str, start: int = 0) -> Iterator[Piece]:
        """A result file of ``size`` bytes, from byte ``start`` on if it still is the one with this digest."""
        headers = {"Range": f"bytes={start}-", "If-Range": f'"{sha256}"'} if start else {}
        call = Call("GET", f"jobs/{job_id}/results/{quote(name)}", headers={"Accept-Encoding": "identity"} | headers)
        with self._transport.stream(call, size) as answer:
            yield Piece(start if answer.status_code == 206 else 0, answer.iter_raw())

    def live(self, job_id: int, name: str, offset: int, out: Sink) -> Live:
        """Write what a file of a job, which may still run, has from ``offset`` on."""
        call = Call("GET", f"jobs/{job_id}/live/{quote(name)}", params={"offset": str(offset)},
                    headers={"Accept-Encoding": "identity"})  # fmt: skip
        with self._transport.stream(call, LARGEST_LOOK) as answer:
            for piece in answer.iter_raw():
                out.write(piece)
            final = answer.headers.get("Act-Final", "").lower() == "true"
            return Live(answer.headers.get("Act-Job-State", ""), final)

    def _items(self, call: Call, key: str) -> list[Json]:
        items: list[Json] = self._told(call, key)[key]
        return items

    def _told(self, call: Call, *keys: str) -> Json:
        """An answer that has lists of objects under these keys."""
        answer = self._transport.object(call)
        for key in keys:
            items = answer.get(key)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Unreachable(f"{self.server} answered {call.method} {call.path} without '{key}': is it a tower?")
        return answer

"""multipart/form-data is taken apart as it comes, whatever pieces it comes in."""

from __future__ import annotations

from io import BytesIO

import pytest
from flask import Flask
from flask.ctx import RequestContext
from hypothesis import given, settings
from hypothesis import strategies as st

from act.web.bodies import PIECE, Body
from act.web.errors import BadRequest
from act.web.multipart import parts

LIMIT = 10_000_000
KIND = "multipart/form-data; boundary=frontier"


class Dripping(BytesIO):
    """A stream that gives at most so many bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def form(*found: tuple[str, str, bytes]) -> bytes:
    """A body of these parts: (name, filename, content)."""
    body = b""
    for name, filename, content in found:
        file = f'; filename="{filename}"' if filename else ""
        body += f'--frontier\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + b"--frontier--\r\n"


def request(body: BytesIO, kind: str = KIND) -> RequestContext:
    """With a body whose length is not announced."""
    return Flask(__name__).test_request_context("/", method="POST", content_type=kind, input_stream=body)


def taken_apart(data: bytes, step: int = PIECE, read: int = PIECE, kind: str = KIND) -> list[tuple[str, str, bytes]]:
    with request(Dripping(data, step), kind):
        found = []
        for part in parts(Body(LIMIT)):
            content = b""
            while piece := part.data.read(read):
                content += piece
            found.append((part.name, part.filename, content))
        return found


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from("01*"), st.sampled_from(["", "a.txt", "d/b.txt"]), st.binary(max_size=300))),
    st.integers(1, 50), st.integers(1, 50),
)  # fmt: skip
def test_parts_come_out_as_they_went_in(found: list[tuple[str, str, bytes]], step: int, read: int) -> None:
    assert taken_apart(form(*found), step, read) == found


def test_content_that_looks_like_a_boundary_is_content() -> None:
    tricky = b"\r\n--frontie\r\n\r\n-\r\n--\r\n\n--frontier--\r\n\n--frontie"
    assert taken_apart(form(("0", "a", tricky), ("1", "b", b"")), 3) == [("0", "a", tricky), ("1", "b", b"")]


@pytest.mark.parametrize("step", range(1, 40))
def test_it_does_not_matter_where_pieces_of_the_body_end(step: int) -> None:
    found = [("0", "a", b"one\r\n"), ("1", "b", b"\r"), ("*", "c", b"")]
    assert taken_apart(form(*found), step) == found


def test_a_part_without_a_name_has_none() -> None:
    assert taken_apart(b"--frontier\r\n\r\nx\r\n--frontier--") == [("", "", b"x")]


def test_a_large_file_passes_in_pieces() -> None:
    content = bytes(range(256)) * 8000
    assert taken_apart(form(("0", "a", content))) == [("0", "a", content)]


def test_what_nobody_reads_of_a_part_is_skipped() -> None:
    with request(BytesIO(form(("0", "a", b"x" * 500_000), ("1", "b", b"y")))):
        assert [part.name for part in parts(Body(LIMIT))] == ["0", "1"]


@pytest.mark.parametrize("data", [
    b"", b"--frontier", b"nothing", form(("0", "a", b"x"))[:-15], b"--frontier\r\nX: " + b"x" * 1_000_000,
    b"--frontier garbage\r\n\r\nx\r\n--frontier--\r\n",
])  # fmt: skip
def test_what_is_no_form_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        taken_apart(data)


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", KIND + "x" * 300])
def test_a_form_without_a_good_boundary_is_refused(kind: str) -> None:
    with pytest.raises(BadRequest):
        taken_apart(form(), kind=kind)


def test_a_body_beyond_its_limit_is_refused() -> None:
    with (
        Flask(__name__).test_request_context("/", method="POST", data=b"12345"),
        pytest.raises(BadRequest, match="larger than the 4 bytes") as caught,
    ):
        Body(4)
    assert caught.value.status == 413

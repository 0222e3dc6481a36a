"""What is in a session directory: as both versions of A-REX tell it, within bounds, and without what is no good."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.errors import BadJobSpec, CEBroken, OutputMissing, StorageUnavailable
from act_arc import session

Listing = tuple[list[str], list[str]] | None


@pytest.mark.parametrize(("body", "found"), [
    ('{"file":["a","b c"],"dir":["d"]}', (["a", "b c"], ["d"])),
    ('{"file":"a","dir":"d"}', (["a"], ["d"])),
    ('{"file":"a"}', (["a"], [])),
    ('{"file":[],"dir":[]}', ([], [])),
    ("", ([], [])),
    ('{"file":["\\u00C3\\u00BC"]}', (["ü"], [])),
    ('{"file":["\\u00FF", "ok"]}', (["", "ok"], [])),
])  # fmt: skip
def test_a_list_is_read_in_the_words_of_both_versions(body: str, found: tuple[list[str], list[str]]) -> None:
    assert session.parse(body.encode()) == found


@pytest.mark.parametrize("body", ["<HTML>", "[]", '{"file":[1]}', '{"file":{"a":"b"}', '"a"', '{"file":null}'])
def test_what_is_no_list_is_the_fault_of_the_ce(body: str) -> None:
    with pytest.raises(CEBroken):
        session.parse(body.encode())


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)))
def test_names_come_back_whatever_is_in_them(names: list[str]) -> None:
    told = {"file": [name.encode().decode("latin-1") for name in names]}
    assert session.parse(json.dumps(told).encode()) == (names, [])


def test_folders_are_walked_and_names_that_lead_elsewhere_left_out() -> None:
    tree: dict[str, Listing] = {
        "": (["z", "a", "..", "", ".", "x/y", "line\nfeed", "\x1b[31m", "\ufeff"], ["d", "..", "gone", "bad\n"]),
        "d": (["b"], ["e"]),
        "d/e": (["c", "/etc/passwd"], []),
    }
    assert session.walk(tree.get, "") == session.walk(tree.get, "/") == ["a", "d/b", "d/e/c", "z"]
    assert session.walk(tree.get, "d/") == ["d/b", "d/e/c"]
    assert session.walk(tree.get, "nothing/") is None


def test_more_files_or_levels_than_anybody_wants_are_no_list() -> None:
    with pytest.raises(OutputMissing, match="10000 files"):
        session.walk(lambda _: ([], [f"d{n}" for n in range(100)]), "")
    with pytest.raises(OutputMissing, match="50 levels"):
        session.walk(lambda _: ([], ["deeper"]), "")


def test_a_stored_file_comes_in_pieces_and_must_have_its_size() -> None:
    data = bytes(600_000)
    pieces = list(session.chunks(io.BytesIO(data), "a", 600_000))
    assert (b"".join(pieces), len(pieces) > 1, list(session.chunks(io.BytesIO(b""), "a", 0))) == (data, True, [])
    for size in (0, 599_999, 600_001):
        with pytest.raises(BadJobSpec, match=f"the {size} bytes"):
            list(session.chunks(io.BytesIO(data), "a", size))


def test_a_store_that_cannot_be_read_is_not_the_fault_of_the_ce() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(StorageUnavailable):
        list(session.chunks(Broken(), "a", 1))

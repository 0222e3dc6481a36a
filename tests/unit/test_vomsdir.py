"""Promises of act.vomsdir: VOMS attributes count if a server of the VO signed them for this very person, else not."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from act.authorities import Authorities
from act.vomsdir import Believed, believed
from act.x509 import slashed
from act.x509chain import verify
from tests.grid import proxies as grid
from tests.grid.pki import make_ca, make_certificate
from tests.people import ATLAS, HOUR, PROD, People, Proxy, carrier


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


def look(people: People, proxy: Proxy, voms_dir: Path | None = None, later_s: float = 0) -> Believed:
    now, authorities = time.time(), Authorities(people.ca_dir)
    chain = verify(proxy.certificates, authorities, now)
    return believed(chain, voms_dir or people.voms_dir, authorities, now + later_s)


def carrying(people: People, *attribute_certificates: bytes, cn: str = "alice", **how: object) -> Proxy:
    return people.user(cn).make(extensions=[(carrier(*attribute_certificates), False)], **how)  # type: ignore[arg-type]


def test_attributes_by_a_known_server_are_believed_in_their_order(people: People) -> None:
    found = look(people, people.proxy("alice", PROD, ATLAS))
    assert (found.fqans, found.doubts) == (("/atlas/Role=production", "/atlas"), ())
    assert found.attributes[0].expires > time.time() + 3600


def test_a_plain_proxy_has_none_and_no_doubts(people: People) -> None:
    assert look(people, people.proxy("alice")) == Believed((), ())


def test_the_newest_proxy_with_attributes_says_them(people: People) -> None:
    old = people.proxy("alice", PROD)
    new = old.make(extensions=[(carrier(people.attributes("alice", ATLAS)), False)])
    assert look(people, old.make().make()).fqans == ("/atlas/Role=production",)
    assert look(people, new.make()).fqans == ("/atlas",)


def forged(people: People, *, ca: bool = False) -> bytes:
    """Attributes by somebody who calls themselves the VOMS server."""
    authority = make_ca() if ca else (people.ca, people.ca_key)
    server = make_certificate(*authority, grid.VOMS_HOST if ca else "mallory")
    return grid.make_attribute_certificate(people.user("alice").certificates[0], *server, [PROD])


def changed(people: People) -> bytes:
    """Attributes that somebody has improved."""
    return people.attributes("alice", "/atlas/Role=user").replace(b"Role=user", b"Role=root")


def stolen(people: People) -> Proxy:
    """Attributes of bob in a proxy of mallory's whose number is that of bob's certificate."""
    number = people.user("bob").certificates[0].serial_number
    return carrying(people, people.attributes("bob", PROD), cn="mallory", serial=number)


BAD: dict[str, tuple[Callable[[People], Proxy], str]] = {
    "by another certificate of the CA": (
        lambda p: carrying(p, forged(p)), r"signed by .*mallory, which is not the VOMS server",
    ),
    "by a server below an unknown CA": (lambda p: carrying(p, forged(p, ca=True)), "cannot be verified"),
    "changed": (lambda p: carrying(p, changed(p)), "not signed by the VOMS server: the signature does not fit"),
    "of somebody else": (lambda p: carrying(p, p.attributes("bob", PROD)), "made for another certificate"),
    "of somebody else, with their number": (stolen, "made for another certificate"),
    "of another VO": (lambda p: p.proxy("alice", "/cms/Role=production"), "no attribute that this VO can give"),
    "of a VO with the same beginning": (lambda p: p.proxy("alice", "/atlasx"), "no attribute that this VO can give"),
    "with a way out": (lambda p: p.proxy("alice", "/atlas/../cms"), "no attribute that this VO can give"),
    "with markup": (lambda p: p.proxy("alice", "/atlas/<b>x"), "no attribute that this VO can give"),
    "with a line end": (lambda p: p.proxy("alice", "/atlas/x\n/cms"), "no attribute that this VO can give"),
    "that are unreadable": (lambda p: carrying(p, b"\x30\x03\x02\x01\x01"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_other_attributes_are_not_believed_and_it_is_said_why(people: People, what: str) -> None:
    make, told = BAD[what]
    found = look(people, make(people))
    assert found.fqans == ()
    (doubt,) = found.doubts
    assert re.search(told, doubt)


def test_attributes_end(people: People) -> None:
    found = look(people, people.proxy("alice", PROD), later_s=25 * HOUR.total_seconds())
    assert found.fqans == ()
    assert "they ran out: make a new proxy" in found.doubts[0]


def test_good_and_bad_attributes_in_one_proxy_are_told_apart(people: People) -> None:
    found = look(people, carrying(people, forged(people), people.attributes("alice", ATLAS)))
    assert (found.fqans, len(found.doubts)) == (("/atlas",), 1)


@pytest.mark.parametrize(("lines", "good"), [
    ("{server}\n{ca}\n", True),
    ("# a comment\n\n{server}\r\n{ca}\r\n", True),
    ("/O=x/CN=old\n/O=x/CN=CA\n------ NEXT CHAIN ------\n{server}\n{ca}\n", True),
    ("{server}\n/O=x/CN=CA\n", False),
    ("/O=x/CN=old\n{ca}\n", False),
    ("{server}\n", False),
    ("{server}\n{ca}\n/O=x/CN=above\n", False),
    ("", False),
])  # fmt: skip
def test_a_server_must_be_what_its_lsc_file_says(people: People, tmp_path: Path, lines: str, good: bool) -> None:
    path = tmp_path / grid.VO / f"{grid.VOMS_HOST}.lsc"
    path.parent.mkdir()
    server = people.voms[0]
    path.write_text(lines.format(server=slashed(server.subject), ca=slashed(server.issuer)))
    assert bool(look(people, people.proxy("alice", PROD), tmp_path).fqans) is good


def test_a_server_that_nobody_installed_is_not_believed(people: People, tmp_path: Path) -> None:
    (doubt,) = look(people, people.proxy("alice", PROD), tmp_path).doubts
    assert "is not known here: ask the tower's operators to install its .lsc file" in doubt


@pytest.mark.parametrize(("vo", "host"), [("..", "x"), ("atlas", "../../etc/x"), ("", "x"), (".", "x"), ("a/b", "x")])
def test_names_of_vo_and_host_lead_nowhere_else(
    people: People, monkeypatch: pytest.MonkeyPatch, vo: str, host: str
) -> None:
    monkeypatch.setattr(grid, "VO", vo)
    monkeypatch.setattr(grid, "VOMS_HOST", host)
    made = grid.make_attribute_certificate(people.user("alice").certificates[0], *people.voms, [f"/{vo}"])
    found = look(people, carrying(people, made))
    assert found.fqans == ()
    assert any(word in found.doubts[0] for word in ("no attribute", "name no VO and host"))


def test_a_critical_extension_is_meant_for_somebody_else(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = grid.der_extension

    def critical(dotted: str, value: bytes) -> bytes:
        if dotted != "2.5.29.56":
            return plain(dotted, value)
        return grid.der_sequence(grid.der_oid("2.5.29.55"), grid.der(1, b"\xff"), grid.der(4, value))

    monkeypatch.setattr(grid, "der_extension", critical)
    (doubt,) = look(people, people.proxy("alice", PROD)).doubts
    assert "meant for somebody else (extension 2.5.29.55)" in doubt


def test_a_revoked_server_is_not_believed(people: People) -> None:
    path = people.revoke(people.voms[0].serial_number)
    try:
        (doubt,) = look(people, people.proxy("alice", PROD)).doubts
    finally:
        path.unlink()
    assert "has been revoked" in doubt


def test_two_algorithms_in_one_signature_are_not_believed(people: People) -> None:
    good = people.attributes("alice", PROD)
    sha256, sha384 = grid.der_oid("1.2.840.113549.1.1.11"), grid.der_oid("1.2.840.113549.1.1.12")
    head, _, tail = good.rpartition(sha256)
    (doubt,) = look(people, carrying(people, head + sha384 + tail)).doubts
    assert "name two ways" in doubt


def test_a_proxy_with_very_many_attribute_certificates_is_read_in_bounds(people: People) -> None:
    one = people.attributes("alice", ATLAS)
    assert len(look(people, carrying(people, *[one] * 40)).attributes) == 10


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=3))
def test_bytes_that_change_never_change_what_is_believed(people: People, changes: list[tuple[int, int]]) -> None:
    der = bytearray(people.attributes("alice", PROD, ATLAS))
    for at, byte in changes:
        der[at % len(der)] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of numbers that will be errors in time
        found = look(people, carrying(people, bytes(der)))
    assert found.fqans in ((), ("/atlas/Role=production", "/atlas"))

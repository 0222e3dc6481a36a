"""Promises of act.voms: what attribute certificates say, and a clear word where they do not fit."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from act import voms
from act.errors import CredentialError
from act.x509 import sign_request
from tests.grid import pki
from tests.grid import proxies as grid

PROD, NULL = "/atlas/Role=production/Capability=NULL", "/atlas/Role=NULL/Capability=NULL"
FQANS = grid.VOMS_ARC + ".4"
HOUR = datetime.timedelta(hours=1)
Signed = tuple[x509.Certificate, rsa.RSAPrivateKey]


class Authority:
    """A CA with a VOMS server and users."""

    def __init__(self) -> None:
        self.ca = pki.make_ca()
        self.voms = pki.make_certificate(*self.ca, "voms.example.org")
        self.alice = pki.make_certificate(*self.ca, "alice")
        self.bob = pki.make_certificate(*self.ca, "bob")
        self.sample = self.attributes(PROD, NULL)

    def attributes(self, *fqans: str, holder: Signed | None = None) -> bytes:
        """An attribute certificate, DER."""
        return grid.make_attribute_certificate((holder or self.alice)[0], *self.voms, fqans)

    def proxy(self, attributes: bytes | None) -> bytes:
        """A proxy of alice with an attribute certificate."""
        return grid.make_proxy(*self.alice, lifetime=2 * HOUR, attribute_certificate=attributes)

    def carrying(self, attributes: bytes) -> bytes:
        """A certificate with an attribute certificate; quicker to make than a proxy."""
        value = grid.der_sequence(grid.der_sequence(attributes))
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        builder = (
            x509.CertificateBuilder(self.ca[0].subject, self.ca[0].subject, self.ca[0].public_key(), 1)
            .not_valid_before(start)
            .not_valid_after(start + HOUR)
            .add_extension(x509.UnrecognizedExtension(grid.AC_SEQUENCE, value), critical=False)
        )
        return pki.pem(builder.sign(self.ca[1], hashes.SHA256()))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_the_attributes_of_a_proxy_are_read(authority: Authority) -> None:
    (found,) = voms.read(authority.proxy(authority.attributes(PROD, NULL)))
    assert (found.vo, found.fqans) == ("atlas", ("/atlas/Role=production", "/atlas"))
    assert found.holder == "/O=Grid/O=aCT/CN=alice"
    assert found.serial == authority.alice[0].serial_number
    assert found.issuer == "/O=Grid/O=aCT/CN=voms.example.org"
    lifetime = found.expires - datetime.datetime.now(datetime.UTC).timestamp()
    assert abs(lifetime - grid.LIFETIME.total_seconds()) < 60


def test_a_plain_proxy_has_none(authority: Authority) -> None:
    assert voms.read(authority.proxy(None)) == ()


def test_attributes_deeper_in_the_chain_count(authority: Authority) -> None:
    proxy = authority.proxy(authority.attributes(PROD))
    key = rsa.generate_private_key(65537, 2048)
    delegated = sign_request(key.public_key(), proxy, 3600)
    assert [a.fqans for a in voms.read(delegated)] == [("/atlas/Role=production",)]


@pytest.mark.parametrize("fqan", ["", "/atlas", NULL, "/atlas/Role=production", PROD])
def test_a_fqan_fits_in_its_long_and_its_short_form(authority: Authority, fqan: str) -> None:
    assert voms.check(authority.proxy(authority.attributes(PROD, NULL)), "atlas", fqan).vo == "atlas"


@pytest.mark.parametrize(("vo", "fqan", "told"), [
    ("atlas", "/atlas/Role=pilot", r"has /atlas/Role=production, /atlas, wanted is /atlas/Role=pilot of VO atlas"),
    ("cms", "", r"has /atlas/Role=production, /atlas, wanted is an attribute of VO cms"),
])  # fmt: skip
def test_a_proxy_without_the_wanted_attribute_is_told_by_what_it_has(
    authority: Authority, vo: str, fqan: str, told: str
) -> None:
    with pytest.raises(CredentialError, match=told):
        voms.check(authority.proxy(authority.attributes(PROD, NULL)), vo, fqan)


def test_a_plain_proxy_is_told_by_that(authority: Authority) -> None:
    with pytest.raises(CredentialError, match="has no VOMS attributes, wanted is /atlas of VO atlas"):
        voms.check(authority.proxy(None), "atlas", "/atlas")


def test_attributes_that_ran_out_do_not_count(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(grid, "LIFETIME", -HOUR)
        old = authority.attributes(PROD)
    with pytest.raises(CredentialError, match=r"ran out at .* UTC: renew it"):
        voms.check(authority.proxy(old), "atlas", PROD)


def test_attributes_of_somebody_else_do_not_count(authority: Authority) -> None:
    stolen = authority.attributes(PROD, holder=authority.bob)
    with pytest.raises(CredentialError, match="made for another certificate"):
        voms.check(authority.proxy(stolen), "atlas", PROD)


def test_what_is_no_proxy_is_a_credential_error() -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        voms.read(b"no proxy at all")


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda ac: ac[:-1],
    "longer than it says": lambda ac: ac + b"\0",
    "without content": lambda ac: grid.der_sequence(),
    "of indefinite length": lambda ac: b"\x30\x80" + ac[4:] + b"\0\0",
    "with a length that is too long": lambda ac: b"\x30\x83\x00" + ac[2:],
    "of another kind": lambda ac: grid.der(0x31, ac[4:]),
    "without attributes": lambda ac: ac.replace(grid.der_oid(FQANS), grid.der_oid(FQANS.replace(".4", ".3"))),
    "of version 1": lambda ac: ac.replace(b"\x02\x01\x01", b"\x02\x01\x00", 1),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_attribute_certificate_is_a_credential_error(authority: Authority, how: str) -> None:
    broken = BROKEN[how](authority.sample)
    assert broken != authority.sample
    assert voms.read(authority.carrying(authority.sample))
    with pytest.raises(CredentialError, match="cannot be read"):
        voms.read(authority.carrying(broken))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
def test_bytes_that_change_do_no_harm_but_a_credential_error(
    authority: Authority, changes: list[tuple[int, int]]
) -> None:
    der = bytearray(authority.sample)
    for at, byte in changes:
        der[at % len(der)] = byte
    with suppress(CredentialError):
        voms.read(authority.carrying(bytes(der)))

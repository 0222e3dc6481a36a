"""Whatever somebody sends for a chain of certificates is read within bounds, and never believed if it was changed."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import CredentialError
from act.x509chain import MAX_BYTES, load
from tests.grid.pki import pem
from tests.people import People, Proxy
from tests.unit.chains import check


def test_texts_are_read_within_bounds_only(people: People) -> None:
    proxy = people.proxy("alice")
    text = (proxy.cert + proxy.chain).encode()
    assert load(text) == list(proxy.certificates)
    for bad, told in (
        (text + b"\n" * MAX_BYTES, "longer than"),
        (pem(people.ca) * 1000, "longer than"),
        (b"-----BEGIN CERTIFICATE-----\n" * 50, "more than 20 certificates"),
        (proxy.pem, "holds a private key: never send that"),
        (b"", "is it PEM"),
        (b"\xff\xfe\0", "is it PEM"),
        (text[:700], "cannot be read"),
    ):
        with pytest.raises(CredentialError, match=told):
            load(bad)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # which will be an error in time
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes_are_never_a_good_proxy_and_no_other_error(
    people: People, changes: list[tuple[int, int]]
) -> None:
    proxy = people.proxy("bob")
    der = bytearray(proxy.certificates[0].public_bytes(serialization.Encoding.DER))
    before = bytes(der)
    for at, byte in changes:
        der[at % len(der)] = byte
    if bytes(der) == before:
        return
    with suppress(ValueError, CredentialError):
        block = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
        check(people, Proxy((*load(block), *proxy.certificates[1:]), proxy.key))
        pytest.fail("a changed certificate was believed")

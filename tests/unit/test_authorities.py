"""The CA directory says who is believed: its CAs, their revocation lists and signing policies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from act.authorities import Authorities
from act.errors import ConfigError, CredentialError
from act.simulation.ca import subject_hash
from act.x509 import slashed
from act.x509chain import verify
from tests.grid.pki import key_usage, make_certificate, now, subject
from tests.people import HOUR, People, Proxy, spare_key
from tests.unit.chains import ALICE, check


def intermediate(people: People, **names: object) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """A CA below the CA."""
    key = spare_key(1)
    builder = (
        x509.CertificateBuilder(people.ca.subject, subject("middle CA"), key.public_key(), 99)
        .not_valid_before(now() - HOUR)
        .not_valid_after(now() + 24 * HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    return builder.sign(people.ca_key, hashes.SHA256()), key


def test_a_ca_below_a_ca_counts_if_it_is_in_the_directory(own: People) -> None:
    middle = intermediate(own)
    certificate, key = make_certificate(*middle, "alice")
    proxy = Proxy((certificate, middle[0]), key).make()
    with pytest.raises(CredentialError, match="/CN=middle CA, a certificate authority that is not trusted here"):
        check(own, proxy)
    own.trust(middle[0], "middle")
    assert check(own, proxy).issuer == "/O=Grid/O=aCT/CN=middle CA"


def test_a_ca_without_its_root_is_not_enough(own: People) -> None:
    middle = intermediate(own)
    certificate, key = make_certificate(*middle, "alice")
    own.trust(middle[0], "middle")
    (own.ca_dir / f"{own.base}.0").unlink()
    with pytest.raises(CredentialError, match="no root certificate authority"):
        check(own, Proxy((certificate,), key).make())


def test_revoking_a_ca_revokes_all_below_it(own: People) -> None:
    middle = intermediate(own)
    certificate, key = make_certificate(*middle, "alice")
    own.trust(middle[0], "middle")
    own.revoke(99)
    with pytest.raises(CredentialError, match="middle CA has been revoked by"):
        check(own, Proxy((certificate,), key).make())


@pytest.mark.parametrize("layout", ["hash.0", "hash.1", "name.pem", "link"])
def test_every_layout_of_the_directory_is_read(own: People, layout: str) -> None:
    first = own.ca_dir / f"{own.base}.0"
    match layout:
        case "hash.1":
            first.rename(own.ca_dir / f"{own.base}.1")
        case "name.pem":
            first.rename(own.ca_dir / "Test-CA.pem")
        case "link":
            first.rename(own.ca_dir / "Test-CA.pem")
            first.symlink_to("Test-CA.pem")
    (own.ca_dir / "README.pem").write_text("nothing of the kind")
    assert check(own, own.proxy("alice")).subject == ALICE


def test_who_is_revoked_is_refused_and_others_are_not(own: People) -> None:
    own.revoke(own.user("alice").certificates[0].serial_number)
    assert check(own, own.proxy("bob"))
    with pytest.raises(CredentialError, match=r"alice has been revoked by .*: get a new certificate"):
        check(own, own.proxy("alice"))


def test_a_new_revocation_list_counts_at_once(own: People) -> None:
    authorities = Authorities(own.ca_dir)
    own.revoke()
    assert verify(own.proxy("alice").certificates, authorities, time.time())
    own.revoke(own.user("alice").certificates[0].serial_number)
    with pytest.raises(CredentialError, match="has been revoked"):
        verify(own.proxy("alice").certificates, authorities, time.time())


def test_a_revocation_list_is_found_by_the_name_of_its_cas_file(own: People) -> None:
    path = own.revoke(own.user("alice").certificates[0].serial_number)
    (own.ca_dir / f"{own.base}.0").rename(own.ca_dir / "Test-CA.pem")
    assert check(own, own.proxy("alice"))
    path.rename(own.ca_dir / "Test-CA.r0")
    with pytest.raises(CredentialError, match="has been revoked"):
        check(own, own.proxy("alice"))


def test_a_revocation_list_that_ran_out_makes_all_of_its_ca_bad(own: People) -> None:
    own.revoke(next_update=-HOUR)
    with pytest.raises(CredentialError, match=r"revocation list of .* ran out at .* UTC.*fetch-crl"):
        check(own, own.proxy("alice"))


def test_a_revocation_list_of_somebody_else_makes_all_of_its_ca_bad(own: People) -> None:
    own.revoke(key=spare_key())
    with pytest.raises(CredentialError, match="is not signed by it: tell the tower's operators"):
        check(own, own.proxy("alice"))


def test_a_broken_revocation_list_makes_all_of_its_ca_bad(own: People) -> None:
    own.revoke().write_text("<html>404</html>")
    with pytest.raises(CredentialError, match=r"\.r0 is broken"):
        check(own, own.proxy("alice"))


POLICY = "# whom it signs\naccess_id_CA  X509  '{ca}'\npos_rights globus CA:sign\ncond_subjects globus {subjects}\n"


@pytest.mark.parametrize(("subjects", "good"), [
    ("'\"/O=Grid/O=aCT/*\"'", True),
    ("'\"/DC=org/*\" \"/O=Grid/O=aCT/CN=al?ce\"'", True),
    ('"/O=Grid/*"', True),
    ("'\"/DC=org/*\"'", False),
    ("'\"/O=Grid/O=aCT/CN=alice/*\"'", False),
])  # fmt: skip
def test_a_signing_policy_binds_its_ca(own: People, subjects: str, good: bool) -> None:
    policy = POLICY.format(ca=slashed(own.ca.subject), subjects=subjects)
    (own.ca_dir / f"{own.base}.signing_policy").write_text(policy)
    if good:
        assert check(own, own.proxy("alice"))
    else:
        with pytest.raises(CredentialError, match="outside what the signing policy lets"):
            check(own, own.proxy("alice"))


def test_a_signing_policy_of_another_ca_lets_nothing_be_signed(own: People) -> None:
    text = POLICY.format(ca="/O=Other/CN=CA", subjects="'\"/*\"'")
    (own.ca_dir / f"{own.base}.signing_policy").write_text(text)
    with pytest.raises(CredentialError, match="outside what the signing policy lets"):
        check(own, own.proxy("alice"))


def test_a_missing_directory_is_the_operators_to_correct(tmp_path: Path, people: People) -> None:
    with pytest.raises(ConfigError, match="correct ca_dir"):
        verify(people.proxy("alice").certificates, Authorities(tmp_path / "none"), time.time())


def test_the_hash_of_a_name_is_openssls(people: People) -> None:
    assert people.base == subject_hash(people.ca.subject)

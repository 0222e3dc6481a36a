"""Promises of act.x509, checked with certificates made here and with openssl as an independent judge."""

from __future__ import annotations

import base64
import datetime
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from act.errors import CredentialError
from act.x509 import load_public_key_of_request, make_proxy, read_proxy, sign_request

DAY = 86400.0
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass(frozen=True)
class User:
    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes
    end: float


def name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


CA_NAME = name((NameOID.ORGANIZATION_NAME, "Grid"), (NameOID.COMMON_NAME, "CA"))
USER_NAME = name((NameOID.DOMAIN_COMPONENT, "org"), (NameOID.ORGANIZATION_NAME, "Grid"), (NameOID.COMMON_NAME, "Jane"))


def certify(subject: x509.Name, public_key: object, ca_key: rsa.RSAPrivateKey, days: float = 30) -> x509.Certificate:
    is_ca = subject == CA_NAME
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(CA_NAME)
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=60))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )


def pem_of(value: x509.Certificate | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(value, x509.Certificate):
        return value.public_bytes(serialization.Encoding.PEM)
    return value.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def ca_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def user(ca_key: rsa.RSAPrivateKey, key: rsa.RSAPrivateKey) -> User:
    ca = certify(CA_NAME, ca_key.public_key(), ca_key)
    certificate = certify(USER_NAME, key.public_key(), ca_key)
    return User(pem_of(ca), pem_of(certificate), pem_of(key), certificate.not_valid_after_utc.timestamp())


@pytest.fixture(scope="module")
def proxy(user: User) -> bytes:
    return make_proxy(user.cert_pem, user.key_pem, DAY)


@pytest.fixture(scope="module")
def second(proxy: bytes) -> bytes:
    """A proxy of the proxy."""
    return make_proxy(proxy, proxy, DAY)


@pytest.fixture(scope="module")
def csr(key: rsa.RSAPrivateKey) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(name((NameOID.COMMON_NAME, "delegation")))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def openssl_verify(tmp_path: Path, chain: bytes, user: User) -> str:
    (tmp_path / "ca.pem").write_bytes(user.ca_pem)
    (tmp_path / "chain.pem").write_bytes(chain)
    command = "openssl verify -allow_proxy_certs -CAfile ca.pem -untrusted chain.pem chain.pem"
    return subprocess.run(
        command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    ).stdout.strip()


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def csr_with_version(csr: bytes, version: int) -> bytes:
    """The same CSR with another version number, as A-REX 6 sends it."""
    der = bytearray(base64.b64decode(b"".join(csr.splitlines()[1:-1])))
    der[der.index(b"\x02\x01\x00") + 2] = version
    kind = b"CERTIFICATE REQUEST-----\n"
    return b"-----BEGIN " + kind + base64.encodebytes(bytes(der)) + b"-----END " + kind


def test_openssl_accepts_a_proxy(tmp_path: Path, user: User, proxy: bytes) -> None:
    assert openssl_verify(tmp_path, proxy, user) == "chain.pem: OK"


def test_openssl_accepts_a_proxy_of_a_proxy(tmp_path: Path, user: User, second: bytes) -> None:
    assert openssl_verify(tmp_path, second, user) == "chain.pem: OK"


def test_openssl_accepts_a_delegation_and_would_refuse_a_forged_one(
    tmp_path: Path, user: User, proxy: bytes, csr: bytes
) -> None:
    delegated = sign_request(csr, proxy, DAY)
    assert openssl_verify(tmp_path, delegated, user) == "chain.pem: OK"
    leaf, *_ = certificates(delegated)
    assert "OK" not in openssl_verify(tmp_path, pem_of(leaf) + user.cert_pem, user)


def test_openssl_accepts_a_proxy_of_an_elliptic_curve_certificate(
    tmp_path: Path, user: User, ca_key: rsa.RSAPrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certify(USER_NAME, key.public_key(), ca_key)
    assert openssl_verify(tmp_path, make_proxy(pem_of(certificate), pem_of(key), DAY), user) == "chain.pem: OK"


def test_a_proxy_file_is_certificate_key_chain(user: User, proxy: bytes) -> None:
    kinds = [line for line in proxy.decode().splitlines() if line.startswith("-----BEGIN")]
    assert kinds == ["-----BEGIN CERTIFICATE-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----"]
    assert proxy.endswith(user.cert_pem)


def test_a_delegation_carries_the_whole_chain_and_no_key(second: bytes, csr: bytes) -> None:
    delegated = sign_request(csr, second, DAY)
    assert b"PRIVATE" not in delegated
    leaf, *chain = certificates(delegated)
    assert chain == certificates(second)
    assert leaf.public_key() == x509.load_pem_x509_csr(csr).public_key()


def test_a_delegation_can_be_signed_for_a_bare_public_key(proxy: bytes, csr: bytes) -> None:
    key = load_public_key_of_request(csr)
    assert certificates(sign_request(key, proxy, DAY))[0].public_key() == key


def test_a_proxy_never_outlives_its_issuer(user: User, proxy: bytes, csr: bytes) -> None:
    assert read_proxy(make_proxy(user.cert_pem, user.key_pem, 400 * DAY)).expires == user.end
    delegated = certificates(sign_request(csr, proxy, 2 * DAY))[0]
    assert delegated.not_valid_after_utc.timestamp() == read_proxy(proxy).expires


def test_a_proxy_starts_within_its_issuers_time_and_tolerates_slow_clocks(user: User, csr: bytes) -> None:
    at = NOW.timestamp()
    made = certificates(sign_request(csr, user.cert_pem + user.key_pem, DAY, now=at))[0]
    assert made.not_valid_before_utc.timestamp() == at - 300
    assert made.not_valid_after_utc.timestamp() == at + DAY


def test_two_proxies_differ_in_key_name_and_serial(proxy: bytes, second: bytes) -> None:
    one, two = certificates(proxy)[0], certificates(second)[0]
    assert one.serial_number != two.serial_number
    assert one.subject != two.subject
    assert one.public_key() != two.public_key()


def test_reading_tells_the_person_behind_a_proxy(proxy: bytes, second: bytes) -> None:
    info = read_proxy(second)
    assert info.identity == "/DC=org/O=Grid/CN=Jane"
    assert info.issuer == read_proxy(proxy).subject
    assert info.subject.startswith(info.issuer + "/CN=")
    assert info.expires == read_proxy(proxy).expires


def test_names_are_written_as_openssl_writes_them(
    tmp_path: Path, ca_key: rsa.RSAPrivateKey, key: rsa.RSAPrivateKey
) -> None:
    subject = name(
        (NameOID.COUNTRY_NAME, "SE"),
        (NameOID.EMAIL_ADDRESS, "jane@example.org"),
        (NameOID.SERIAL_NUMBER, "7"),
        (NameOID.COMMON_NAME, "Jané"),
    )
    certificate = pem_of(certify(subject, key.public_key(), ca_key))
    (tmp_path / "c.pem").write_bytes(certificate)
    command = "openssl x509 -noout -subject -nameopt compat -in c.pem"
    seen = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True).stdout
    assert seen.strip() == f"subject={read_proxy(certificate + pem_of(key)).identity}"


@pytest.mark.parametrize("version", [0, 2])
def test_a_request_is_read_whatever_version_it_claims(csr: bytes, version: int) -> None:
    key = load_public_key_of_request(csr_with_version(csr, version))
    assert key == x509.load_pem_x509_csr(csr).public_key()


def test_garbage_requests_are_refused(csr: bytes) -> None:
    cut = csr_with_version(csr, 2).splitlines()
    for garbage in (b"", b"not PEM", b"\n".join([cut[0], cut[1][:8], cut[-1]]), csr.replace(b"M", b"!")):
        with pytest.raises(CredentialError):
            load_public_key_of_request(garbage)


def test_an_expired_issuer_is_told_with_its_date(ca_key: rsa.RSAPrivateKey, key: rsa.RSAPrivateKey) -> None:
    old = pem_of(certify(USER_NAME, key.public_key(), ca_key, days=-2))
    with pytest.raises(CredentialError, match=r"/CN=Jane expired at \d{4}-.* UTC: renew it"):
        make_proxy(old, pem_of(key), DAY)


def test_a_key_of_another_certificate_is_refused(user: User, ca_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CredentialError, match="does not belong to the certificate /DC=org/O=Grid/CN=Jane"):
        make_proxy(user.cert_pem, pem_of(ca_key), DAY)


def test_a_key_with_a_passphrase_is_refused_with_advice(user: User, key: rsa.RSAPrivateKey) -> None:
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(CredentialError, match="passphrase"):
        make_proxy(user.cert_pem, locked, DAY)


def test_a_key_of_an_unknown_kind_is_refused(user: User) -> None:
    odd = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CredentialError, match="neither RSA nor elliptic-curve"):
        make_proxy(user.cert_pem, odd, DAY)


def test_files_that_are_no_proxies_are_refused(user: User, proxy: bytes) -> None:
    for garbage in (b"", b"\xff\xfe", user.cert_pem, user.key_pem, proxy[:300]):
        with pytest.raises(CredentialError):
            read_proxy(garbage)


def test_a_proxy_without_its_chain_is_refused(user: User, proxy: bytes) -> None:
    with pytest.raises(CredentialError, match="put the whole chain into the file"):
        read_proxy(proxy.removesuffix(user.cert_pem))


def test_a_legacy_proxy_is_refused(ca_key: rsa.RSAPrivateKey, key: rsa.RSAPrivateKey) -> None:
    legacy = x509.Name([*USER_NAME, x509.NameAttribute(NameOID.COMMON_NAME, "proxy")])
    with pytest.raises(CredentialError, match="legacy proxy"):
        read_proxy(pem_of(certify(legacy, key.public_key(), ca_key)) + pem_of(key))

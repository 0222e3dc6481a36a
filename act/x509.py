"""X.509 proxies (RFC 3820): make them, sign delegation requests with them, read them.

A proxy in PEM is laid out as grid software expects it: certificate, key, then the chain that leads to the end entity.
Every function raises CredentialError with what the operator can do about it.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from act.errors import CredentialError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

KEY_BITS = 2048
SKEW_S = 300.0  # clocks of CEs may be this much behind ours

PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
# ProxyCertInfo without path limit whose policy language is id-ppl-inheritAll (RFC 3820, 3.8.2).
INHERIT_ALL = bytes.fromhex("300c300a06082b06010505071501")
# What proxies from before RFC 3820 add to their issuer's name.
LEGACY_ENDINGS = ("/CN=proxy", "/CN=limited proxy")

# What cryptography raises for certificates that it cannot make sense of.
UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)
_RSA_HASHES: dict[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    SignatureAlgorithmOID.RSA_WITH_SHA1: hashes.SHA1(),
    SignatureAlgorithmOID.RSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.RSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.RSA_WITH_SHA512: hashes.SHA512(),
}
_EC_HASHES: dict[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: hashes.SHA512(),
}
_MISLEADING = re.compile(r"/[A-Za-z0-9.]+=|\\")  # in a value, these make one name look like another

# Names that OpenSSL writes differently from RFC 4514.
_OPENSSL_NAMES = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "title",
    NameOID.STREET_ADDRESS: "street",
}


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """What a proxy says of itself. Names in OpenSSL's slash form.

    identity: subject of the end-entity certificate, the person or robot. expires: epoch seconds at which the first
    certificate of the chain runs out.
    """

    subject: str
    issuer: str
    identity: str
    expires: float


def make_proxy(cert_pem: bytes, key_pem: bytes, lifetime_s: float, now: float | None = None) -> bytes:
    """A new proxy with its own key, in PEM, signed by the key in ``key_pem``.

    cert_pem: certificate or proxy, then its chain; a proxy file may be given for both arguments. The new proxy ends
    after ``lifetime_s`` or with its issuer, whichever is sooner. now: epoch seconds, default the clock.
    """
    chain, issuer_key = _credential(cert_pem, key_pem)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    proxy = _sign(key.public_key(), chain, issuer_key, lifetime_s, now)
    return _pem([proxy]) + _key_pem(key) + _pem(chain)


def sign_request(request: bytes | PublicKey, proxy_pem: bytes, lifetime_s: float, now: float | None = None) -> bytes:
    """Delegate: a proxy certificate for the request's key with the full chain, in PEM, without any key.

    request: the CSR in PEM, or its public key. Only the key is taken from it.
    """
    public_key = load_public_key_of_request(request) if isinstance(request, bytes) else request
    chain, issuer_key = _credential(proxy_pem, proxy_pem)
    return _pem([_sign(public_key, chain, issuer_key, lifetime_s, now), *chain])


def make_request(subject: x509.Name) -> tuple[bytes, bytes]:
    """(key, request for a proxy of this subject's), both in PEM. Whoever signs it adds a CN to the name."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, INHERIT_ALL), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM)


def load_public_key_of_request(pem: bytes) -> PublicKey:
    """The public key of a CSR in PEM, also of one that claims the version v3 that no standard knows.

    Some CEs send version 2 where PKCS #10 allows only 0, and `cryptography` refuses that. The signature of such a
    request is not checked: the CE is authenticated by TLS.
    """
    try:
        try:
            key = x509.load_pem_x509_csr(pem).public_key()
        except x509.InvalidVersion:
            key = x509.load_der_x509_csr(_with_version_0(_pem_body(pem))).public_key()
    except (ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"the CE's delegation request cannot be read: {error}") from error
    if not isinstance(key, PublicKey):
        raise CredentialError("the CE's delegation request has neither an RSA nor an elliptic-curve key")
    return key


def read_proxy(pem: bytes) -> ProxyInfo:
    """Who a proxy acts for and until when; its key must be there and fit. An expired proxy is read like any other."""
    chain, _ = _credential(pem, pem)
    end_entity = next((c for c in chain if not is_proxy(c)), None)
    if end_entity is None:
        raise CredentialError(
            f"the proxy {slashed(chain[0].subject)} comes without its end-entity certificate: "
            "put the whole chain into the file"
        )
    if slashed(end_entity.subject).endswith(LEGACY_ENDINGS):
        raise CredentialError(f"{slashed(end_entity.subject)} is a legacy proxy: make an RFC 3820 one")
    return ProxyInfo(
        subject=slashed(chain[0].subject),
        issuer=slashed(chain[0].issuer),
        identity=slashed(end_entity.subject),
        expires=_end(chain).timestamp(),
    )


def end_of(cert_pem: bytes, key_pem: bytes) -> float:
    """When a certificate or proxy runs out, epoch seconds; ``key_pem`` must fit. Arguments as of `make_proxy`."""
    chain, _ = _credential(cert_pem, key_pem)
    return _end(chain).timestamp()


def slashed(name: x509.Name) -> str:
    """A name as grid software writes it, e.g. /DC=org/O=Grid/CN=Jane Doe (bytes outside ASCII as \\xHH)."""
    return "".join(f"/{_label(attribute)}={_printable(attribute.value)}" for attribute in name)


def check_signature(key: object, algorithm: x509.ObjectIdentifier, signature: bytes, signed: bytes) -> None:
    """Raises CredentialError unless ``signature`` is this public key's for these bytes.

    For proxies and VOMS attributes: SHA-1 counts, as VOMS servers and voms-proxy-init of today still sign with it
    (seen), and CEs take it; `cryptography` does not, for certificates.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), _RSA_HASHES[algorithm])
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(_EC_HASHES[algorithm]))
        else:
            raise CredentialError("the key is neither RSA nor elliptic-curve")
    except InvalidSignature as error:
        raise CredentialError("the signature does not fit") from error
    except (KeyError, UnsupportedAlgorithm) as error:
        raise CredentialError("the signature is of a kind that is not known, or too weak") from error


def check_name(name: x509.Name) -> None:
    """Raises CredentialError for a name whose slash form could be another's."""
    if any(_MISLEADING.search(str(attribute.value)) for attribute in name):
        raise CredentialError(f"the name {slashed(name)} could be taken for another one: get a certificate without it")


def _label(attribute: x509.NameAttribute[str | bytes]) -> str:
    return _OPENSSL_NAMES.get(attribute.oid, attribute.rfc4514_attribute_name)


def _printable(value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return "".join(chr(b) if 0x20 <= b <= 0x7E else f"\\x{b:02X}" for b in raw)


def _credential(cert_pem: bytes, key_pem: bytes) -> tuple[list[x509.Certificate], PrivateKey]:
    """Certificates, leaf first, and the leaf's key."""
    try:
        chain = x509.load_pem_x509_certificates(cert_pem)
    except UNREADABLE as error:
        raise CredentialError(f"no usable certificate (is the file PEM?): {error}") from error
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise CredentialError("the private key has a passphrase: store it without one, readable by act only") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"no usable private key (a proxy file holds certificate, key, chain): {error}") from error
    if not isinstance(key, PrivateKey):
        raise CredentialError("the private key is neither RSA nor elliptic-curve: get a certificate with one of these")
    if key.public_key() != chain[0].public_key():
        raise CredentialError(f"the private key does not belong to the certificate {slashed(chain[0].subject)}")
    return chain, key


def _sign(
    public_key: PublicKey, chain: Sequence[x509.Certificate], key: PrivateKey, lifetime_s: float, now: float | None
) -> x509.Certificate:
    """A proxy certificate for ``public_key``, issued by the first of ``chain``, within the chain's validity."""
    issuer = chain[0]
    start = datetime.datetime.fromtimestamp(time.time() if now is None else now, datetime.UTC)
    end = min(_end(chain), start + datetime.timedelta(seconds=lifetime_s))
    if end <= start:
        raise CredentialError(f"{slashed(issuer.subject)} expired at {_end(chain):%Y-%m-%d %H:%M} UTC: renew it")
    serial = secrets.randbits(62) + 1
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, str(serial))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*issuer.subject.rdns, x509.RelativeDistinguishedName([common_name])]))
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(max(start - datetime.timedelta(seconds=SKEW_S), issuer.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, INHERIT_ALL), critical=True)
        .add_extension(_key_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _end(chain: Sequence[x509.Certificate]) -> datetime.datetime:
    return min(c.not_valid_after_utc for c in chain)


def is_proxy(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that it is an RFC 3820 proxy."""
    try:
        certificate.extensions.get_extension_for_oid(PROXY_CERT_INFO)
    except x509.ExtensionNotFound:
        return False
    except UNREADABLE as error:
        raise CredentialError(f"extensions of {slashed(certificate.subject)} cannot be read: {error}") from error
    return True


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def _pem_body(pem: bytes) -> bytes:
    """The DER inside one PEM block."""
    lines = pem.strip().splitlines()
    try:
        return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"-----")), validate=True)
    except binascii.Error as error:
        raise ValueError(f"bad base64: {error}") from error


def _with_version_0(der: bytes) -> bytes:
    """A CertificationRequest with its version (the first member of its first member) set to v1(0)."""
    info = _content(der, 0)
    version = _content(der, info)
    if der[version : version + 2] != b"\x02\x01":
        raise ValueError("no version where PKCS #10 has it")
    return der[: version + 2] + b"\x00" + der[version + 3 :]


def _content(der: bytes, at: int) -> int:
    """Where the content of the DER element at ``at`` begins."""
    length = der[at + 1]
    return at + 2 + (length & 0x7F if length & 0x80 else 0)

"""Whether a proxy is good: RFC 3820 from its first certificate down to a person, and from there to a trusted CA.

Only what somebody else hands us is verified so; the tower's own proxies come from its operator.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from act.authorities import Authorities
from act.der import INTEGER, SEQUENCE, Der
from act.errors import CredentialError
from act.x509 import LEGACY_ENDINGS, PROXY_CERT_INFO, SKEW_S, UNREADABLE, check_name, check_signature, is_proxy, slashed

E = TypeVar("E", bound=x509.ExtensionType)

MAX_BYTES = 100_000  # of PEM; VOMS attributes with their chains make proxies large
MAX_CERTIFICATES = 20
RSA_BITS = range(2048, 8193)
INHERIT_ALL = x509.ObjectIdentifier("1.3.6.1.5.5.7.21.1")
LIMITED = x509.ObjectIdentifier("1.3.6.1.4.1.3536.1.1.1.9")
_OLD_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.4.1.3536.1.222")  # of drafts of RFC 3820


class Expired(CredentialError):
    """A certificate of the chain has run out."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A proxy that has been verified.

    certificates: the proxies, newest first, then the end entity's. issuer, subject: of the person, in slash form.
    expires: of what ends first, epoch seconds. room: how many further proxies it lets be made; None: any number.
    """

    certificates: tuple[x509.Certificate, ...]
    issuer: str
    subject: str
    expires: float
    room: int | None

    @property
    def person(self) -> x509.Certificate:
        """The end-entity certificate."""
        return self.certificates[-1]

    @property
    def pem(self) -> bytes:
        """The certificates; what else came with them is left out."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in self.certificates)


def load(pem: bytes) -> list[x509.Certificate]:
    """Certificates from a text that somebody sent, within bounds. Raises CredentialError."""
    if len(pem) > MAX_BYTES:
        raise CredentialError(f"it is longer than {MAX_BYTES} bytes: send the proxy and its chain only")
    if b"PRIVATE KEY" in pem:
        raise CredentialError("it holds a private key: never send that to anybody, and make a new proxy now")
    if pem.count(b"-----BEGIN") > MAX_CERTIFICATES:
        raise CredentialError(f"it holds more than {MAX_CERTIFICATES} certificates")
    try:
        return x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise CredentialError(f"it cannot be read, is it PEM? {error}") from error


def verify(certificates: Sequence[x509.Certificate], authorities: Authorities, now: float) -> Chain:
    """The chain that these certificates begin with, newest proxy first.

    Raises CredentialError (Expired), and ConfigError if what the operator installed cannot be read.
    """
    try:
        return _verify(certificates, authorities, now)
    except UNREADABLE as error:
        raise CredentialError(f"a certificate cannot be read: {error}") from error


def _verify(certificates: Sequence[x509.Certificate], authorities: Authorities, now: float) -> Chain:
    count = next((n for n, c in enumerate(certificates) if not is_proxy(c)), None)
    if count is None:
        raise CredentialError("its chain does not reach an end-entity certificate: send the whole chain, in order")
    chain, person = certificates[: count + 1], certificates[count]
    for certificate in chain:
        _check_times(certificate, now)
        _check_key(certificate)
    path = _check_person(person, authorities, now)
    room: int | None = None
    for proxy, issuer in reversed(list(itertools.pairwise(chain))):
        room = _check_proxy(proxy, issuer, room)
    end = min(c.not_valid_after_utc for c in (*chain, *path))
    return Chain(tuple(chain), slashed(person.issuer), slashed(person.subject), end.timestamp(), room)


def _check_person(person: x509.Certificate, authorities: Authorities, now: float) -> list[x509.Certificate]:
    name = slashed(person.subject)
    if name.endswith(LEGACY_ENDINGS) or _has(person, _OLD_CERT_INFO):
        raise CredentialError(f"{name} is a legacy proxy: make an RFC 3820 one (voms-proxy-init -rfc)")
    path = authorities.path(person, now)
    constraints = _extension(person, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise CredentialError(f"{name} is a certificate authority, not a person")
    _check_usage(person)
    check_name(person.subject)
    check_name(person.issuer)
    return path


def _check_proxy(proxy: x509.Certificate, issuer: x509.Certificate, room: int | None) -> int | None:
    """Whether ``issuer`` made ``proxy``, and may have (RFC 3820, 3); how many further ones there may be."""
    name = slashed(proxy.subject)
    last = proxy.subject.rdns[-1:]
    common_name = len(last) == 1 and [a.oid for a in last[0]] == [NameOID.COMMON_NAME]
    if proxy.issuer != issuer.subject:
        raise CredentialError(
            f"{name} was issued by {slashed(proxy.issuer)}, but {slashed(issuer.subject)} comes next in the chain"
        )
    if not common_name or list(proxy.subject.rdns[:-1]) != list(issuer.subject.rdns):
        raise CredentialError(f"{name} is not its issuer's name with one CN more, as a proxy's must be")
    try:
        key, algorithm = issuer.public_key(), proxy.signature_algorithm_oid
        check_signature(key, algorithm, proxy.signature, proxy.tbs_certificate_bytes)
    except CredentialError as error:
        raise CredentialError(f"{name} is not signed by {slashed(issuer.subject)}: {error}") from error
    _check_usage(proxy)
    _check_proxy_only(proxy)
    if room == 0:
        raise CredentialError(f"{slashed(issuer.subject)} lets no further proxy be made (its path length is used up)")
    return _room(proxy, room)


def _room(proxy: x509.Certificate, room: int | None) -> int | None:
    """How many further proxies there may be below this one; its policy must be to hand on all rights."""
    name = slashed(proxy.subject)
    limit, language = _cert_info(proxy)
    if language == LIMITED:
        raise CredentialError(f"{name} is a limited proxy, which CEs do not take jobs with: make a full one")
    if language != INHERIT_ALL:
        raise CredentialError(f"{name} hands on no rights to act for its owner (policy {language.dotted_string})")
    left = [n for n in (limit, None if room is None else room - 1) if n is not None]
    return min(left, default=None)


def _cert_info(proxy: x509.Certificate) -> tuple[int | None, x509.ObjectIdentifier]:
    """(path length, policy language) of ProxyCertInfo (RFC 3820, 3.8)."""
    extension = proxy.extensions.get_extension_for_oid(PROXY_CERT_INFO)
    if not extension.critical or not isinstance(extension.value, x509.UnrecognizedExtension):
        raise CredentialError(f"{slashed(proxy.subject)}: its proxyCertInfo is not critical, as it must be")
    members = Der.whole(extension.value.value).expect(SEQUENCE).members()
    limit = members.pop(0).integer() if members and members[0].tag == INTEGER else None
    if len(members) != 1 or (limit is not None and limit < 0):
        raise ValueError("proxyCertInfo is malformed")
    policy = members[0].expect(SEQUENCE).members()
    if len(policy) not in (1, 2):
        raise ValueError("proxyCertInfo is malformed")
    return limit, policy[0].oid()


def _check_times(certificate: x509.Certificate, now: float) -> None:
    name = slashed(certificate.subject)
    if certificate.not_valid_after_utc.timestamp() <= now:
        raise Expired(f"{name} ran out at {_utc(certificate.not_valid_after_utc)}: make a new proxy")
    if certificate.not_valid_before_utc.timestamp() > now + SKEW_S:
        start = _utc(certificate.not_valid_before_utc)
        raise CredentialError(f"{name} is not valid before {start}: is your clock right?")


def _check_key(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    strong = isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS
    if not strong and not (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256):
        raise CredentialError(
            f"{slashed(certificate.subject)} has a weak or unknown key: make a proxy with 2048 bits (voms-proxy-init "
            "-bits 2048)"
        )


def _check_usage(certificate: x509.Certificate) -> None:
    """Of proxies and persons: they may sign, and ask for nothing that we do not know."""
    name, usage = slashed(certificate.subject), _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise CredentialError(f"{name} may not be used for signatures (keyUsage)")
    for extension in certificate.extensions:
        unknown = isinstance(extension.value, x509.UnrecognizedExtension) and extension.oid != PROXY_CERT_INFO
        if extension.critical and unknown:
            raise CredentialError(f"{name} has a critical extension that is not known: {extension.oid.dotted_string}")


def _check_proxy_only(proxy: x509.Certificate) -> None:
    """Claims that no proxy may make."""
    name = slashed(proxy.subject)
    constraints, usage = _extension(proxy, x509.BasicConstraints), _extension(proxy, x509.KeyUsage)
    if (constraints is not None and constraints.ca) or (usage is not None and usage.key_cert_sign):
        raise CredentialError(f"{name} claims to be a certificate authority, which no proxy can be")
    if _extension(proxy, x509.SubjectAlternativeName) or _extension(proxy, x509.IssuerAlternativeName):
        raise CredentialError(f"{name} has an alternative name, which no proxy may have")


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    return next((e.value for e in certificate.extensions if isinstance(e.value, kind)), None)


def _has(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bool:
    return any(e.oid == oid for e in certificate.extensions)


def _utc(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

"""VOMS attributes: read the attribute certificates (RFC 5755) that a proxy carries, and check them.

Their signatures are left to the CEs, who know the VOMS servers: here it matters whether a proxy can do what it is for.
`act.vomsdir` verifies those of proxies that other people bring.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from act import der
from act.der import Der
from act.errors import CredentialError
from act.x509 import UNREADABLE, slashed

_SEQUENCE_OF_ACS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
_FQANS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.4")
_CERTIFICATES = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.10")

_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Attributes:
    """One attribute certificate. Names in slash form; FQANs without ``Role=NULL`` and ``Capability=NULL``.

    host: of the VOMS server, as the certificate tells it.
    serial: of the certificate it was made for; holder: that one's issuer, or its subject, as VOMS servers differ.
    begins, expires: epoch seconds.
    """

    vo: str
    host: str
    fqans: tuple[str, ...]
    holder: str
    serial: int
    issuer: str
    begins: float
    expires: float


@dataclass(frozen=True, slots=True)
class Signed:
    """An attribute certificate with what is needed to verify it.

    information: the bytes that were signed. algorithms: of the signature, as told inside and outside of them, in DER.
    chain: the certificate of the VOMS server, and what it brought with it. critical: the extensions that must be known
    to whoever relies on it.
    """

    attributes: Attributes
    information: bytes
    algorithms: tuple[bytes, bytes]
    signature: bytes
    chain: tuple[x509.Certificate, ...]
    critical: tuple[x509.ObjectIdentifier, ...]


def read(proxy_pem: bytes) -> tuple[Attributes, ...]:
    """The attribute certificates of a proxy, the newest link of its chain first; () for a plain proxy.

    Raises CredentialError if the chain, or one of them, cannot be read.
    """
    try:
        chain = x509.load_pem_x509_certificates(proxy_pem)
        return tuple(_parse(ac) for certificate in chain for ac in _sequences(certificate))
    except UNREADABLE as error:
        raise CredentialError(f"the VOMS attributes of the proxy cannot be read: {error}") from error


def signed(certificate: x509.Certificate) -> tuple[Signed, ...]:
    """The attribute certificates of one link of a proxy's chain. Raises CredentialError."""
    try:
        return tuple(_parse_signed(ac) for ac in _sequences(certificate))
    except UNREADABLE as error:
        raise CredentialError(f"the VOMS attributes of the proxy cannot be read: {error}") from error


def check(proxy_pem: bytes, vo: str, fqan: str = "") -> Attributes:
    """The attribute certificate of a VO, with this FQAN if one is given, valid now and made for this proxy's owner.

    Raises CredentialError that says what the proxy has and what was wanted.
    """
    wanted = f"{short(fqan)} of VO {vo}" if fqan else f"an attribute of VO {vo}"
    found = read(proxy_pem)
    fitting = [a for a in found if a.vo == vo and (not fqan or short(fqan) in a.fqans)]
    if not fitting:
        has = ", ".join(f for a in found for f in a.fqans) or "no VOMS attributes"
        raise CredentialError(f"the proxy has {has}, wanted is {wanted}: ask for it, or have the VO grant it")
    best = max(fitting, key=lambda a: a.expires)
    if best.expires <= datetime.datetime.now(datetime.UTC).timestamp():
        raise CredentialError(f"the proxy's {wanted} ran out at {_utc(best.expires)}: renew it")
    if best.serial not in {c.serial_number for c in x509.load_pem_x509_certificates(proxy_pem)}:
        raise CredentialError(f"the proxy's {wanted} was made for another certificate: get a new one")
    return best


def short(fqan: str) -> str:
    """A FQAN in its shortest form: ``/atlas/Role=NULL/Capability=NULL`` is ``/atlas``."""
    return fqan.removesuffix("/Capability=NULL").removesuffix("/Role=NULL")


def _utc(moment: float) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M} UTC"


# --- attribute certificates --------------------------------------------------------------------------------------


def _sequences(certificate: x509.Certificate) -> Iterator[Der]:
    """The attribute certificates in one certificate: SEQUENCE OF SEQUENCE OF AttributeCertificate."""
    for extension in certificate.extensions:
        if extension.oid == _SEQUENCE_OF_ACS and isinstance(extension.value, x509.UnrecognizedExtension):
            outer = Der.whole(extension.value.value)
            for sequence in outer.members(der.SEQUENCE):
                yield from sequence.members(der.SEQUENCE)


def _parse(ac: Der) -> Attributes:
    """AttributeCertificate: (information, algorithm, signature); all further structure as in RFC 5755, 4.1."""
    information = _first(ac.members(), der.SEQUENCE, "its information").members()
    if len(information) < 7:
        raise ValueError("an attribute certificate is incomplete")
    version, holder, issuer, _, _, validity, attributes, *_ = information
    if version.expect(der.INTEGER).content != b"\x01":
        raise ValueError("an attribute certificate is not of version 2")
    base = _first(holder.members(), der.CONTEXT_0, "a holder by name and serial number").members()
    names = _first(issuer.expect(der.CONTEXT_0).members(), der.SEQUENCE, "an issuer's name")
    vo, host, fqans = _vo_and_fqans(attributes)
    times = validity.members()
    if len(base) < 2 or len(times) != 2:
        raise ValueError("an attribute certificate lacks its holder or its validity")
    return Attributes(
        vo=vo,
        host=host,
        fqans=fqans,
        holder=_directory_name(base[0]),
        serial=base[1].integer(),
        issuer=_directory_name(names),
        begins=_moment(times[0]),
        expires=_moment(times[1]),
    )


def _parse_signed(ac: Der) -> Signed:
    information, algorithm, signature = ac.members()
    members = information.members()
    attributes = _parse(ac)
    bits = signature.expect(der.BITS).content
    if bits[:1] != b"\0":
        raise ValueError("the signature of an attribute certificate is cut off")
    chain: list[x509.Certificate] = []
    critical = []
    for extension in members[-1].members(der.SEQUENCE) if len(members) > 7 and members[-1].tag == der.SEQUENCE else ():
        kind, *flag, value = extension.members()
        if flag and flag[0].expect(der.BOOLEAN).content != b"\0":
            critical.append(kind.oid())
        if kind.oid() == _CERTIFICATES:
            (listed,) = Der.whole(value.expect(der.OCTETS).content).members(der.SEQUENCE)
            chain += [x509.load_der_x509_certificate(c.encoded) for c in listed.members(der.SEQUENCE)]
    algorithms = (members[3].encoded, algorithm.encoded)
    return Signed(attributes, information.encoded, algorithms, bits[1:], tuple(chain), tuple(critical))


def _vo_and_fqans(attributes: Der) -> tuple[str, str, tuple[str, ...]]:
    """IetfAttrSyntax: the authority is ``<vo>://<host>:<port>``, the values are the FQANs."""
    for attribute in attributes.members(der.SEQUENCE):
        kind, values = attribute.members()
        if kind.oid() != _FQANS:
            continue
        (syntax,) = values.expect(der.SET).members(der.SEQUENCE)
        authority = _first(syntax.members(), der.CONTEXT_0, "an authority")
        uri = _first(authority.members(), der.URI, "the authority's URI").content.decode("ascii")
        listed = _first(syntax.members(), der.SEQUENCE, "FQANs").members(der.OCTETS)
        vo, _, server = uri.partition("://")
        return vo, server.rpartition(":")[0], tuple(short(v.content.decode("utf-8")) for v in listed)
    raise ValueError("an attribute certificate has no FQANs")


def _directory_name(names: Der) -> str:
    """The first directory name of GeneralNames."""
    (name,) = _first(names.members(), der.DIRECTORY_NAME, "a directory name").members(der.SEQUENCE)
    rdns = []
    for rdn in name.members(der.SET):
        pairs = [attribute.members() for attribute in rdn.members(der.SEQUENCE)]
        rdns.append(x509.RelativeDistinguishedName([_attribute(kind, value) for kind, value in pairs]))
    return slashed(x509.Name(rdns))


def _attribute(kind: Der, value: Der) -> x509.NameAttribute[str]:
    if value.tag not in _TEXTS:
        raise ValueError(f"a name holds something with tag {value.tag:#x} for a text")
    return x509.NameAttribute(kind.oid(), value.content.decode(_TEXTS[value.tag]))


def _moment(time: Der) -> float:
    text = time.content.decode("ascii")
    if time.tag == der.UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    elif time.tag != der.TIME:
        raise ValueError(f"a time has tag {time.tag:#x}")
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()


def _first(elements: Sequence[Der], tag: int, what: str) -> Der:
    for element in elements:
        if element.tag == tag:
            return element
    raise ValueError(f"an attribute certificate lacks {what}")

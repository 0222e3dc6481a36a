"""VOMS attributes: read the attribute certificates (RFC 5755) that a proxy carries, and check them.

Their signatures are left to the CEs, who know the VOMS servers: here it matters whether a proxy can do what it is for.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from act.errors import CredentialError
from act.x509 import slashed

_SEQUENCE_OF_ACS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
_FQANS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.4")

# DER tags.
_INTEGER, _OCTETS, _OID, _UTC_TIME, _TIME, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x17, 0x18, 0x30, 0x31
_CONTEXT_0, _DIRECTORY_NAME, _URI = 0xA0, 0xA4, 0x86
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Attributes:
    """One attribute certificate. Names in slash form; FQANs without ``Role=NULL`` and ``Capability=NULL``.

    serial: of the certificate it was made for; holder: that one's issuer, or its subject, as VOMS servers differ.
    expires: epoch seconds.
    """

    vo: str
    fqans: tuple[str, ...]
    holder: str
    serial: int
    issuer: str
    expires: float


def read(proxy_pem: bytes) -> tuple[Attributes, ...]:
    """The attribute certificates of a proxy, the newest link of its chain first; () for a plain proxy.

    Raises CredentialError if the chain, or one of them, cannot be read.
    """
    try:
        chain = x509.load_pem_x509_certificates(proxy_pem)
        return tuple(_parse(ac) for certificate in chain for ac in _sequences(certificate))
    except ValueError as error:
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


def _sequences(certificate: x509.Certificate) -> Iterator[_Der]:
    """The attribute certificates in one certificate: SEQUENCE OF SEQUENCE OF AttributeCertificate."""
    for extension in certificate.extensions:
        if extension.oid == _SEQUENCE_OF_ACS and isinstance(extension.value, x509.UnrecognizedExtension):
            outer = _Der.whole(extension.value.value)
            for sequence in outer.members(_SEQUENCE):
                yield from sequence.members(_SEQUENCE)


def _parse(ac: _Der) -> Attributes:
    """AttributeCertificate: (information, algorithm, signature); all further structure as in RFC 5755, 4.1."""
    information = _first(ac.members(), _SEQUENCE, "its information").members()
    if len(information) < 7:
        raise ValueError("an attribute certificate is incomplete")
    version, holder, issuer, _, _, validity, attributes, *_ = information
    if version.expect(_INTEGER).content != b"\x01":
        raise ValueError("an attribute certificate is not of version 2")
    base = _first(holder.members(), _CONTEXT_0, "a holder by name and serial number").members()
    names = _first(issuer.expect(_CONTEXT_0).members(), _SEQUENCE, "an issuer's name")
    vo, fqans = _vo_and_fqans(attributes)
    end = validity.members()
    if len(base) < 2 or len(end) != 2:
        raise ValueError("an attribute certificate lacks its holder or its validity")
    return Attributes(
        vo=vo,
        fqans=fqans,
        holder=_directory_name(base[0]),
        serial=int.from_bytes(base[1].expect(_INTEGER).content, "big", signed=True),
        issuer=_directory_name(names),
        expires=_moment(end[1]),
    )


def _vo_and_fqans(attributes: _Der) -> tuple[str, tuple[str, ...]]:
    """IetfAttrSyntax: the authority is ``<vo>://<host>:<port>``, the values are the FQANs."""
    for attribute in attributes.members(_SEQUENCE):
        kind, values = attribute.members()
        if kind.oid() != _FQANS:
            continue
        (syntax,) = values.expect(_SET).members(_SEQUENCE)
        authority = _first(syntax.members(), _CONTEXT_0, "an authority")
        uri = _first(authority.members(), _URI, "the authority's URI").content.decode("ascii")
        listed = _first(syntax.members(), _SEQUENCE, "FQANs").members(_OCTETS)
        return uri.partition("://")[0], tuple(short(v.content.decode("utf-8")) for v in listed)
    raise ValueError("an attribute certificate has no FQANs")


def _directory_name(names: _Der) -> str:
    """The first directory name of GeneralNames."""
    (name,) = _first(names.members(), _DIRECTORY_NAME, "a directory name").members(_SEQUENCE)
    rdns = []
    for rdn in name.members(_SET):
        pairs = [attribute.members() for attribute in rdn.members(_SEQUENCE)]
        rdns.append(x509.RelativeDistinguishedName([_attribute(kind, value) for kind, value in pairs]))
    return slashed(x509.Name(rdns))


def _attribute(kind: _Der, value: _Der) -> x509.NameAttribute[str]:
    if value.tag not in _TEXTS:
        raise ValueError(f"a name holds something with tag {value.tag:#x} for a text")
    return x509.NameAttribute(kind.oid(), value.content.decode(_TEXTS[value.tag]))


def _moment(time: _Der) -> float:
    text = time.content.decode("ascii")
    if time.tag == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    elif time.tag != _TIME:
        raise ValueError(f"a time has tag {time.tag:#x}")
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()


# --- DER ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Der:
    """One DER element. Reading is strict: lengths are definite, shortest, and fit exactly. Raises ValueError."""

    tag: int
    content: bytes

    @classmethod
    def whole(cls, data: bytes) -> _Der:
        """The one element that ``data`` consists of."""
        (element,) = _elements(data)
        return element

    def expect(self, tag: int) -> _Der:
        """Itself, if it has this tag."""
        if self.tag != tag:
            raise ValueError(f"tag {self.tag:#x} where {tag:#x} should be")
        return self

    def members(self, tag: int | None = None) -> list[_Der]:
        """What a constructed element consists of; all with this tag if one is given."""
        if not self.tag & 0x20:
            raise ValueError(f"tag {self.tag:#x} where a constructed element should be")
        return [member if tag is None else member.expect(tag) for member in _elements(self.content)]

    def oid(self) -> x509.ObjectIdentifier:
        """An object identifier."""
        content = self.expect(_OID).content
        if not content or content[-1] & 0x80:
            raise ValueError("an object identifier is cut off")
        numbers, value = [], 0
        for byte in content:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                numbers.append(value)
                value = 0
        first = min(numbers[0] // 40, 2)
        return x509.ObjectIdentifier(".".join(str(n) for n in (first, numbers[0] - 40 * first, *numbers[1:])))


def _elements(data: bytes) -> list[_Der]:
    """The elements that follow each other in ``data``."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 2]
        if len(head) < 2 or head[0] & 0x1F == 0x1F:
            raise ValueError("a DER element is cut off, or has a long tag")
        tag, length = head
        at += 2
        if length & 0x80:
            digits = data[at : at + (length & 0x7F)]
            at += length & 0x7F
            length = int.from_bytes(digits, "big")
            if length < 0x80 or digits[0] == 0:
                raise ValueError("a DER length is indefinite, or longer than need be")
        if at + length > len(data):
            raise ValueError("a DER element is cut off")
        found.append(_Der(tag, data[at : at + length]))
        at += length
    return found


def _first(elements: Sequence[_Der], tag: int, what: str) -> _Der:
    for element in elements:
        if element.tag == tag:
            return element
    raise ValueError(f"an attribute certificate lacks {what}")

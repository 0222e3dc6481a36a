"""Which VOMS attributes of a proxy may be believed: those signed by a server that the VO's directory names.

The directory is grid software's vomsdir: ``<vo>/<host>.lsc`` holds the names of the server's certificate and of the CAs
above it, one a line, the newest first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from act import voms
from act.authorities import Authorities, same_spelling
from act.der import SEQUENCE, Der
from act.errors import ConfigError, CredentialError
from act.voms import Attributes, Signed
from act.x509 import SKEW_S, UNREADABLE, check_name, check_signature, slashed
from act.x509chain import Chain

MAX_ATTRIBUTE_CERTIFICATES = 10
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FQAN = re.compile(r"(/(?!\.{1,2}(/|$))[\w.-]+)+(/Role=[\w.-]+)?(/Capability=[\w.-]+)?", re.ASCII)
_NEXT_CHAIN = re.compile(r"-+\s*NEXT CHAIN\s*-+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Believed:
    """What a proxy says of its owner's rights. doubts: why the rest of what it says is not believed."""

    attributes: tuple[Attributes, ...]
    doubts: tuple[str, ...]

    @property
    def fqans(self) -> tuple[str, ...]:
        """In the order in which the proxy has them; CEs go by the first."""
        return tuple(dict.fromkeys(f for a in self.attributes for f in a.fqans))


def believed(chain: Chain, voms_dir: Path, authorities: Authorities, now: float) -> Believed:
    """The attributes in a verified proxy, of its newest link that has some, as grid software reads them.

    Raises ConfigError if what the operator installed cannot be read.
    """
    try:
        found = next((s for c in chain.certificates if (s := voms.signed(c))), ())
    except CredentialError as error:
        return Believed((), (str(error),))
    good, doubts = [], []
    for one in found[:MAX_ATTRIBUTE_CERTIFICATES]:
        try:
            _check(one, chain, voms_dir, authorities, now)
            good.append(one.attributes)
        except (CredentialError, *UNREADABLE) as error:
            doubts.append(f"attributes of VO {one.attributes.vo!r:.100}: {error}")
    return Believed(tuple(good), tuple(doubts))


def _check(one: Signed, chain: Chain, voms_dir: Path, authorities: Authorities, now: float) -> None:
    said = one.attributes
    if said.expires <= now:
        raise CredentialError("they ran out: make a new proxy")
    if said.begins > now + SKEW_S:
        raise CredentialError("they are not valid yet: is a clock wrong?")
    if one.critical:
        raise CredentialError(f"they are meant for somebody else (extension {one.critical[0].dotted_string})")
    if not any(_is_for(said, certificate) for certificate in chain.certificates):
        raise CredentialError("they were made for another certificate")
    below = f"/{said.vo}/"
    if wrong := next((f for f in said.fqans if not _FQAN.fullmatch(f) or not f"{f}/".startswith(below)), None):
        raise CredentialError(f"{wrong!r:.200} is no attribute that this VO can give")
    if not one.chain:
        raise CredentialError("the certificate of the VOMS server is not with them")
    server = one.chain[0]
    check_name(server.subject)
    if slashed(server.subject) != said.issuer:
        raise CredentialError(f"they are from {said.issuer}, but come with the certificate of another server")
    _check_signature(one, server)
    names = [slashed(c.subject) for c in authorities.path(server, now)]
    _check_lsc(said, names, voms_dir)


def _is_for(said: Attributes, certificate: x509.Certificate) -> bool:
    """By number and name together: whoever makes a proxy chooses its number."""
    names = (slashed(certificate.issuer), slashed(certificate.subject))
    return said.serial == certificate.serial_number and said.holder in names


def _check_signature(one: Signed, server: x509.Certificate) -> None:
    inside, outside = one.algorithms
    if inside != outside:
        raise CredentialError("they name two ways in which they are signed")
    algorithm, *_ = Der.whole(outside).expect(SEQUENCE).members()
    try:
        check_signature(server.public_key(), algorithm.oid(), one.signature, one.information)
    except CredentialError as error:
        raise CredentialError(f"they are not signed by the VOMS server: {error}") from error


def _check_lsc(said: Attributes, names: list[str], voms_dir: Path) -> None:
    if not (_NAME.fullmatch(said.vo) and _NAME.fullmatch(said.host)):
        raise CredentialError("they name no VO and host")
    path = voms_dir / said.vo / f"{said.host}.lsc"
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError as error:
        raise CredentialError(
            f"the VOMS server {said.host} of VO {said.vo} is not known here: ask the tower's operators to install its "
            ".lsc file"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read by the account that runs act: {error.strerror}") from error
    seen = [same_spelling(name) for name in names]
    for listed in _NEXT_CHAIN.split(text):
        wanted = [same_spelling(line.strip()) for line in listed.splitlines() if line.strip().startswith("/")]
        if len(wanted) >= 2 and seen[: len(wanted)] == wanted:
            return
    raise CredentialError(f"they are signed by {names[0]}, which is not the VOMS server {said.host} of VO {said.vo}")

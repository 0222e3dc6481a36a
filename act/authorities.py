"""The directory of certificate authorities that grid software trusts: who signed a certificate, and whether it holds.

The directory is laid out as OpenSSL and IGTF do: ``<base>.0`` to ``<base>.9`` or ``<base>.pem`` is a CA,
``<base>.r0`` to ``<base>.r9`` are its revocation lists, ``<base>.signing_policy`` says whom it may sign. Files are read
anew when they change.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from act.errors import ConfigError, CredentialError
from act.x509 import UNREADABLE, slashed

T = TypeVar("T")

DEPTH = 8  # CAs between a root and a person
_CA_FILE = re.compile(r"(.+)\.([0-9]|pem|crt)")
_QUOTED = r"(?:'([^']*)'|\"([^\"]*)\"|(\S+))"
_BLOCK = re.compile(rf"access_id_CA\s+X509\s+{_QUOTED}", re.IGNORECASE)
_SUBJECTS = re.compile(rf"cond_subjects\s+globus\s+{_QUOTED}", re.IGNORECASE)
# One attribute has several names in the files of grid software.
_SPELLINGS = re.compile(r"/(?:emailAddress|email|e)=", re.IGNORECASE), re.compile(r"/(?:userid|uid)=", re.IGNORECASE)


def same_spelling(name: str) -> str:
    """A name in slash form with one spelling for what grid software spells differently."""
    return _SPELLINGS[1].sub("/UID=", _SPELLINGS[0].sub("/emailAddress=", name))


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA for people to look at. Times in seconds since the epoch; ends: of its certificate, crl_ends: of the
    revocation list that runs out first, None if there is none or it has no end. trouble: of its lists, "" if none."""

    name: str
    ends: float
    has_crl: bool
    crl_ends: float | None
    trouble: str


class Authorities:
    """The CAs of one directory. May be used by many threads.

    Revocation lists are treated as the CEs treat them: a CA without one is taken, since the operator decides by
    fetching them; one that is broken or has run out makes all certificates of its CA bad, as it hides who was revoked
    since, and the CEs would refuse them too. Signing policies bind where they are there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cas = _Files(_read_certificates)
        self._crls = _Files(_read_crl)
        self._policies = _Files(_read_policy)

    def path(self, certificate: x509.Certificate, now: float) -> list[x509.Certificate]:
        """The certificate, the CA that signed it, and so on up to a self-signed CA of the directory.

        Raises CredentialError that says what is wrong, ConfigError if there is no directory.
        """
        cas = self._load()
        name = slashed(certificate.subject)
        if not any(ca.subject == certificate.issuer for ca in cas):
            raise CredentialError(
                f"{name} is signed by {slashed(certificate.issuer)}, a certificate authority that is not trusted here"
            )
        roots = [ca for ca in cas if ca.issuer == ca.subject]
        between = [ca for ca in cas if ca.issuer != ca.subject]
        if not roots:
            raise CredentialError(f"{name}: no root certificate authority is in {self._directory}")
        builder = PolicyBuilder().store(Store(roots)).max_chain_depth(DEPTH).time(_utc(now))
        verifier = builder.extension_policies(
            ca_policy=_policy_of_cas(), ee_policy=ExtensionPolicy.permit_all()
        ).build_client_verifier()
        try:
            path = verifier.verify(certificate, between).chain
        except verification.VerificationError as error:
            raise CredentialError(f"{name} cannot be verified: {error}") from error
        for signed, issuer in itertools.pairwise(path):
            bases = cas[issuer]
            self._check_policy(signed, issuer, bases)
            self._check_revocation(signed, issuer, bases, now)
        return list(path)

    def survey(self) -> list[Authority]:
        """All CAs by name, with how their revocation lists are. Raises ConfigError if there is no directory."""
        found = [self._surveyed(ca, bases) for ca, bases in self._load().items()]
        return sorted(found, key=lambda a: a.name)

    def _surveyed(self, ca: x509.Certificate, bases: set[str]) -> Authority:
        lists, trouble = [], ""
        for path in self._crl_files(bases):
            try:
                crl = self._crls.get(path)
            except CredentialError as error:
                trouble = str(error)
                continue
            if crl is not None and crl.issuer == ca.subject:
                lists.append(crl)
                trouble = trouble or ("" if _signed_by(crl, ca) else "its revocation list is not signed by it")
        ends = [crl.next_update_utc.timestamp() for crl in lists if crl.next_update_utc is not None]
        has_crl = bool(lists or trouble)
        return Authority(
            slashed(ca.subject), ca.not_valid_after_utc.timestamp(), has_crl, min(ends, default=None), trouble
        )

    def _crl_files(self, bases: set[str]) -> list[Path]:
        return [self._directory / f"{base}.r{n}" for base in sorted(bases) for n in range(10)]

    def _load(self) -> dict[x509.Certificate, set[str]]:
        """All CAs, and the names their files go by, without endings."""
        found: dict[x509.Certificate, set[str]] = {}
        try:
            names = sorted(self._directory.iterdir())
        except OSError as error:
            raise ConfigError(
                f"CA directory {self._directory} cannot be read ({error.strerror}): install the CA certificates or "
                "correct ca_dir"
            ) from error
        for path in names:
            if fits := _CA_FILE.fullmatch(path.name):
                for certificate in self._cas.get(path) or ():
                    found.setdefault(certificate, set()).add(fits.group(1))
        return found

    def _check_policy(self, signed: x509.Certificate, issuer: x509.Certificate, bases: set[str]) -> None:
        name, ca = slashed(signed.subject), slashed(issuer.subject)
        for base in sorted(bases):
            policy = self._policies.get(self._directory / f"{base}.signing_policy")
            if policy is None:
                continue
            patterns = policy.get(same_spelling(ca).casefold(), [])
            if not any(p.fullmatch(same_spelling(name)) for p in patterns):
                raise CredentialError(f"{name} is outside what the signing policy lets {ca} sign")

    def _check_revocation(
        self, signed: x509.Certificate, issuer: x509.Certificate, bases: set[str], now: float
    ) -> None:
        ca = slashed(issuer.subject)
        for path in self._crl_files(bases):
            crl = self._crls.get(path)
            if crl is None or crl.issuer != issuer.subject:
                continue
            if not _signed_by(crl, issuer):
                raise CredentialError(f"the revocation list of {ca} is not signed by it: tell the tower's operators")
            if crl.next_update_utc is not None and crl.next_update_utc <= _utc(now):
                raise CredentialError(
                    f"the revocation list of {ca} ran out at {crl.next_update_utc:%Y-%m-%d %H:%M} UTC, so none of its "
                    "certificates can be checked: tell the tower's operators (fetch-crl renews it)"
                )
            if crl.get_revoked_certificate_by_serial_number(signed.serial_number) is not None:
                raise CredentialError(f"{slashed(signed.subject)} has been revoked by {ca}: get a new certificate")


def _policy_of_cas() -> ExtensionPolicy:
    """CA certificates must say that they are ones, and that they may sign if they say what they are for.

    The rules of the web's PKI ask for more than many grid CAs have.
    """
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    return policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)


def _may_sign(_: verification.Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a certificate authority may not sign certificates")


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # of another kind: TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _utc(moment: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC)


# --- files -------------------------------------------------------------------------------------------------------


class _Files(Generic[T]):
    """What was read from files; again when they have changed."""

    def __init__(self, read: Callable[[Path, bytes], T]) -> None:
        self._read = read
        self._known: dict[Path, tuple[tuple[int, int, int], T]] = {}

    def get(self, path: Path) -> T | None:
        """None if the file is not there."""
        try:
            status = path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
            known = self._known.get(path)
            if known is not None and known[0] == mark:
                return known[1]
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read by the account that runs act: {error.strerror}") from error
        value = self._read(path, data)
        self._known[path] = (mark, value)
        return value


def _read_certificates(path: Path, data: bytes) -> Sequence[x509.Certificate]:
    """Also files that are no certificates live in such directories."""
    try:
        return x509.load_pem_x509_certificates(data)
    except UNREADABLE:
        return ()


def _read_crl(path: Path, data: bytes) -> x509.CertificateRevocationList:
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_crl(data)
        return x509.load_der_x509_crl(data)
    except UNREADABLE as error:
        raise CredentialError(f"the revocation list {path.name} is broken: tell the tower's operators") from error


def _read_policy(path: Path, data: bytes) -> dict[str, list[re.Pattern[str]]]:
    """CA -> patterns of what it may sign."""
    found: dict[str, list[re.Pattern[str]]] = {}
    patterns: list[re.Pattern[str]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        text = line.partition("#")[0]
        if block := _BLOCK.search(text):
            patterns = found.setdefault(same_spelling(_value(block)).casefold(), [])
        elif subjects := _SUBJECTS.search(text):
            patterns += _patterns(_value(subjects))
    return found


def _value(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _patterns(subjects: str) -> Iterator[re.Pattern[str]]:
    """``"/C=CH/*" "/O=Grid/*"``, or one pattern without quotes; ``*`` is any text, ``?`` any character."""
    for pattern in re.findall(r'"([^"]*)"', subjects) or [subjects]:
        text = re.escape(same_spelling(pattern)).replace(r"\*", ".*").replace(r"\?", ".")
        yield re.compile(text, re.IGNORECASE | re.DOTALL)

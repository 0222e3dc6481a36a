"""People for tests: a CA, a VOMS server, users with proxies of every kind, and how they hand these over."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from act.config import CoreConfig, Group, Proxies, Timeouts, Users, Web
from act.keys import make_key, make_secret
from act.simulation.ca import subject_hash
from act.x509 import slashed
from tests.grid import proxies as grid
from tests.grid.pki import CLOCK_SKEW, key_usage, make_ca, make_certificate, now, pem

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Extensions = Sequence[tuple[x509.ExtensionType, bool]]
HOUR = datetime.timedelta(hours=1)
INHERIT_ALL, LIMITED, INDEPENDENT = "1.3.6.1.5.5.7.21.1", "1.3.6.1.4.1.3536.1.1.1.9", "1.3.6.1.5.5.7.21.2"
PROD, ATLAS = "/atlas/Role=production/Capability=NULL", "/atlas/Role=NULL/Capability=NULL"


@functools.cache
def spare_key(n: int = 0) -> rsa.RSAPrivateKey:
    """Keys take long to make, so most proxies of a test share one."""
    return rsa.generate_private_key(65537, 2048)


def cert_info(language: str = INHERIT_ALL, path_length: int | None = None) -> x509.UnrecognizedExtension:
    """A proxyCertInfo extension."""
    limit = () if path_length is None else (grid.der_integer(path_length),)
    value = grid.der_sequence(*limit, grid.der_sequence(grid.der_oid(language)))
    return x509.UnrecognizedExtension(grid.PROXY_CERT_INFO, value)


def with_cn(name: x509.Name, cn: str) -> x509.Name:
    """The name with one CN more."""
    return x509.Name([*name.rdns, x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, cn)])])


FULL = cert_info()


@dataclass(frozen=True)
class Proxy:
    """A certificate with its key and what is below it: a proxy, or a person if there is no more."""

    certificates: tuple[x509.Certificate, ...]
    key: Key

    @property
    def cert(self) -> str:
        """What clients announce."""
        return pem(self.certificates[0]).decode()

    @property
    def chain(self) -> str:
        """What they send with it."""
        return "\n".join(pem(c).decode() for c in self.certificates[1:])

    def make(
        self, *, cn: str = "12345", subject: x509.Name | None = None, issuer: x509.Name | None = None,
        info: x509.ExtensionType | None = FULL, critical: bool = True, usage: x509.KeyUsage | None = None,
        lifetime: datetime.timedelta = 12 * HOUR, start: datetime.timedelta = -CLOCK_SKEW, serial: int = 7,
        extensions: Extensions = (), key: Key | None = None, signer: Key | None = None,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> Proxy:  # fmt: skip
        """A proxy made with this one; what is not said is as it should be."""
        top = self.certificates[0]
        own = key or spare_key()
        name = subject or with_cn(top.subject, cn)
        builder = (
            x509.CertificateBuilder(issuer or top.subject, name, own.public_key(), serial)
            .not_valid_before(now() + start)
            .not_valid_after(min(now() + lifetime, top.not_valid_after_utc))
            .add_extension(usage or key_usage("digital_signature", "key_encipherment"), critical=True)
        )
        if info is not None:
            builder = builder.add_extension(info, critical=critical)
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, critical=is_critical)
        made = builder.sign(signer or self.key, algorithm or hashes.SHA256())
        return Proxy((made, *self.certificates), own)

    def sign(self, request: str, **changes: Any) -> str:
        """What act-client makes of a request: a proxy with the serial number of its own."""
        top, csr = self.certificates[0], x509.load_pem_x509_csr(request.encode())
        key = csr.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        usage = changes.pop("usage", key_usage("digital_signature", "key_agreement"))
        builder = (
            x509.CertificateBuilder(top.subject, with_cn(top.subject, "1700000000"), key, top.serial_number)
            .not_valid_before(now().replace(microsecond=0))
            .not_valid_after(changes.pop("end", top.not_valid_after_utc))
            .add_extension(usage, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(changes.pop("info", cert_info()), critical=True)
        )
        assert not changes
        return pem(builder.sign(self.key, hashes.SHA256())).decode()

    @property
    def pem(self) -> bytes:
        """A proxy file."""
        text = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return self.cert.encode() + text + self.chain.encode()


class People:
    """A CA whose directory is ``ca_dir``, a VOMS server of VO atlas known by ``voms_dir``, and users."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca_dir, self.voms_dir = directory / "certificates", directory / "vomsdir"
        self.ca, self.ca_key = make_ca()
        self.base = subject_hash(self.ca.subject)
        self.trust(self.ca, self.base)
        self.voms = make_certificate(self.ca, self.ca_key, grid.VOMS_HOST)
        self.lsc = self.voms_dir / grid.VO / f"{grid.VOMS_HOST}.lsc"
        self.lsc.parent.mkdir(parents=True)
        self.lsc.write_text(f"{slashed(self.voms[0].subject)}\n{slashed(self.voms[0].issuer)}\n")
        self._users: dict[str, Proxy] = {}

    def trust(self, ca: x509.Certificate, base: str) -> None:
        """Put a CA into the directory."""
        self.ca_dir.mkdir(exist_ok=True)
        (self.ca_dir / f"{base}.0").write_bytes(pem(ca))

    def user(self, cn: str) -> Proxy:
        """A person with subject /O=Grid/O=aCT/CN=<cn>."""
        if cn not in self._users:
            certificate, key = make_certificate(self.ca, self.ca_key, cn)
            self._users[cn] = Proxy((certificate,), key)
        return self._users[cn]

    def attributes(self, cn: str, *fqans: str) -> bytes:
        """An attribute certificate, DER."""
        return grid.make_attribute_certificate(self.user(cn).certificates[0], *self.voms, fqans)

    def proxy(self, user: str, *fqans: str, **how: Any) -> Proxy:
        """A proxy of a user, with these attributes. how: see `Proxy.make`."""
        extensions = list(how.pop("extensions", ()))
        if fqans:
            extensions.append((carrier(self.attributes(user, *fqans)), False))
        return self.user(user).make(extensions=extensions, **how)

    def revoke(self, *serials: int, next_update: datetime.timedelta = HOUR, key: Key | None = None) -> Path:
        """A revocation list with these numbers, in the directory."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ca.subject)
            .last_update(now() - 24 * HOUR)
            .next_update(now() + next_update)
        )
        for serial in serials:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - 2 * HOUR).build()
            builder = builder.add_revoked_certificate(one)
        path = self.ca_dir / f"{self.base}.r0"
        path.write_bytes(builder.sign(key or self.ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path


def carrier(*attribute_certificates: bytes) -> x509.UnrecognizedExtension:
    """The extension that holds attribute certificates."""
    value = grid.der_sequence(grid.der_sequence(*attribute_certificates))
    return x509.UnrecognizedExtension(grid.AC_SEQUENCE, value)


def read_proxy_file(data: bytes) -> Proxy:
    """What a program has made."""
    key = load_pem_private_key(data, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Proxy(tuple(x509.load_pem_x509_certificates(data)), key)


def users_config(people: People, directory: Path, **users: Any) -> CoreConfig:
    """Of a tower that knows these people: group ``atlas`` by attribute, ``staff`` for alice without any."""
    groups = (
        Group(name="atlas", fqan=("/atlas",)),
        Group(name="production", fqan=("/atlas/Role=production",)),
        Group(name="staff", subject=("/O=Grid/O=aCT/CN=alice",)),
    )
    chosen = {"group": groups, "voms_dir": people.voms_dir} | users
    made = CoreConfig(
        ca_dir=people.ca_dir, users=Users(**chosen), web=Web(secret_file=directory / "web.key"),
        proxies=Proxies(key_file=directory / "proxy.key"), timeouts=Timeouts(connect_s=2, read_s=2, call_s=2),
    )  # fmt: skip
    make_key(made.proxies.key_file)
    make_secret(made.web.secret_file)
    return made

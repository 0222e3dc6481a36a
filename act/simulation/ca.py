"""A throw-away certificate authority for tests, in the hashed-directory form that grid software reads."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAYS = 365


class TestCA:
    """A CA with its host and user certificates below ``directory``; what is there already is used again.

    ca_dir: the hashed directory (``<hash>.0``) that clients are pointed to; ca_cert: the CA's own certificate.
    Several processes may use one directory at the same time.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.ca_dir = self.directory / "certificates"
        self.ca_cert = self.directory / "ca-cert.pem"
        self._ca_key = self.directory / "ca-key.pem"
        self.ca_dir.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if not self.ca_cert.exists():
                self._make_ca()

    def host(self, name: str = "localhost", *, expired: bool = False, rsa: bool = False) -> tuple[Path, Path]:
        """(certificate, key) of a host; valid for ``name``, localhost and 127.0.0.1. rsa: with such a key."""
        alternatives = x509.SubjectAlternativeName(
            [*(x509.DNSName(n) for n in dict.fromkeys((name, "localhost"))),
             x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )  # fmt: skip
        label = f"host-{name}{'-expired' if expired else ''}{'-rsa' if rsa else ''}"
        return self._entity(label, _name(name), None if rsa else ec.SECP256R1(), [alternatives], expired)

    def user(self, cn: str) -> tuple[Path, Path]:
        """(certificate, key) of a user with subject ``/O=act/CN=<cn>``; the key is RSA, as proxies expect."""
        return self._entity(f"user-{cn.replace('/', '_')}", _name(cn), None, [], False)

    def _entity(
        self, label: str, subject: x509.Name, curve: ec.EllipticCurve | None, extensions: list[x509.ExtensionType],
        expired: bool,
    ) -> tuple[Path, Path]:  # fmt: skip
        cert_path, key_path = self.directory / f"{label}-cert.pem", self.directory / f"{label}-key.pem"
        with self._lock():
            if not cert_path.exists():
                key = ec.generate_private_key(curve) if curve else rsa.generate_private_key(65537, 2048)
                _write(key_path, _key_pem(key), 0o600)
                _write(cert_path, self._sign(subject, key, extensions, expired), 0o644)
        return cert_path, key_path

    def _make_ca(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("aCT test CA")
        cert = (
            _builder(name, name, key, False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = cert.public_bytes(serialization.Encoding.PEM)
        _write(self._ca_key, _key_pem(key), 0o600)
        _write(self.ca_dir / f"{subject_hash(name)}.0", pem, 0o644)
        _write(self.ca_cert, pem, 0o644)

    def _sign(self, subject: x509.Name, key: PrivateKey, extensions: list[x509.ExtensionType], expired: bool) -> bytes:
        ca_cert = x509.load_pem_x509_certificate(self.ca_cert.read_bytes())
        ca_key = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._ca_key} is not a key of this class's making")
        builder = _builder(subject, ca_cert.subject, key, expired)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = builder.add_extension(issuer_id, critical=False)
        subject_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(subject_id, critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield


def subject_hash(name: x509.Name) -> str:
    """The file name under which OpenSSL looks for a CA with this subject.

    SHA-1 of the canonical form: UTF-8, lower case, single spaces, without the outer SEQUENCE (OpenSSL X509_NAME_hash).
    """
    canonical = x509.Name([x509.NameAttribute(a.oid, " ".join(a.value.lower().split()))
                           for a in name if isinstance(a.value, str)])  # fmt: skip
    digest = hashlib.sha1(canonical.public_bytes()[2:], usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _name(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "act"),
                      x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])  # fmt: skip


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, expired: bool) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    start = now - datetime.timedelta(days=2 if expired else 0, minutes=5)
    end = now + datetime.timedelta(days=-1 if expired else DAYS)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=not ca, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
        f.write(data)

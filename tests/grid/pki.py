"""The test CA and what it signs: certificates of hosts and users, made with `cryptography` alone."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = datetime.timedelta(days=3650)
CERTIFICATE_LIFETIME = datetime.timedelta(days=1825)
CLOCK_SKEW = datetime.timedelta(minutes=5)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def write(path: Path, data: bytes, mode: int) -> None:
    """Replace path in one step: readers may be at work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode, exist_ok=False)
    temporary.write_bytes(data)
    temporary.replace(path)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def load_certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def load_key(path: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"not an RSA key: {path}")
    return key


def good(path: Path, margin: datetime.timedelta) -> bool:
    """Whether path holds a certificate that is valid for longer than margin."""
    try:
        return load_certificate(path).not_valid_after_utc > now() + margin
    except (OSError, ValueError):
        return False


def subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Grid"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "aCT"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def slashed(name: x509.Name) -> str:
    """The name as grid software writes it: /O=Grid/O=aCT/CN=alice."""
    return "".join(f"/{attribute.rfc4514_attribute_name}={attribute.value!s}" for attribute in name)


def key_usage(*used: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in used for name in names.split()})


def make_ca() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(65537, 2048)
    name = subject("aCT test CA")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - CLOCK_SKEW)
        .not_valid_after(now() + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def make_certificate(
    ca: x509.Certificate, ca_key: rsa.RSAPrivateKey, common_name: str, hosts: Sequence[str] = ()
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """A certificate of a user, or of a server when it is for hosts."""
    key = rsa.generate_private_key(65537, 2048)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * bool(hosts)
    builder = (
        x509.CertificateBuilder(ca.subject, subject(common_name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - CLOCK_SKEW)
        .not_valid_after(now() + CERTIFICATE_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage("digital_signature", "key_encipherment"), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False
        )
    return builder.sign(ca_key, hashes.SHA256()), key

"""RFC 3820 proxies, with VOMS attributes as a VOMS server would grant them."""

import datetime
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.grid.pki import CLOCK_SKEW, key_pem, key_usage, load_certificate, load_key, now, pem

VO = "atlas"
VOMS_HOST = "voms.grid.test"  # no '/' may be in the certificate's common name: no .lsc line would match it
ROLE = "/" + VO + "/Role={}/Capability=NULL"
# Proxy name -> user and VOMS attributes (none: a plain RFC 3820 proxy). No CE authorises mallory.
PROXIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "alice": ("alice", ()),
    "alice.atlas": ("alice", (ROLE.format("NULL"),)),
    "alice.prod": ("alice", (ROLE.format("production"), ROLE.format("NULL"))),
    "bob": ("bob", ()),
    "bob.pilot": ("bob", (ROLE.format("pilot"), ROLE.format("NULL"))),
    "mallory": ("mallory", ()),
}

LIFETIME = datetime.timedelta(hours=24)

PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
INHERIT_ALL = b"0\x0c0\n\x06\x08+\x06\x01\x05\x05\x07\x15\x01"  # ProxyCertInfo with the inherit-all policy
VOMS_ARC = "1.3.6.1.4.1.8005.100.100"
AC_SEQUENCE = x509.ObjectIdentifier(VOMS_ARC + ".5")


def fresh(certs: Path, name: str, lifetime: datetime.timedelta = LIFETIME) -> bytes:
    """A new one of PROXIES as PEM. certs: what `tests.grid.credentials` has made."""
    user, attributes = PROXIES[name]
    certificate, key = load_certificate(certs / f"users/{user}-cert.pem"), load_key(certs / f"users/{user}-key.pem")
    ac = None
    if attributes:
        voms = load_certificate(certs / "voms-cert.pem")
        ac = make_attribute_certificate(certificate, voms, load_key(certs / "voms-key.pem"), attributes)
    return make_proxy(certificate, key, lifetime, ac)


def make_proxy(
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey,
    lifetime: datetime.timedelta = LIFETIME,
    attribute_certificate: bytes | None = None,
) -> bytes:
    """An RFC 3820 proxy as PEM: the proxy certificate, its key, the user's certificate."""
    proxy_key = rsa.generate_private_key(65537, 2048)
    serial = int.from_bytes(os.urandom(4), "big") >> 1
    name = x509.Name([*certificate.subject, x509.NameAttribute(NameOID.COMMON_NAME, str(serial))])
    builder = (
        x509.CertificateBuilder(certificate.subject, name, proxy_key.public_key(), serial)
        .not_valid_before(now() - CLOCK_SKEW)
        .not_valid_after(min(now() + lifetime, certificate.not_valid_after_utc))
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, INHERIT_ALL), critical=True)
        .add_extension(key_usage("digital_signature", "key_encipherment"), critical=True)
    )
    if attribute_certificate is not None:
        sequence = der_sequence(der_sequence(attribute_certificate))
        builder = builder.add_extension(x509.UnrecognizedExtension(AC_SEQUENCE, sequence), critical=False)
    return pem(builder.sign(key, hashes.SHA256())) + key_pem(proxy_key) + pem(certificate)


def make_attribute_certificate(
    holder: x509.Certificate, issuer: x509.Certificate, issuer_key: rsa.RSAPrivateKey, attributes: Iterable[str]
) -> bytes:
    """A VOMS attribute certificate as DER, as a VOMS server would make it.

    The holder is named by the user's subject: A-REX refuses the form of voms-proxy-fake, which names the CA.
    """
    start = now() - CLOCK_SKEW
    algorithm = der_sequence(der_oid("1.2.840.113549.1.1.11"), der(5))  # sha256WithRSAEncryption
    named_holder = der_sequence(der(0xA0, general_name(holder.subject), der_integer(holder.serial_number)))
    authority = der(0xA0, der(0x86, f"{VO}://{VOMS_HOST}:15001".encode()))
    values = der_sequence(*(der(4, attribute.encode()) for attribute in attributes))
    extensions = der_sequence(
        der_extension(VOMS_ARC + ".10", der_sequence(der_sequence(issuer.public_bytes(serialization.Encoding.DER)))),
        der_extension("2.5.29.56", der(5)),  # no revocation
        der_extension(
            "2.5.29.35", x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()).public_bytes()
        ),
    )
    information = der_sequence(
        der_integer(1),
        named_holder,
        der(0xA0, general_name(issuer.subject)),
        algorithm,
        der_integer(int.from_bytes(os.urandom(8), "big") >> 1),
        der_sequence(der_time(start), der_time(start + CLOCK_SKEW + LIFETIME)),
        der_sequence(der_sequence(der_oid(VOMS_ARC + ".4"), der(0x31, der_sequence(authority, values)))),
        extensions,
    )
    signature = issuer_key.sign(information, padding.PKCS1v15(), hashes.SHA256())
    return der_sequence(information, algorithm, der(3, b"\0", signature))


# --- DER ---------------------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = len(body)
    if length < 128:
        return bytes([tag, length]) + body
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + body


def der_sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def der_integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def der_oid(dotted: str) -> bytes:
    first, second, *others = (int(part) for part in dotted.split("."))
    body = [first * 40 + second]
    for value in others:
        digits = [value & 127]
        while value := value >> 7:
            digits.insert(0, 128 | value & 127)
        body.extend(digits)
    return der(6, bytes(body))


def der_time(moment: datetime.datetime) -> bytes:
    return der(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def der_extension(dotted: str, value: bytes) -> bytes:
    return der_sequence(der_oid(dotted), der(4, value))


def general_name(name: x509.Name) -> bytes:
    return der_sequence(der(0xA4, name.public_bytes()))

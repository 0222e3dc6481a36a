"""Test CA, host, VOMS and user certificates, and proxies of the test grid, made with `cryptography` alone.

credentials.py GRID: makes under GRID what is missing or near its end.

    certs/ca                  the CA directory (hash links, signing policy)
    certs/host-{cert,key}.pem the CEs' certificate, for localhost
    certs/users/USER-{cert,key}.pem
    certs/vomsdir, certs/allowed-subjects
    certs/tokenissuer         what a CE must know of the issuer of bearer tokens: issuer, metadata, keys; and the same
                              as scitokens_cpp.sqllite, the cache of the library that HTCondor has for them
    certs/token-key.pem       its key, to sign tokens with
    proxies/NAME.pem          see PROXIES
"""

import base64
import datetime
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
USERS = ("alice", "bob", "mallory")
AUTHORISED_USERS = ("alice", "bob")

TOKEN_ISSUER = "https://tokens.grid.test"

CA_LIFETIME = datetime.timedelta(days=3650)
CERTIFICATE_LIFETIME = datetime.timedelta(days=1825)
CERTIFICATE_MARGIN = datetime.timedelta(days=30)
PROXY_LIFETIME = datetime.timedelta(hours=24)
PROXY_MARGIN = datetime.timedelta(hours=12)
CLOCK_SKEW = datetime.timedelta(minutes=5)

PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
INHERIT_ALL = b"0\x0c0\n\x06\x08+\x06\x01\x05\x05\x07\x15\x01"  # ProxyCertInfo with the inherit-all policy
VOMS_ARC = "1.3.6.1.4.1.8005.100.100"
AC_SEQUENCE = x509.ObjectIdentifier(VOMS_ARC + ".5")


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


# --- certificates ------------------------------------------------------------------------------------------------


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


def make_certificates(certs: Path) -> None:
    """The CA and all it signs; certs/host-cert.pem comes last and says that the set is whole."""
    for part in ("ca", "users", "vomsdir"):
        shutil.rmtree(certs / part, ignore_errors=True)
    ca, ca_key = make_ca()
    host = make_certificate(ca, ca_key, "localhost", hosts=["localhost"])
    voms = make_certificate(ca, ca_key, VOMS_HOST, hosts=[VOMS_HOST])
    users = {user: make_certificate(ca, ca_key, user) for user in USERS}

    write(certs / "ca/ca.pem", pem(ca), 0o644)
    digest = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", str(certs / "ca/ca.pem")],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout.strip()  # fmt: skip
    policy = (
        f"access_id_CA   X509    '{slashed(ca.subject)}'\n"
        "pos_rights     globus  CA:sign\n"
        f"cond_subjects  globus  '\"{slashed(subject('*'))}\"'\n"
    )
    write(certs / f"ca/{digest}.0", pem(ca), 0o644)
    write(certs / f"ca/{digest}.signing_policy", policy.encode(), 0o644)
    for user, (certificate, key) in users.items():
        write(certs / f"users/{user}-cert.pem", pem(certificate), 0o644)
        write(certs / f"users/{user}-key.pem", key_pem(key), 0o600)
    allowed = "".join(f'"{slashed(users[user][0].subject)}"\n' for user in AUTHORISED_USERS)
    write(certs / "allowed-subjects", allowed.encode(), 0o644)
    lsc = f"{slashed(voms[0].subject)}\n{slashed(voms[0].issuer)}\n"
    write(certs / f"vomsdir/{VO}/{VOMS_HOST}.lsc", lsc.encode(), 0o644)
    write(certs / "voms-cert.pem", pem(voms[0]), 0o644)
    write(certs / "voms-key.pem", key_pem(voms[1]), 0o600)
    write(certs / "host-key.pem", key_pem(host[1]), 0o600)
    write(certs / "host-cert.pem", pem(host[0]), 0o644)


def make_token_issuer(certs: Path) -> None:
    """An issuer of bearer tokens that exists as a key only."""
    key = rsa.generate_private_key(65537, 2048)
    numbers = {name: base64url(getattr(key.public_key().public_numbers(), name)) for name in "ne"}
    web_key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "grid", **numbers}
    metadata = {"issuer": TOKEN_ISSUER, "jwks_uri": TOKEN_ISSUER + "/jwks", "token_endpoint": TOKEN_ISSUER + "/token"}
    issuer = certs / "tokenissuer"
    for name, text in (("issuer", TOKEN_ISSUER), ("metadata", json.dumps(metadata))):
        write(issuer / name, text.encode(), 0o644)
    write(issuer / "keys", json.dumps({"keys": [web_key]}).encode(), 0o644)
    write(certs / "token-key.pem", key_pem(key), 0o600)


def make_key_cache(issuer: Path) -> None:
    """The issuer's keys as if the SciTokens library had just fetched them, good for years; it then asks nobody."""
    path = issuer / "scitokens_cpp.sqllite"
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    lasting = int(time.time() + CA_LIFETIME.total_seconds())
    keys = {"jwks": json.loads((issuer / "keys").read_text()), "expires": lasting, "next_update": lasting}
    database = sqlite3.connect(temporary)
    with database:
        database.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
        database.execute("INSERT INTO keycache VALUES (?, ?)", (TOKEN_ISSUER, json.dumps(keys)))
    database.close()
    temporary.replace(path)


def base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- proxies -----------------------------------------------------------------------------------------------------


def make_proxy(
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey,
    lifetime: datetime.timedelta = PROXY_LIFETIME,
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
        der_sequence(der_time(start), der_time(start + CLOCK_SKEW + PROXY_LIFETIME)),
        der_sequence(der_sequence(der_oid(VOMS_ARC + ".4"), der(0x31, der_sequence(authority, values)))),
        extensions,
    )
    signature = issuer_key.sign(information, padding.PKCS1v15(), hashes.SHA256())
    return der_sequence(information, algorithm, der(3, b"\0", signature))


def make_proxies(grid: Path) -> None:
    for name, (user, attributes) in PROXIES.items():
        path = grid / f"proxies/{name}.pem"
        certificate = load_certificate(grid / f"certs/users/{user}-cert.pem")
        if good(path, PROXY_MARGIN) and pem(certificate) in path.read_bytes():
            continue
        ac = None
        if attributes:
            voms = load_certificate(grid / "certs/voms-cert.pem")
            ac = make_attribute_certificate(certificate, voms, load_key(grid / "certs/voms-key.pem"), attributes)
        key = load_key(grid / f"certs/users/{user}-key.pem")
        write(path, make_proxy(certificate, key, attribute_certificate=ac), 0o600)


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


def main() -> None:
    grid = Path(sys.argv[1])
    if not good(grid / "certs/host-cert.pem", CERTIFICATE_MARGIN):
        make_certificates(grid / "certs")
    if not (grid / "certs/token-key.pem").is_file():
        make_token_issuer(grid / "certs")
    keys, cache = (grid / "certs/tokenissuer" / name for name in ("keys", "scitokens_cpp.sqllite"))
    if not cache.is_file() or cache.stat().st_mtime < keys.stat().st_mtime:
        make_key_cache(grid / "certs/tokenissuer")
    make_proxies(grid)


if __name__ == "__main__":
    main()

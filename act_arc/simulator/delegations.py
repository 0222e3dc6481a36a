"""Delegated credentials as A-REX keeps them: a key of its own, a request for it, and the chain a client signs."""

from __future__ import annotations

import base64
import secrets
import textwrap
import threading
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass
class Delegation:
    """One delegated credential; ``chain`` is empty until the client has signed the request."""

    id: str
    owner: str
    key: rsa.RSAPrivateKey
    chain: bytes = b""
    signed: int = 0

    def request(self, *, odd_version: bool) -> bytes:
        """The certificate request, PEM, with an empty subject; ``odd_version``: claims version 3, as A-REX 6 does."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        made = builder.sign(self.key, hashes.SHA256())
        if not odd_version:
            return made.public_bytes(serialization.Encoding.PEM)
        signed = made.tbs_certrequest_bytes
        changed = signed.replace(b"\x02\x01\x00", b"\x02\x01\x02", 1)
        der = made.public_bytes(serialization.Encoding.DER).replace(signed, changed)
        der = der.removesuffix(made.signature) + self.key.sign(changed, padding.PKCS1v15(), hashes.SHA256())
        lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n".encode()

    def proxy(self) -> bytes:
        """Certificate, key and chain as one PEM file, which is what a job gets."""
        end = b"-----END CERTIFICATE-----\n"
        head, _, rest = self.chain.partition(end)
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return head + end + key + rest

    @property
    def expires(self) -> float:
        """When the signed credential ends, 0 if it is not signed."""
        return x509.load_pem_x509_certificate(self.chain).not_valid_after_utc.timestamp() if self.chain else 0.0


@dataclass
class Delegations:
    """All delegations of a CE."""

    known: dict[str, Delegation] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, owner: str) -> list[Delegation]:
        """The delegations of one identity."""
        with self._lock:
            return [d for d in self.known.values() if d.owner == owner]

    def find(self, owner: str, delegation_id: str) -> Delegation | None:
        """One delegation, if it is this identity's."""
        found = self.known.get(delegation_id)
        return found if found and found.owner == owner else None

    def create(self, owner: str, delegation_id: str = "") -> Delegation:
        """A new one, unsigned."""
        made = Delegation(delegation_id or secrets.token_hex(6), owner, rsa.generate_private_key(65537, 2048))
        with self._lock:
            self.known[made.id] = made
        return made

    def sign(self, owner: str, delegation_id: str, pem: bytes) -> bool:
        """Take the chain a client made; False if it is no certificate of this delegation's key."""
        found = self.find(owner, delegation_id)
        if found is None:
            return False
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return False
        if certificate.public_key() != found.key.public_key():
            return False
        found.chain = pem
        found.signed += 1
        return True

    def remove(self, delegation_id: str) -> None:
        """Forget one."""
        with self._lock:
            self.known.pop(delegation_id, None)

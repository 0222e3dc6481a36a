"""DER (X.690), as far as grid credentials need it beside what `cryptography` reads."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

BOOLEAN, INTEGER, BITS, OCTETS, OID, UTC_TIME, TIME, SEQUENCE, SET = (
    0x01, 0x02, 0x03, 0x04, 0x06, 0x17, 0x18, 0x30, 0x31,
)  # fmt: skip
CONTEXT_0, DIRECTORY_NAME, URI = 0xA0, 0xA4, 0x86


@dataclass(frozen=True, slots=True)
class Der:
    """One DER element. Reading is strict: lengths are definite, shortest, and fit exactly. Raises ValueError."""

    tag: int
    content: bytes

    @classmethod
    def whole(cls, data: bytes) -> Der:
        """The one element that ``data`` consists of."""
        (element,) = _elements(data)
        return element

    @property
    def encoded(self) -> bytes:
        """The bytes that it was read from; there is only one way to write an element."""
        size = len(self.content)
        if size < 0x80:
            return bytes((self.tag, size)) + self.content
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes((self.tag, 0x80 | len(digits))) + digits + self.content

    def expect(self, tag: int) -> Der:
        """Itself, if it has this tag."""
        if self.tag != tag:
            raise ValueError(f"tag {self.tag:#x} where {tag:#x} should be")
        return self

    def members(self, tag: int | None = None) -> list[Der]:
        """What a constructed element consists of; all with this tag if one is given."""
        if not self.tag & 0x20:
            raise ValueError(f"tag {self.tag:#x} where a constructed element should be")
        return [member if tag is None else member.expect(tag) for member in _elements(self.content)]

    def integer(self) -> int:
        """An integer."""
        return int.from_bytes(self.expect(INTEGER).content, "big", signed=True)

    def oid(self) -> x509.ObjectIdentifier:
        """An object identifier."""
        content = self.expect(OID).content
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


def _elements(data: bytes) -> list[Der]:
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
        found.append(Der(tag, data[at : at + length]))
        at += length
    return found

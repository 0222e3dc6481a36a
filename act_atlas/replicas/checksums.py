"""Checksums in the many forms in which reports and storages write them, and the verdict on a replica."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from act_atlas.replicas.model import Checked, Finding, Replica

# Algorithm -> its length in bytes. The first that both sides know is compared.
LENGTHS = {"adler32": 4, "md5": 16}
_NAMES = {"ad": "adler32", "adler": "adler32", "adler32": "adler32", "md": "md5", "md5": "md5"}
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)
_LABEL = re.compile(r"\s*([A-Za-z0-9]+)\s*[=:]\s*(.*)", re.ASCII)


def normal(algorithm: str, text: str) -> int | None:
    """A checksum as a number, or None if this is none.

    Takes hexadecimal with or without leading zeros and with an algorithm in front (``ad:0a1b``, ``adler32=A1B``), and
    base64, as RFC 3230 writes md5 and RFC 9530 everything (``:...:``).
    """
    label = _LABEL.fullmatch(text)
    value = (label[2] if label and _NAMES.get(label[1].lower()) == algorithm else text).strip().strip('"')
    length = LENGTHS[algorithm]
    value = value.removeprefix("0x")
    if _HEX.fullmatch(value) and (len(value) <= 2 * length or not int(value[: -2 * length], 16)):
        return int(value, 16)
    try:
        decoded = base64.b64decode(value.strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(decoded, "big") if len(decoded) == length else None


def from_header(text: str) -> dict[str, str]:
    """The value of a Digest or Repr-Digest header: algorithm -> checksum as written."""
    found = {}
    for item in text.split(","):
        label = _LABEL.fullmatch(item.split(";")[0])
        if label and (algorithm := _NAMES.get(label[1].lower())):
            found[algorithm] = label[2].strip()
    return found


def judge(replica: Replica, size: int, stored: Mapping[str, str]) -> Checked:
    """Compare a replica with the size and the checksums (algorithm -> as written) that the storage has."""
    if replica.size is not None and replica.size != size:
        return Checked(Finding.WRONG_SIZE, f"{size} bytes on the storage, {replica.size} in the report")
    reported = {name: text for name in LENGTHS if (text := getattr(replica, name).strip())}
    for algorithm, text in reported.items():
        if (ours := normal(algorithm, text)) is None:
            return Checked(Finding.WRONG_CHECKSUM, f"'{text[:80]}' in the report is no {algorithm}")
        theirs = normal(algorithm, stored.get(algorithm, ""))
        if theirs is not None and theirs != ours:
            said = f"{_shown(algorithm, theirs)} on the storage, {_shown(algorithm, ours)} in the report"
            return Checked(Finding.WRONG_CHECKSUM, f"{algorithm} is {said}")
        if theirs is not None:
            return Checked(Finding.GOOD)
    if not reported:
        return Checked(Finding.UNVERIFIED, "the report names no checksum")
    return Checked(Finding.UNVERIFIED, f"the storage has no {' or '.join(reported)}")


def _shown(algorithm: str, value: int) -> str:
    return f"{value:0{2 * LENGTHS[algorithm]}x}"

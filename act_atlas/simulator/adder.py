"""What PanDA's Adder makes of a final report: the checks that a finished job's list of outputs must pass."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

UNREADABLE = "Could not get GUID/LFN/MD5/FSIZE/SURL from pilot JSON"


def complaint(fields: Mapping[str, Any], outputs: str) -> str:
    """Why a job that says it has finished has failed; "" if all is well.

    fields: the job as dispatched; its outFiles include the log. outputs: JSON text, LFN -> guid, fsize, checksum.
    """
    try:
        report = json.loads(outputs)
    except ValueError:
        return UNREADABLE
    inputs = _names(fields.get("inFiles"))
    if not isinstance(report, dict) or not report or not all(_complete(v, k in inputs) for k, v in report.items()):
        return UNREADABLE
    expected, optional = _names(fields.get("outFiles")), _names(fields.get("allowNoOutput"))
    for name in expected:
        if name not in optional and not any(_is(name, lfn) for lfn in report):
            return f"expected output {name} is missing in pilot JSON"
    for lfn in report:
        if lfn in inputs:
            if fields.get("prodSourceLabel") not in ("user", "panda"):
                return f"input {lfn} was skipped"
        elif not any(_is(name, lfn) for name in expected):
            return f"pilot produced {lfn} inconsistently with jobdef"
    return ""


def _names(value: object) -> list[str]:
    items = value if isinstance(value, list) else str(value or "").split(",")
    return [str(item) for item in items if item not in ("", "NULL")]


def _complete(entry: object, is_input: bool) -> bool:
    if not isinstance(entry, dict) or not entry.get("guid"):
        return False
    summed = re.fullmatch(r"[0-9a-f]{8}", str(entry.get("adler32"))) or entry.get("md5sum")
    return is_input or (isinstance(entry.get("fsize"), int) and bool(summed))


def _is(name: str, lfn: str) -> bool:
    """Whether ``lfn`` is the expected output, one of its numbered variants, or fits its pattern."""
    if name.startswith("regex|"):
        return re.search(name.removeprefix("regex|"), lfn) is not None
    return lfn == name or re.fullmatch(re.escape(name) + r"\.?_\d+", lfn) is not None

"""JobSpec -> ADL, as its author could have written it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree

from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile
from act_arc.language.adl_elements import ADL, ARC

MIB = 1 << 20
_STATES = {"b": "PREPROCESSING", "q": "PROCESSING", "f": "POSTPROCESSING", "e": "TERMINAL"}


def written(spec: JobSpec) -> str:
    """The document. Raises BadJobSpec for texts that XML cannot hold."""
    prefixes: Any = {None: ADL, "arc": ARC}  # the library's types know no default one
    root = etree.Element(f"{{{ADL}}}ActivityDescription", nsmap=prefixes)
    try:
        _add(_add(root, "ActivityIdentification"), "Name", spec.name)
        _write_application(_add(root, "Application"), spec)
        _write_resources(_add(root, "Resources"), spec)
        _write_staging(_add(root, "DataStaging"), spec)
    except ValueError as e:
        raise BadJobSpec(f"the job cannot be written as XML: {e}") from e
    etree.indent(root)
    return etree.tostring(root, encoding="unicode") + "\n"


def _add(parent: etree._Element, name: str, text: str | None = None, *, of: str = ADL) -> etree._Element:
    child = etree.SubElement(parent, f"{{{of}}}{name}")
    child.text = text
    return child


def _add_all(parent: etree._Element, pairs: Iterable[tuple[str, str | int | None]], *, of: str = ADL) -> None:
    """A child for each that has a value."""
    for name, value in pairs:
        if value is not None:
            _add(parent, name, str(value), of=of)


def _write_application(parent: etree._Element, spec: JobSpec) -> None:
    executable = _add(parent, "Executable")
    _add_all(executable, [("Path", spec.executable), *(("Argument", a) for a in spec.arguments)])
    _add_all(parent, [("Input", spec.stdin), ("Output", spec.stdout), ("Error", spec.stderr)])
    for name, value in spec.environment:
        _add_all(_add(parent, "Environment"), [("Name", name), ("Value", value)])
    extra = spec.extra
    if "jobreport" in extra:
        _add_all(_add(parent, "RemoteLogging"), [("ServiceType", "SGAS"), ("URL", extra["jobreport"])])
    if "lifetime" in extra:
        _add(parent, "WipeTime", extra["lifetime"])
    if "notify" in extra:
        _write_notification(_add(parent, "Notification"), extra["notify"].split())
    arc = [
        ("LoggingDirectory", spec.log_dir or None),
        ("Rerun", spec.reruns or None),
        ("Priority", spec.priority),
        ("StartTime", extra.get("starttime")),
        ("AccessControl", extra.get("acl")),
    ]
    _add_all(parent, arc, of=ARC)


def _write_notification(parent: etree._Element, words: list[str]) -> None:
    states = words[0] if words and "@" not in words[0] else ""
    _add(parent, "Protocol", "email")
    _add_all(parent, [("Recipient", word) for word in words if "@" in word])
    _add_all(parent, [("OnState", _STATES.get(state, state)) for state in states])


def _write_resources(parent: etree._Element, spec: JobSpec) -> None:
    extra = spec.extra
    if "opsys" in extra:
        _add(_add(parent, "OperatingSystem"), "Name", extra["opsys"])
    _add_all(parent, [("Platform", extra.get("architecture"))])
    for name in spec.runtime_environments:
        _add(_add(parent, "RuntimeEnvironment"), "Name", name)
    sizes = [
        ("NodeAccess", extra.get("nodeaccess")),
        ("IndividualPhysicalMemory", spec.memory_mb_total // max(spec.cores, 1) * MIB),
        ("DiskSpaceRequirement", None if spec.disk_mb is None else spec.disk_mb * MIB),
    ]
    _add_all(parent, sizes)
    slots = _add(parent, "SlotRequirement")
    per_host = extra.get("countpernode") or (str(spec.cores) if spec.single_node and spec.cores > 1 else None)
    exclusive = extra.get("exclusiveexecution")
    alone = {"yes": "true", "no": "false"}.get(exclusive, exclusive) if exclusive is not None else None
    _add_all(slots, [("NumberOfSlots", spec.cores), ("SlotsPerHost", per_host), ("ExclusiveExecution", alone)])
    _add_all(parent, [("TotalCPUTime", spec.cputime_s), ("WallTime", spec.walltime_s)])


def _write_staging(parent: etree._Element, spec: JobSpec) -> None:
    for file in spec.inputs:
        _write_input(_add(parent, "InputFile"), file)
    for output in spec.outputs:
        _write_output(_add(parent, "OutputFile"), output)


def _write_input(parent: etree._Element, file: InputFile) -> None:
    _add(parent, "Name", file.name)
    source = _add(parent, "Source")
    _add(source, "URI", file.source)
    for key, value in file.options:
        _add_all(_add(source, "Option"), [("Name", key), ("Value", value)])
    if file.executable:
        _add(parent, "IsExecutable", "true")


def _write_output(parent: etree._Element, file: OutputFile) -> None:
    _add(parent, "Name", file.name)
    if file.destination:
        _add(_add(parent, "Target"), "URI", file.destination)

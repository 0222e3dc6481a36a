"""ADL, the activity description language of EMI-ES with the extensions of ARC, as users write it for ARC's clients.

Sizes are in bytes, times in seconds, memory and IndividualCPUTime are those of one slot. One document describes one
job, or several within ``ActivityDescriptions``. Description, Annotation and ActivityOldID are notes and are dropped.
`draft` tells what becomes of what is not said.
"""

from __future__ import annotations

from functools import partial
from math import ceil

from act.descriptions import MAX_JOBS, MAX_NUMBER, Word, Wrong, bounded, faithful, file_name, number, shown
from act.model import JobSpec
from act_arc.language import extras
from act_arc.language.adl_elements import Element, Meanings
from act_arc.language.adl_staging import read_staging
from act_arc.language.adl_writer import MIB, written
from act_arc.language.draft import Draft

_MAX_BYTES = 10**15 - 1
_STATES = {"PREPROCESSING": "b", "PROCESSING": "q", "POSTPROCESSING": "f", "TERMINAL": "e"}


class Adl:
    """`act.interfaces.Description` of ADL."""

    flavour = "arc"

    def __call__(self, text: str) -> list[JobSpec]:
        """The jobs of the document. Raises BadJobSpec with the line and what to do."""
        try:
            return [_job(element) for element in _activities(Element.parse(bounded(text)))]
        except Wrong as e:
            raise shown(text, e) from e

    def write(self, spec: JobSpec) -> str:
        """The job as its author could have written it. Raises BadJobSpec for what ADL cannot say."""
        return faithful(spec, written(spec), self)


def _activities(root: Element) -> list[Element]:
    if root.name == "ActivityDescription":
        return [root]
    if root.name != "ActivityDescriptions":
        raise Wrong(root.at, f"the first element is {root.name[:100]!r}; it must be ActivityDescription")
    root.check_attributes()
    found = root.children()
    for element in found:
        if element.name != "ActivityDescription":
            raise Wrong(element.at, f"there is {element.name[:100]!r} among the jobs; each is an ActivityDescription")
    if not 0 < len(found) <= MAX_JOBS:
        raise Wrong(root.at, f"these are {len(found)} jobs; there must be from 1 to {MAX_JOBS}")
    return found


def _job(element: Element) -> JobSpec:
    draft = Draft(element.at)
    element.read({
        "ActivityIdentification": partial(_read_identification, draft),
        "Application": partial(_read_application, draft),
        "Resources": partial(_read_resources, draft),
        "DataStaging": partial(read_staging, draft),
    })  # fmt: skip
    return draft.spec()


def _read_identification(draft: Draft, element: Element) -> None:
    def name(child: Element) -> None:
        draft.name = child.word(exact=True).text

    def kind(child: Element) -> None:
        if child.word().text != "single":
            raise Wrong(child.at, "only single jobs can be described: leave Type out")

    meanings: Meanings = {
        "Name": name, "Type": kind, "Description": _ignore, "Annotation": _ignore, "ActivityOldID": _ignore,
    }  # fmt: skip
    element.read(meanings, lists=frozenset({"Annotation", "ActivityOldID"}))


def _read_application(draft: Draft, element: Element) -> None:
    meanings: Meanings = {
        "Executable": partial(_read_executable, draft),
        "Input": partial(_set_word, draft, "stdin"),
        "Output": partial(_set_file, draft, "stdout"),
        "Error": partial(_set_file, draft, "stderr"),
        "Environment": partial(_read_environment, draft),
        "LoggingDirectory": partial(_read_log_dir, draft),
        "RemoteLogging": partial(_read_remote_logging, draft),
        "WipeTime": partial(_read_wipe_time, draft),
        "Notification": partial(_read_notification, draft),
        "Rerun": partial(_set_number, draft, "reruns", 0, 1000),
        "Priority": partial(_set_number, draft, "priority", 0, 100),
        "StartTime": partial(_set_extra, draft, "starttime"),
        "AccessControl": partial(_read_acl, draft),
        "PreExecutable": partial(_refuse, "jobs run one program: put it into your script"),
        "PostExecutable": partial(_refuse, "jobs run one program: put it into your script"),
        "ExpirationTime": partial(_refuse, "jobs wait as long as the tower lets them: leave it out"),
        "CredentialService": partial(_refuse, "the tower renews your credential at the CE: leave it out"),
        "DryRun": partial(_only_false, "the tower has no dry runs: leave it out"),
    }
    element.read(meanings, lists=frozenset({"Environment", "Notification"}))


def _read_executable(draft: Draft, element: Element) -> None:
    def path(child: Element) -> None:
        draft.executable = child.word()

    def argument(child: Element) -> None:
        draft.arguments.append(child.word(exact=True).text)

    def exit_code(child: Element) -> None:
        if child.word().text != "0":
            raise Wrong(child.at, "a job is good if its program ends with 0: leave FailIfExitCodeNotEqualTo out")

    meanings: Meanings = {"Path": path, "Argument": argument, "FailIfExitCodeNotEqualTo": exit_code}
    element.read(meanings, lists=frozenset({"Argument"}))


def _read_environment(draft: Draft, element: Element) -> None:
    found = {"Name": Word("", element.at), "Value": Word("", element.at)}

    def take(child: Element) -> None:
        found[child.name] = child.word(exact=child.name == "Value")

    element.read({"Name": take, "Value": take})
    draft.add_variable(found["Name"], found["Value"])


def _read_log_dir(draft: Draft, element: Element) -> None:
    word = element.word()
    draft.log_dir = file_name(Word(word.text.rstrip("/") or word.text, word.at), element.name)


def _read_remote_logging(draft: Draft, element: Element) -> None:
    element.read({"ServiceType": _ignore, "URL": partial(_set_extra, draft, "jobreport")}, attributes=("optional",))


def _read_wipe_time(draft: Draft, element: Element) -> None:
    """A number of seconds, or a period."""
    word = element.word(attributes=("optional",))
    seconds = f"{word.text} seconds" if word.text.isascii() and word.text.isdecimal() else word.text
    draft.extra["lifetime"] = extras.XRSL["lifetime"](Word(seconds, word.at))


def _read_notification(draft: Draft, element: Element) -> None:
    states, addresses = [], []

    def protocol(child: Element) -> None:
        if child.word().text != "email":
            raise Wrong(child.at, "only email can be a Protocol of notifications")

    def state(child: Element) -> None:
        word = child.word()
        if word.text not in _STATES:
            raise Wrong(word.at, f"OnState is {word.text[:100]!r}; it must be one of {', '.join(_STATES)}")
        states.append(_STATES[word.text])

    def recipient(child: Element) -> None:
        addresses.append(child.word().text)

    element.read(
        {"Protocol": protocol, "Recipient": recipient, "OnState": state},
        lists=frozenset({"Recipient", "OnState"}),
        attributes=("optional",),
    )
    if "notify" in draft.extra:
        raise Wrong(element.at, "there are two Notifications: give all Recipients in one")
    text = " ".join(["".join(states), *addresses] if states else addresses)
    draft.extra["notify"] = extras.XRSL["notify"](Word(text, element.at))


def _read_acl(draft: Draft, element: Element) -> None:
    draft.extra["acl"] = extras.XRSL["acl"](element.raw())


def _read_resources(draft: Draft, element: Element) -> None:
    individual: list[Element] = []
    meanings: Meanings = {
        "OperatingSystem": partial(_read_system, draft),
        "Platform": partial(_set_extra, draft, "architecture"),
        "RuntimeEnvironment": partial(_read_runtime_environment, draft),
        "NodeAccess": partial(_set_extra, draft, "nodeaccess"),
        "IndividualPhysicalMemory": partial(_set_mb, draft, "memory_mb", 1),
        "DiskSpaceRequirement": partial(_set_mb, draft, "disk_mb", 0),
        "SlotRequirement": partial(_read_slots, draft),
        "TotalCPUTime": partial(_set_number, draft, "cputime_s", 1, MAX_NUMBER),
        "IndividualCPUTime": individual.append,
        "WallTime": partial(_set_number, draft, "walltime_s", 1, MAX_NUMBER),
        "ParallelEnvironment": partial(_refuse, "use SlotRequirement and RuntimeEnvironment"),
        "Coprocessor": partial(_refuse, "use a RuntimeEnvironment, or a CE that has them"),
        "NetworkInfo": partial(_refuse, "use a CE that has such a network"),
        "IndividualVirtualMemory": partial(_refuse, "use IndividualPhysicalMemory"),
        "RemoteSessionAccess": partial(_only_false, "the tower brings you the files of the job: leave it out"),
        "Benchmark": partial(_refuse, "give times as they are: nothing scales them by the speed of a CE"),
        "QueueName": partial(_refuse, "CEs are chosen with --ce when the job is submitted; a CE has its queue"),
    }
    element.read(meanings, lists=frozenset({"RuntimeEnvironment"}))
    if individual and draft.cputime_s is None:
        draft.cputime_s = number(individual[0].word(), "IndividualCPUTime", 1) * draft.cores


def _read_system(draft: Draft, element: Element) -> None:
    parts: dict[str, str] = {}

    def take(child: Element) -> None:
        parts[child.name] = child.word().text

    element.read({"Name": take, "Family": take, "Version": take}, attributes=("optional",))
    named = [parts[key] for key in ("Family", "Name", "Version") if parts.get(key)]
    draft.extra["opsys"] = extras.XRSL["opsys"](Word("-".join(named), element.at))


def _read_runtime_environment(draft: Draft, element: Element) -> None:
    parts = {"Name": "", "Version": ""}

    def take(child: Element) -> None:
        parts[child.name] = child.word().text

    element.read(
        {"Name": take, "Version": take, "Option": partial(_refuse, "options are not passed on: leave them out")},
        attributes=("optional",),
    )
    if element.has("optional") or not parts["Name"]:
        raise Wrong(element.at, "a RuntimeEnvironment needs a Name, and none can be optional: nothing would choose")
    draft.runtime_environments.append("-".join(p for p in parts.values() if p))


def _read_slots(draft: Draft, element: Element) -> None:
    per_host: list[Element] = []
    element.read({
        "NumberOfSlots": partial(_set_number, draft, "cores", 1, 1_000_000),
        "SlotsPerHost": per_host.append,
        "ExclusiveExecution": partial(_set_extra, draft, "exclusiveexecution"),
    })  # fmt: skip
    for child in per_host:
        word = child.word(attributes=("useNumberOfSlots",))
        told = draft.cores if child.has("useNumberOfSlots") else number(word, child.name, 1, 1_000_000)
        draft.cores_per_node = Word(str(told), word.at)


def _ignore(element: Element) -> None:
    element.word()


def _refuse(instead: str, element: Element) -> None:
    raise Wrong(element.at, f"{element.name} is not possible here: {instead}")


def _only_false(instead: str, element: Element) -> None:
    if element.flag():
        _refuse(instead, element)


def _set_word(draft: Draft, field: str, element: Element) -> None:
    setattr(draft, field, element.word())


def _set_file(draft: Draft, field: str, element: Element) -> None:
    setattr(draft, field, file_name(element.word(), element.name))


def _set_number(draft: Draft, field: str, low: int, high: int, element: Element) -> None:
    setattr(draft, field, number(element.word(), element.name, low, high))


def _set_mb(draft: Draft, field: str, low: int, element: Element) -> None:
    """A size told in bytes, rounded up."""
    setattr(draft, field, ceil(number(element.word(), f"{element.name} (bytes)", low, _MAX_BYTES) / MIB))


def _set_extra(draft: Draft, name: str, element: Element) -> None:
    word = element.word()
    if name == "exclusiveexecution":
        word = Word("yes" if element.flag() else "no", word.at)
    draft.extra[name] = extras.XRSL[name](word)


language = Adl()

"""Submit descriptions of HTCondor, as users write them for condor_submit, for jobs at CEs of HTCondor.

- A job's files are in one directory: inputs come under the last part of their path, and so do output, error and input.
- The program is one of the inputs, unless ``transfer_executable = false``.
- Without transfer_output_files all new files come back, with ``""`` none does.
- The wall time is told by ``+MaxRuntime`` or ``max_runtime`` (s), ``+maxWallTime`` (min), or as allowed_job_duration
  or allowed_execute_duration (s); it is one hour without any.
- Without output it goes to ``stdout.txt``; without error, that goes to the same file: nothing is lost.
- ``log`` and the like are ignored; what the tower would not do as asked is refused.
"""

from __future__ import annotations

from math import ceil

from act.descriptions import Word, Wrong, bounded, faithful, fetched, file_name, local_path, meant, plain, shown
from act.model import InputFile, JobSpec, OutputFile
from act_condor.language import words
from act_condor.language.commands import ALIASES, FIXED, IGNORED, refusal
from act_condor.language.text import Job, read

_DEFAULTS = JobSpec(name="", executable="")
# Attributes that only say something to the CE; HTCondor's own could change whose job it is, or which files it reads.
_EXTRA = {name.lower(): name for name in (
    "BatchProject", "DESIRED_Sites", "HostNumber", "JobFlavour", "ProjectName", "SMPGranularity", "SingularityImage",
    "UNDESIRED_Sites", "WholeNodes",
)}  # fmt: skip
_COMMANDS = frozenset({
    "executable", "transfer_executable", "arguments", "environment", "transfer_input_files", "transfer_output_files",
    "output", "error", "input", "initialdir", "request_cpus", "request_memory", "request_disk", "priority",
    "batch_name", "max_runtime", "+maxwalltime", "allowed_job_duration", "allowed_execute_duration", "arc_rte",
})  # fmt: skip


class Submit:
    """`act.interfaces.Description` of submit descriptions."""

    flavour = "condor"

    def __call__(self, text: str) -> list[JobSpec]:
        """The jobs that are queued. Raises BadJobSpec with line, column and what to do."""
        try:
            return [_spec(_Commands(job)) for job in read(bounded(text))]
        except Wrong as e:
            raise shown(text, e) from e

    def write(self, spec: JobSpec) -> str:
        """The job as its author could have written it. Raises BadJobSpec for what the language cannot say."""
        return faithful(spec, _written(spec), self)


class _Commands:
    """The commands of one job, each known and with one value. Raises Wrong for others."""

    def __init__(self, job: Job) -> None:
        self.at = job.at
        self.extra: dict[str, str] = {}
        self._values: dict[str, Word] = {}
        for told in job.commands:
            name = ALIASES.get(told, told)
            extra = _EXTRA.get(told.removeprefix("+")) if told.startswith("+") else None
            is_known = name in _COMMANDS or name in FIXED or extra is not None
            if not is_known and name not in IGNORED and (told not in job.referenced or refusal(name)):
                raise Wrong(job.commands[told].named_at, refusal(name) or _unknown(told))
            value = job.value(told) if is_known else None
            if value is None:
                continue
            if name in _COMMANDS:
                self._set(name, told, value)
            elif extra is not None:
                self.extra[extra] = words.attribute(value, extra)
            else:
                _check_fixed(name, value)

    def _set(self, name: str, told: str, value: Word) -> None:
        if name in self._values and self._values[name].text != value.text:
            raise Wrong(value.at, f"{told} and another command say different things about {name}: leave one out")
        self._values[name] = value

    def get(self, name: str) -> Word | None:
        return self._values.get(name)

    def flag(self, name: str, default: bool) -> bool:
        word = self.get(name)
        if word is None:
            return default
        if word.text.lower() not in ("true", "false", "yes", "no"):
            raise Wrong(word.at, f"{name} is {word.text[:100]!r}; it must be true or false")
        return word.text.lower() in ("true", "yes")


def _unknown(name: str) -> str:
    if name.startswith("+"):
        return f"the attribute {name[:100]!r} is not passed on; these are: {', '.join(_EXTRA.values())}"
    return f"there is no command {name[:100]!r}, and no macro refers to it{meant(name, _COMMANDS | set(FIXED))}"


def _check_fixed(name: str, value: Word) -> None:
    values, instead = FIXED[name]
    if value.text.lower() not in values:
        raise Wrong(value.at, f"{name} cannot be {value.text[:100]!r}: {instead}")


def _spec(told: _Commands) -> JobSpec:
    program, inputs = _program(told)
    stdin = _take_inputs(told, inputs)
    stdout, stderr = _streams(told)
    outputs = _outputs(told)
    name, environment, arguments, priority, cores, memory, disk, rte = map(told.get, (
        "batch_name", "environment", "arguments", "priority", "request_cpus", "request_memory", "request_disk",
        "arc_rte",
    ))  # fmt: skip
    return JobSpec(
        name=program.rpartition("/")[2] if name is None else plain(name, "batch_name").strip('"'),
        executable=program,
        arguments=tuple(words.arguments(arguments)) if arguments else (),
        environment=tuple(words.environment(environment)) if environment else (),
        cores=words.whole(cores, "request_cpus", 1, 1_000_000) if cores else 1,
        memory_mb_total=words.megabytes(memory, "request_memory", "M") if memory else _DEFAULTS.memory_mb_total,
        walltime_s=_walltime_s(told),
        disk_mb=words.megabytes(disk, "request_disk", "K") if disk else None,
        priority=words.whole(priority, "priority", 0, 100) if priority else None,
        runtime_environments=tuple(w.text for w in words.paths(rte, "arc_rte")) if rte else (),
        inputs=tuple(inputs.values()),
        outputs=outputs,
        stdin=stdin,
        stdout=stdout,
        stderr=None if stderr == stdout else stderr,
        log_dir="",
        fetch=fetched(outputs),
        extra=told.extra,
    )


def _program(told: _Commands) -> tuple[str, dict[str, InputFile]]:
    """The program, and the input file that it is, if it is one."""
    word = told.get("executable")
    if word is None:
        raise Wrong(told.at, "the job has no executable: say which program it runs")
    if not told.flag("transfer_executable", True):
        return plain(word, "executable"), {}
    file = _input(word, "executable", "", executable=True)
    return file.name, {file.name: file}


def _take_inputs(told: _Commands, inputs: dict[str, InputFile]) -> str | None:
    """Add the files that are transferred; returns the name of the one that is standard input."""
    folder = told.get("initialdir")
    base = plain(folder, "initialdir").rstrip("/") + "/" if folder else ""
    listed, stdin = told.get("transfer_input_files"), told.get("input")
    for word in words.paths(listed, "transfer_input_files") if listed else []:
        _take(_input(word, "transfer_input_files", base), inputs, word)
    if stdin is None or stdin.text == "/dev/null":
        return None
    file = _input(stdin, "input", base)
    _take(file, inputs, stdin)
    return file.name


def _take(file: InputFile, inputs: dict[str, InputFile], word: Word) -> None:
    """Add a file, but for one that is there already; two with one name cannot be in one directory."""
    other = inputs.setdefault(file.name, file)
    if other.source != file.source:
        raise Wrong(word.at, f"two input files would have the name {file.name!r}")


def _input(word: Word, what: str, base: str, *, executable: bool = False) -> InputFile:
    path = local_path(word)
    source = word.text if path is None else path
    name = source.rpartition("/")[2]
    if path is not None and (not name or name in (".", "..")):
        raise Wrong(word.at, f"{what}: {source[:100]!r} is a directory; pack it into one file")
    is_relative = path is not None and not source.startswith("/")
    name = file_name(Word(name, word.at), what)
    return InputFile(name, source=f"{base}{source}" if is_relative else source, executable=executable)


def _outputs(told: _Commands) -> tuple[OutputFile, ...]:
    word = told.get("transfer_output_files")
    if word is None:
        return (OutputFile("/"),)
    names = [] if word.text == '""' else words.paths(word, "transfer_output_files")
    for name in names:
        if name.text.startswith("@") or "://" in name.text:
            raise Wrong(name.at, f"transfer_output_files: {name.text[:100]!r} is not the name of a file of the job")
    return tuple(OutputFile(file_name(n, "transfer_output_files", folder=True)) for n in names)


def _streams(told: _Commands) -> tuple[str, str | None]:
    """Where standard output and error go; None for error: to the same file."""
    out, err = (word if word and word.text != "/dev/null" else None for word in map(told.get, ("output", "error")))
    names = [file_name(Word(w.text.rpartition("/")[2], w.at), "the file") if w else None for w in (out, err)]
    if out and err and names[0] == names[1] and out.text != err.text:
        raise Wrong(
            err.at, f"output and error would both be {names[1]!r}: their names must differ, not their directories"
        )
    return names[0] or _DEFAULTS.stdout, names[1]


def _walltime_s(told: _Commands) -> int:
    found: list[tuple[int, Word]] = []
    for name in ("max_runtime", "allowed_job_duration", "allowed_execute_duration"):
        if word := told.get(name):
            found.append((words.whole(word, name), word))
    if word := told.get("+maxwalltime"):
        minutes = words.whole(word, "+maxWallTime", 1, 10_000_000)
        if not any(ceil(seconds / 60) == minutes for seconds, _ in found):
            found.append((minutes * 60, word))
    if len({seconds for seconds, _ in found}) > 1:
        raise Wrong(found[1][1].at, "two commands say different wall times: leave one out")
    return found[0][0] if found else _DEFAULTS.walltime_s


def _written(spec: JobSpec) -> str:
    """A line for each command; what a JobSpec has by default is said too."""
    program = next((f for f in spec.inputs if f.name == spec.executable), None)
    stdin = next((f for f in spec.inputs if f.name == spec.stdin), None)
    files = [f for f in spec.inputs if f is not program]
    everything = spec.outputs == (OutputFile("/"),)
    lines = {
        "batch_name": spec.name if spec.name else '""',
        "executable": program.source if program else spec.executable,
        "transfer_executable": None if program else "false",
        "arguments": words.quoted(spec.arguments) if spec.arguments else None,
        "environment": words.quoted(f"{k}={v}" for k, v in spec.environment) if spec.environment else None,
        "transfer_input_files": ", ".join(f.source for f in files) or None,
        "input": stdin.source if stdin else None,
        "output": spec.stdout,
        "error": spec.stderr,
        "transfer_output_files": None if everything else ", ".join(o.name for o in spec.outputs) or '""',
        "request_cpus": str(spec.cores),
        "request_memory": f"{spec.memory_mb_total}M",
        "request_disk": None if spec.disk_mb is None else f"{spec.disk_mb}M",
        "priority": None if spec.priority is None else str(spec.priority),
        "arc_rte": ", ".join(spec.runtime_environments) or None,
        "+MaxRuntime": str(spec.walltime_s),
        **{f"+{name}": words.attribute_written(value) for name, value in spec.extra.items()},
    }
    told = [f"{name} = {value.replace('$', '$(DOLLAR)')}" for name, value in lines.items() if value is not None]
    return "\n".join([*told, "queue", ""])


language = Submit()

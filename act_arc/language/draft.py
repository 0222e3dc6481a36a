"""A job as an author of xRSL or ADL tells it, and what clients of ARC make of that.

- A program with a relative path, or a standard input, that is not among the input files becomes one, from the author's
  file of that path. An absolute path is the worker node's.
- Memory is told for each slot: a JobSpec has the sum. Slots may be on any nodes, unless they are told how many on each.
- Without a wall time, that is the processor time of one slot (as ARC's batch systems take it), or else one hour.
- Standard output that is not told goes to ``stdout.txt``, standard error to the same file as output: nothing is lost.
- Outputs without a destination are brought back under their own name: a file, a folder (``logs/``) or all there is
  (``/``). Those with one are sent there by the CE, as are those in a list made by the job (``@list``).
- A job without a name is called like its program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import ceil

from act.descriptions import Word, Wrong, fetched, file_name, is_url, local_path, plain
from act.model import InputFile, JobSpec, OutputFile

DEFAULTS = JobSpec(name="", executable="")
STDERR = "stderr.txt"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSAFE = re.compile(r"[\"'`$\\]")
_OPTION = re.compile(r"[A-Za-z0-9_-]+=[^\s;/:|\"]+")
_HOST = re.compile(r"[a-z][a-z0-9+.-]*://[^/;]*", re.IGNORECASE)


@dataclass
class Draft:
    """What has been told so far; None for what was not. at: where the job begins. memory_mb is that of one slot."""

    at: int
    name: str | None = None
    executable: Word | None = None
    arguments: list[str] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    cores: int = 1
    cores_per_node: Word | None = None
    memory_mb: int = DEFAULTS.memory_mb_total
    walltime_s: int | None = None
    cputime_s: int | None = None
    disk_mb: int | None = None
    priority: int | None = None
    runtime_environments: list[str] = field(default_factory=list)
    inputs: dict[str, InputFile] = field(default_factory=dict)  # by name
    executables: list[Word] = field(default_factory=list)
    outputs: dict[OutputFile, None] = field(default_factory=dict)  # in order
    stdin: Word | None = None
    stdout: str = DEFAULTS.stdout
    stderr: str | None = None
    log_dir: str = ""
    reruns: int = 0
    extra: dict[str, str] = field(default_factory=dict)

    def add_variable(self, name: Word, value: Word) -> None:
        if not _VARIABLE.fullmatch(name.text):
            raise Wrong(name.at, f"{name.text[:100]!r} is not the name of an environment variable")
        self.environment.append((name.text, plain(value, f"the environment variable {name.text}")))

    def add_input(self, name: Word, source: Word, options: list[Word], *, executable: bool = False) -> None:
        """An input file; an empty source is the file of the same name."""
        path = file_name(name, "the input file")
        if path in self.inputs:
            raise Wrong(name.at, f"there are two input files {path!r}")
        local = local_path(source)
        if options and local is not None:
            raise Wrong(options[0].at, "only files that are fetched from a URL have options")
        pairs = [option.text.partition("=") for option in options if _is_option(option)]
        self.inputs[path] = InputFile(
            path,
            source=source.text if local is None else local or name.text,
            executable=executable,
            options=tuple((key, value) for key, _, value in pairs),
        )

    def add_output(self, name: Word, destination: Word, options: list[Word]) -> None:
        """An output; without a destination it is brought back."""
        path = _output_name(name)
        url = plain(destination, "the destination")
        if (url and not is_url(url)) or url.lower().startswith("file:"):
            raise Wrong(destination.at, "the destination is not a URL; leave it empty for what is to be brought to you")
        if (options and not url) or (path == "/" and url):
            raise Wrong(destination.at, f"the output {path!r} is brought to you: it cannot have a URL or options")
        output = OutputFile(path, _with_options(url, [option.text for option in options if _is_option(option)]))
        if output in self.outputs:
            raise Wrong(name.at, f"there are two outputs {path!r}")
        self.outputs[output] = None

    def spec(self) -> JobSpec:
        """The job, completed. Raises Wrong."""
        program = self._program()
        inputs = self._all_inputs(program)
        walltime_s, single_node = self._walltime_s(), self._single_node()
        return JobSpec(
            name=program.rpartition("/")[2] if self.name is None else self.name,
            executable=program,
            arguments=tuple(self.arguments),
            environment=tuple(self.environment),
            cores=self.cores,
            single_node=single_node,
            memory_mb_total=self.memory_mb * self.cores,
            walltime_s=walltime_s,
            cputime_s=self.cputime_s,
            disk_mb=self.disk_mb,
            priority=self.priority,
            runtime_environments=tuple(self.runtime_environments),
            inputs=inputs,
            outputs=tuple(self.outputs),
            stdin=None if self.stdin is None else file_name(self.stdin, "the standard input"),
            stdout=self.stdout,
            stderr=None if self.stderr == self.stdout else self.stderr,
            log_dir=self.log_dir,
            reruns=self.reruns,
            fetch=fetched(self.outputs),
            extra=self.extra,
        )

    def _program(self) -> str:
        if self.executable is None:
            raise Wrong(self.at, "the job has no executable: say which program it runs")
        path = plain(self.executable, "the executable")
        if not path or _UNSAFE.search(path):
            raise Wrong(
                self.executable.at, f"the executable {path[:100]!r} is empty, or has quotes, $ or backslash in it"
            )
        return path if path.startswith("/") else file_name(self.executable, "the executable")

    def _all_inputs(self, program: str) -> tuple[InputFile, ...]:
        """The input files, with those that are only named as program or standard input."""
        found = dict(self.inputs)
        if self.executable is not None and not program.startswith("/") and program not in found:
            found[program] = InputFile(program, source=self.executable.text, executable=True)
        if self.stdin is not None:
            name = file_name(self.stdin, "the standard input")
            found.setdefault(name, InputFile(name, source=self.stdin.text))
        for word in self.executables:
            name = file_name(word, "the executable file")
            if name not in found:
                raise Wrong(word.at, f"{name!r} is not an input file: only those can be made executable")
            file = found[name]
            found[name] = InputFile(file.name, source=file.source, executable=True, options=file.options)
        return tuple(found.values())

    def _walltime_s(self) -> int:
        if self.walltime_s is not None:
            return self.walltime_s
        return DEFAULTS.walltime_s if self.cputime_s is None else ceil(self.cputime_s / self.cores)

    def _single_node(self) -> bool:
        """Whether all slots are on one node; another number for each node is left to the CE, which knows it too."""
        told = self.cores_per_node
        if told is None:
            return self.cores == 1
        if self.cores % int(told.text):
            raise Wrong(told.at, f"{self.cores} slots cannot be on nodes with {told.text} each")
        if int(told.text) < self.cores:
            self.extra["countpernode"] = told.text
        return int(told.text) == self.cores


def _output_name(word: Word) -> str:
    """The name of an output: a file, a folder with ``/`` at its end, ``/`` for all, or a list ``@file``."""
    if word.text == "/":
        return "/"
    if word.text.startswith("@"):
        return "@" + file_name(Word(word.text[1:], word.at), "the list of outputs")
    return file_name(word, "the output file", folder=True)


def _is_option(word: Word) -> bool:
    """True; raises Wrong for what ARC does not take as an option of a URL."""
    if not _OPTION.fullmatch(word.text):
        raise Wrong(word.at, f"{word.text[:100]!r} is not an option of a URL, such as cache=no")
    if word.text.startswith("location="):
        raise Wrong(word.at, "other places of a file are not supported: name one, or a rucio:// URL")
    return True


def _with_options(url: str, options: list[str]) -> str:
    """The URL with its options where ARC has them: after the host."""
    host = _HOST.match(url)
    if not options or host is None:
        return url
    return host[0] + "".join(f";{option}" for option in options) + url[host.end() :]

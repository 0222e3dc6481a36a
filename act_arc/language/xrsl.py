"""xRSL as users write it for ARC's clients, after the reference manual; not the form that a CE gets (`act_arc.xrsl`).

A bare number of cputime, walltime or lifetime means minutes. Attributes may be given once, but for lists: inputfiles,
outputfiles, executables, environment and runtimeenvironment. ``>=`` of a need (memory, disk, times, count) is the same
as ``=``; no other operators are taken, as there is no broker that could choose between versions. `draft` tells what
becomes of what is not said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from act.descriptions import Word, Wrong, bounded, faithful, file_name, is_url, meant, number, plain, shown
from act.model import InputFile, JobSpec, OutputFile
from act_arc.language import extras
from act_arc.language.draft import STDERR, Draft
from act_arc.language.periods import seconds
from act_arc.language.refused import REFUSED
from act_arc.language.rsl import Group, Relation, read

_NEEDS = frozenset({"memory", "disk", "cputime", "walltime", "count"})
_LISTS = frozenset({"inputfiles", "outputfiles", "executables", "environment", "runtimeenvironment"})


class Xrsl:
    """`act.interfaces.Description` of xRSL."""

    flavour = "arc"

    def __call__(self, text: str) -> list[JobSpec]:
        """The jobs of ``&(...)`` or ``+(&...)(&...)``. Raises BadJobSpec with line, column and what to do."""
        try:
            return [_job(at, relations) for at, relations in read(bounded(text))]
        except Wrong as e:
            raise shown(text, e) from e

    def write(self, spec: JobSpec) -> str:
        """The job as its author could have written it. Raises BadJobSpec for what xRSL cannot say."""
        return faithful(spec, _written(spec), self)


def _job(at: int, relations: list[Relation]) -> JobSpec:
    draft, told = Draft(at), set()
    later: dict[str, Relation] = {}
    for relation in relations:
        name = relation.name
        if name in told and name not in _LISTS:
            raise Wrong(relation.at, f"{relation.written} is given twice")
        told.add(name)
        if name not in _KNOWN:
            raise Wrong(relation.at, REFUSED.get(name) or _unknown(relation))
        _check_operator(relation)
        if name in _ATTRIBUTES:
            _ATTRIBUTES[name](draft, relation)
        elif name in _AFTERWARDS:
            later[name] = relation
        else:
            draft.extra[name] = extras.XRSL[name](_one(relation))
    for name, relation in later.items():
        _AFTERWARDS[name](draft, relation)
    return draft.spec()


def _unknown(relation: Relation) -> str:
    return f"there is no attribute {relation.written[:100]!r}{meant(relation.name, _KNOWN)}"


def _check_operator(relation: Relation) -> None:
    if relation.operator == "=" or (relation.operator == ">=" and relation.name in _NEEDS):
        return
    more = "=" if relation.name not in _NEEDS else "= or >="
    raise Wrong(relation.at, f"{relation.written} can only have {more}: nothing would choose by {relation.operator!r}")


def _words(relation: Relation | Group, what: str) -> list[Word]:
    """The values, which must be texts."""
    words = []
    for value in relation.values:
        if isinstance(value, Group):
            raise Wrong(value.at, f"{what} takes texts, not lists in parentheses")
        words.append(Word(plain(value, what), value.at))
    return words


def _one(relation: Relation) -> Word:
    """The value, of which there must be one. An acl is XML of many lines, so control characters are its own matter."""
    match relation.values:
        case (Word() as word,):
            return word if relation.name == "acl" else Word(plain(word, relation.written), word.at)
    raise Wrong(relation.at, f"{relation.written} takes one text; a text with spaces needs quotes")


def _tuples(relation: Relation, form: str) -> Iterable[list[Word]]:
    """The values, which must be lists of two or more texts."""
    for value in relation.values:
        words = _words(value, relation.written) if isinstance(value, Group) else []
        if len(words) < 2:
            raise Wrong(value.at, f"{relation.written} takes {form}")
        yield words


def _flag(relation: Relation) -> bool:
    word = _one(relation)
    if word.text.lower() not in ("yes", "true", "no", "false"):
        raise Wrong(word.at, f"{relation.written} is {word.text[:100]!r}; it must be yes or no")
    return word.text.lower() in ("yes", "true")


def _set_name(draft: Draft, relation: Relation) -> None:
    draft.name = _one(relation).text


def _set_executable(draft: Draft, relation: Relation) -> None:
    draft.executable = _one(relation)


def _set_arguments(draft: Draft, relation: Relation) -> None:
    draft.arguments = [w.text for w in _words(relation, relation.written)]


def _add_environment(draft: Draft, relation: Relation) -> None:
    for words in _tuples(relation, '("NAME" "value") for each variable'):
        if len(words) > 2:
            raise Wrong(words[2].at, 'environment takes ("NAME" "value") for each variable')
        draft.add_variable(*words)


def _set_count(draft: Draft, relation: Relation) -> None:
    draft.cores = number(_one(relation), relation.written, 1, 1_000_000)


def _set_count_per_node(draft: Draft, relation: Relation) -> None:
    word = _one(relation)
    draft.cores_per_node = Word(str(number(word, relation.written, 1, 1_000_000)), word.at)


def _set_memory(draft: Draft, relation: Relation) -> None:
    draft.memory_mb = number(_one(relation), "memory (MB for each of count)", 1)


def _set_disk(draft: Draft, relation: Relation) -> None:
    draft.disk_mb = number(_one(relation), "disk (MB)")


def _set_priority(draft: Draft, relation: Relation) -> None:
    draft.priority = number(_one(relation), relation.written, 0, 100)


def _set_reruns(draft: Draft, relation: Relation) -> None:
    draft.reruns = number(_one(relation), relation.written, 0, 1000)


def _set_walltime(draft: Draft, relation: Relation) -> None:
    draft.walltime_s = seconds(_one(relation), relation.written)


def _set_cputime(draft: Draft, relation: Relation) -> None:
    draft.cputime_s = seconds(_one(relation), relation.written)


def _add_runtime_environments(draft: Draft, relation: Relation) -> None:
    word = _one(relation)
    if not word.text.strip():
        raise Wrong(word.at, "the runtime environment has no name")
    draft.runtime_environments.append(word.text)


def _add_inputs(draft: Draft, relation: Relation) -> None:
    for name, source, *options in _tuples(relation, '("name" "path or URL") for each file'):
        draft.add_input(name, source, options)


def _add_executables(draft: Draft, relation: Relation) -> None:
    draft.executables += _words(relation, relation.written)


def _add_outputs(draft: Draft, relation: Relation) -> None:
    form = '("name" "URL") for each file, ("name" "") to have it brought to you'
    for name, destination, *options in _tuples(relation, form):
        draft.add_output(name, destination, options)


def _set_stdin(draft: Draft, relation: Relation) -> None:
    draft.stdin = _one(relation)


def _set_stdout(draft: Draft, relation: Relation) -> None:
    draft.stdout = file_name(_one(relation), relation.written)


def _set_stderr(draft: Draft, relation: Relation) -> None:
    draft.stderr = file_name(_one(relation), relation.written)


def _set_log_dir(draft: Draft, relation: Relation) -> None:
    word = _one(relation)
    draft.log_dir = file_name(Word(word.text.rstrip("/") or word.text, word.at), relation.written)


def _set_join(draft: Draft, relation: Relation) -> None:
    """``no`` without a name for standard error still keeps the two apart."""
    if not _flag(relation):
        draft.stderr = draft.stderr or STDERR
    elif draft.stderr not in (None, draft.stdout):
        raise Wrong(relation.at, "join and stderr contradict each other: leave one out")


def _set_cache(draft: Draft, relation: Relation) -> None:
    """What is said for all files that come from elsewhere, but for programs and those that have said it themselves."""
    word = _one(relation)
    if not (word.text.isascii() and word.text.isalpha()):
        raise Wrong(word.at, f"cache is {word.text[:100]!r}; it is yes, no, or as in the option of a URL")
    programs = {file_name(w, "the executable file") for w in draft.executables}
    _add_option(draft, "cache", word.text.lower(), lambda f: f.name not in programs)


def _set_threads(draft: Draft, relation: Relation) -> None:
    threads = str(number(_one(relation), relation.written, 1, 10))
    _add_option(draft, "threads", threads, lambda f: True)


def _add_option(draft: Draft, key: str, value: str, concerns: Callable[[InputFile], bool]) -> None:
    for name, file in draft.inputs.items():
        if is_url(file.source) and concerns(file) and key not in dict(file.options):
            draft.inputs[name] = replace(file, options=(*file.options, (key, value)))


_ATTRIBUTES: dict[str, Callable[[Draft, Relation], None]] = {
    "jobname": _set_name,
    "executable": _set_executable,
    "arguments": _set_arguments,
    "environment": _add_environment,
    "count": _set_count,
    "countpernode": _set_count_per_node,
    "memory": _set_memory,
    "disk": _set_disk,
    "priority": _set_priority,
    "rerun": _set_reruns,
    "walltime": _set_walltime,
    "cputime": _set_cputime,
    "runtimeenvironment": _add_runtime_environments,
    "inputfiles": _add_inputs,
    "executables": _add_executables,
    "outputfiles": _add_outputs,
    "stdin": _set_stdin,
    "stdout": _set_stdout,
    "stderr": _set_stderr,
    "gmlog": _set_log_dir,
}
_AFTERWARDS: dict[str, Callable[[Draft, Relation], None]] = {
    "join": _set_join,
    "cache": _set_cache,
    "ftpthreads": _set_threads,
}
_KNOWN = frozenset({*_ATTRIBUTES, *_AFTERWARDS, *extras.XRSL})


def _written(spec: JobSpec) -> str:
    """Every relation on a line of its own; what a JobSpec has by default is said too."""
    relations = [
        _relation("jobname", [spec.name]),
        _relation("executable", [spec.executable]),
        _relation("arguments", spec.arguments),
        _relation("environment", *spec.environment),
        _relation("count", [spec.cores]),
        _relation("countpernode", [spec.cores]) if spec.single_node and spec.cores > 1 else "",
        _relation("memory", [spec.memory_mb_total // spec.cores]) if spec.cores > 0 else "",
        _relation("walltime", [f"{spec.walltime_s} seconds"]),
        _relation("cputime", [f"{spec.cputime_s} seconds"]) if spec.cputime_s is not None else "",
        _relation("disk", [spec.disk_mb]) if spec.disk_mb is not None else "",
        _relation("priority", [spec.priority]) if spec.priority is not None else "",
        *(_relation("runtimeenvironment", [e]) for e in spec.runtime_environments),
        _relation("inputfiles", *map(_input, spec.inputs)),
        _relation("executables", [f.name for f in spec.inputs if f.executable]),
        _relation("outputfiles", *map(_output, spec.outputs)),
        _relation("stdin", [spec.stdin]) if spec.stdin is not None else "",
        _relation("stdout", [spec.stdout]),
        _relation("stderr", [spec.stderr]) if spec.stderr is not None else _relation("join", ["yes"]),
        _relation("gmlog", [spec.log_dir]) if spec.log_dir else "",
        _relation("rerun", [spec.reruns]) if spec.reruns else "",
        *(_relation(name, [extras.written(name, value)]) for name, value in sorted(spec.extra.items())),
    ]
    return "&" + "\n ".join(r for r in relations if r) + "\n"


def _relation(name: str, *values: Sequence[str | int | None]) -> str:
    """``(name="a" "b")`` of one list of values, or ``(name=("a" "b")("c" "d"))`` of several; nothing without values."""
    told = [" ".join(_quoted(str(v)) for v in value) for value in values if value]
    if not told:
        return ""
    return f"({name}={''.join(f'({t})' for t in told) if name in _OF_TUPLES else told[0]})"


_OF_TUPLES = frozenset({"environment", "inputfiles", "outputfiles"})


def _input(file: InputFile) -> list[str]:
    return [file.name, file.source, *(f"{key}={value}" for key, value in file.options)]


def _output(file: OutputFile) -> list[str]:
    return [file.name, file.destination]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


language = Xrsl()

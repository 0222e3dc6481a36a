"""The JSON form of job descriptions: an object for one job, with the fields of a JobSpec; or an array of such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from act.descriptions import bounded, faithful
from act.errors import BadJobSpec
from act.model import InputFile, JobSpec, OutputFile

_DEFAULT = JobSpec(name="", executable="")
_SHOWN = 5  # mistakes
_COUNT = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Text = Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
_Name = Annotated[_Text, Field(min_length=1, max_length=500)]


class _Part(BaseModel):
    """An object; nothing is allowed in it but its fields, and nothing is guessed from other types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Input(_Part):
    """source: a URL, or "" for a file that is uploaded under this name."""

    name: _Name
    source: _Text = ""
    executable: bool = False
    options: dict[_Name, _Text] = {}


class _Output(_Part):
    """destination: a URL, or "" for a file that is brought back."""

    name: _Name
    destination: _Text = ""


class _Job(_Part):
    """A job."""

    name: _Text = ""
    executable: _Name
    arguments: list[_Text] = []
    environment: dict[_Name, _Text] = {}
    cores: _COUNT = _DEFAULT.cores
    single_node: bool = _DEFAULT.single_node
    memory_mb_total: _COUNT = _DEFAULT.memory_mb_total
    walltime_s: _COUNT = _DEFAULT.walltime_s
    cputime_s: _COUNT | None = None
    disk_mb: _COUNT | None = None
    priority: Annotated[int, Field(ge=0, le=100)] | None = None
    runtime_environments: list[_Name] = []
    inputs: list[_Input] = []
    outputs: list[_Output] = []
    stdin: _Name | None = None
    stdout: _Name = _DEFAULT.stdout
    stderr: _Name | None = None
    log_dir: _Name = _DEFAULT.log_dir
    reruns: Annotated[int, Field(ge=0, le=100)] = 0
    fetch: list[_Name] = []

    def spec(self) -> JobSpec:
        """The same, as the tower has it; a job without a name is called like its program."""
        lists = ("arguments", "runtime_environments", "fetch")
        plain = self.model_dump(exclude={"inputs", "outputs", "environment", *lists})
        return JobSpec(
            **plain | {name: tuple(getattr(self, name)) for name in lists} | {"name": self.name or self.executable},
            environment=tuple(self.environment.items()),
            inputs=tuple(
                InputFile(i.name, i.source, executable=i.executable, options=tuple(i.options.items()))
                for i in self.inputs
            ),
            outputs=tuple(OutputFile(o.name, o.destination) for o in self.outputs),
        )


_ONE: TypeAdapter[_Job] = TypeAdapter(_Job)
_MANY: TypeAdapter[list[_Job]] = TypeAdapter(list[_Job])


class JobJson:
    """`act.interfaces.Description`."""

    flavour = ""

    def __call__(self, text: str) -> list[JobSpec]:
        """Raises BadJobSpec with all mistakes and their places."""
        many = bounded(text).lstrip().startswith("[")
        try:
            jobs = _MANY.validate_json(text) if many else [_ONE.validate_json(text)]
        except ValidationError as error:
            raise BadJobSpec(_told(error)) from error
        if not jobs:
            raise BadJobSpec("the array has no job in it")
        return [job.spec() for job in jobs]

    def write(self, spec: JobSpec) -> str:
        """One object, without what has its default. Raises BadJobSpec for what belongs to one type of CE only."""
        return faithful(spec, _job(spec).model_dump_json(exclude_defaults=True, indent=1), self)


def _job(spec: JobSpec) -> _Job:
    fields: Mapping[str, Any] = {
        name: list(value) if isinstance(value := getattr(spec, name), tuple) else value for name in _Job.model_fields
    }
    own = {
        "environment": dict(spec.environment),
        "inputs": [
            {"name": i.name, "source": i.source, "executable": i.executable, "options": dict(i.options)}
            for i in spec.inputs
        ],
        "outputs": [{"name": o.name, "destination": o.destination} for o in spec.outputs],
    }
    try:
        return _Job(**{**fields, **own})
    except ValidationError as error:
        raise BadJobSpec(f"the job cannot be written as JSON: {_told(error)}") from error


def _told(error: ValidationError) -> str:
    found = [
        f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}".removeprefix(": ")
        for e in error.errors(include_url=False, include_input=False)
    ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN])[:2000] + more


description = JobJson()

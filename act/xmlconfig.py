"""XML files -> typed frozen objects. Every mistake is reported with file and line, all of them at once.

A `Section` is an element. Its fields are its child elements or attributes, by the same name; a field of type
``tuple[X, ...]`` is an element that may be repeated. Unknown and ill-typed elements are refused.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from lxml import etree
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from act.errors import ConfigError


class Section(BaseModel):
    """One element; frozen, and nothing is allowed in it but its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, validate_default=True)


M = TypeVar("M", bound=Section)
Location = tuple[str | int, ...]


def _from_base(value: Path, info: ValidationInfo) -> Path:
    if value == Path():
        raise ValueError("is empty; give a path")
    return base_of(info) / value.expanduser()


def base_of(info: ValidationInfo) -> Path:
    """For validators: the directory at which relative paths start."""
    return cast(Path, (info.context or {}).get("base", Path()))


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f"not an address or a network like 192.0.2.0/24: {error}") from None


ConfigPath = Annotated[Path, AfterValidator(_from_base)]
"""A path; a relative one starts at the directory of the configuration file."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A duration; fractions are allowed."""
Count = Annotated[int, Field(ge=1)]
Network = Annotated[str, AfterValidator(_network)]
"""An address, or a network like ``192.0.2.0/24``."""


def distinct(what: str, names: Iterable[str]) -> None:
    """For validators of elements that may be repeated: none may stand for the same thing as another."""
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise ValueError(f"{what} given more than once: {', '.join(twice)}")


def find(name: str, variable: str) -> Path:
    """The configuration file ``name``: ``$variable`` if set, else $VIRTUAL_ENV/etc/act, /etc/act, or here.

    Raises ConfigError if there is none.
    """
    if chosen := os.environ.get(variable):
        if Path(chosen).is_file():
            return Path(chosen).absolute()
        raise ConfigError(f"no file {chosen} (named by ${variable}); run 'actctl init' to make one")
    venv = os.environ.get("VIRTUAL_ENV")
    places = [*([Path(venv, "etc", "act")] if venv else []), Path("/etc/act"), Path()]
    for place in places:
        if (place / name).is_file():
            return (place / name).absolute()
    looked = ", ".join(str(p.absolute()) for p in places)
    raise ConfigError(f"no {name} in {looked}; run 'actctl init' to make one, or set ${variable}")


def load_xml(path: Path, model: type[M]) -> M:
    """Read a file into a model. Raises ConfigError with one line for each mistake, in the order of the file."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        root = etree.fromstring(path.read_bytes(), parser)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except etree.XMLSyntaxError as exc:
        raise ConfigError(f"{path}:{exc.lineno or 1}: not well-formed XML: {exc.msg}") from exc
    reader = _Reader()
    data = reader.section(root, model, ())
    mistakes = reader.mistakes
    try:
        result = model.model_validate(data, context={"base": path.absolute().parent})
    except ValidationError as exc:
        mistakes += [reader.explain(e) for e in exc.errors(include_url=False)]
    if mistakes:
        raise ConfigError("\n".join(f"{path}:{line}: {text}" for line, text in sorted(mistakes)))
    return result


class _Reader:
    """Turns elements into the nested dicts that a model validates, and remembers where each value stood."""

    def __init__(self) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self._lines: dict[Location, int] = {}
        self._models: dict[Location, type[Section]] = {}

    def section(self, element: etree._Element | None, model: type[Section], at: Location) -> dict[str, Any]:
        """The values of one element; absent sections are filled in, so that their defaults are validated too."""
        self._models[at] = model
        values: dict[str, Any] = {}
        if element is not None:
            self._lines[at] = _line_of(element)
            if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
                self._mistake(at, "takes elements, not text")
            for name, text in element.attrib.items():
                self._put(values, model, str(name), str(text), element, at)
            for child in element:
                self._put(values, model, str(child.tag), child, child, at)
        for name, field in model.model_fields.items():
            repeated, inner = _shape(field.annotation)
            if name not in values and inner is field.annotation and not repeated and inner is not None:
                values[name] = self.section(None, inner, (*at, name))
        return values

    def _put(self, values: dict[str, Any], model: type[Section], name: str, value: str | etree._Element,
             element: etree._Element, at: Location) -> None:  # fmt: skip
        field = model.model_fields.get(name)
        repeated, inner = _shape(field.annotation) if field else (False, None)
        here: Location = (*at, name, len(values.get(name, ()))) if repeated else (*at, name)
        if name in values and not repeated:
            self._mistake(here, "is given twice", element)
            return
        self._lines.setdefault(here, _line_of(element))
        if isinstance(value, str):
            content: Any = value
        elif inner is not None:
            content = self.section(value, inner, here)
        else:
            content = self._text(value, here, known=field is not None)
        if repeated:
            values.setdefault(name, []).append(content)
        else:
            values[name] = content

    def _text(self, element: etree._Element, at: Location, *, known: bool) -> str:
        if known and (len(element) or element.attrib):
            self._mistake(at, "takes text, not elements or attributes")
        return element.text or ""

    def _mistake(self, at: Location, text: str, element: etree._Element | None = None) -> None:
        line = _line_of(element) if element is not None else self._line(at)
        self.mistakes.append((line, f"element {_name(at)}: {text}"))

    def _line(self, at: Location) -> int:
        """Of the element, or of the nearest one around it that is in the file."""
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def explain(self, error: ErrorDetails) -> tuple[int, str]:
        """Line and text of a mistake that the model found."""
        at: Location = error["loc"]
        while at not in self._lines and at[:-1] in self._lines and at[:-1] not in self._models:
            at = at[:-1]  # the model also names the member of a union that did not fit
        kind, given = error["type"], error["input"]
        if kind == "extra_forbidden":
            known = list(self._models[at[:-1]].model_fields)
            near = difflib.get_close_matches(str(at[-1]), known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            text = f"unknown; {hint}allowed here: {', '.join(known)}"
        elif kind == "missing":
            text = "is required"
        elif kind in ("value_error", "assertion_error"):
            text = str(error["ctx"]["error"])
        else:
            wanted = error["msg"].replace("Input should", "should").partition(", unable to parse")[0]
            text = f"{wanted}, not '{given}'"
        return self._line(at), f"element {_name(at)}: {text}"


def _shape(annotation: Any) -> tuple[bool, type[Section] | None]:
    """Of a field's type: whether the element may be repeated, and the Section it holds, if any."""
    repeated = get_origin(annotation) is tuple
    item = get_args(annotation)[0] if repeated else annotation
    for candidate in (item, *get_args(item)):
        if inspect.isclass(candidate) and issubclass(candidate, Section):
            return repeated, candidate
    return repeated, None


def _line_of(element: etree._Element) -> int:
    return cast(int, element.sourceline or 1)


def _name(at: Location) -> str:
    """``daemons/daemon[2]/threads``; elements of a list are counted from 1."""
    text = ""
    for part in at:
        text += f"[{part + 1}]" if isinstance(part, int) else f"/{part}"
    return text.lstrip("/") or "(root)"

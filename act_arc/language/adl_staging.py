"""The files of a job in ADL."""

from __future__ import annotations

from functools import partial

from act.descriptions import Word, Wrong
from act_arc.language.adl_elements import Element, Meanings
from act_arc.language.draft import Draft

_OVERWRITE = {"overwrite": "yes", "dontOverwrite": "no"}


def read_staging(draft: Draft, element: Element) -> None:
    """Take up InputFile and OutputFile of DataStaging."""
    meanings: Meanings = {
        "InputFile": partial(_read_input, draft),
        "OutputFile": partial(_read_output, draft),
        "ClientDataPush": partial(_must_be, False, "list what you upload as InputFile"),
        "DelegationID": _ours,
    }
    element.read(meanings, lists=frozenset({"InputFile", "OutputFile"}))


def _read_input(draft: Draft, element: Element) -> None:
    """Without a Source it is the author's file of that name."""
    names: list[Word] = []
    places: list[tuple[Word, list[Word]]] = []
    flags: list[bool] = []
    element.read({
        "Name": lambda child: names.append(child.word(exact=True)),
        "Source": lambda child: places.append(_place(child)),
        "IsExecutable": lambda child: flags.append(child.flag()),
    })  # fmt: skip
    source, options = places[0] if places else (Word("", element.at), [])
    draft.add_input(_only(names, element), source, options, executable=any(flags))


def _read_output(draft: Draft, element: Element) -> None:
    """Without a Target it is brought to the author; it may be sent to several."""
    names: list[Word] = []
    places: list[tuple[Word, list[Word]]] = []
    element.read(
        {
            "Name": lambda child: names.append(child.word(exact=True)),
            "Target": lambda child: places.append(_place(child)),
        },
        lists=frozenset({"Target"}),
    )
    for target, options in places or [(Word("", element.at), [])]:
        draft.add_output(_only(names, element), target, options)


def _only(names: list[Word], element: Element) -> Word:
    if not names:
        raise Wrong(element.at, f"the {element.name} has no Name")
    return names[0]


def _place(element: Element) -> tuple[Word, list[Word]]:
    """The URI of a Source or Target, and its options as ``name=value``."""
    found: list[Word] = []
    options: list[Word] = []

    def overwrite(child: Element) -> None:
        word = child.word()
        if word.text not in _OVERWRITE:
            raise Wrong(word.at, f"CreationFlag is {word.text[:100]!r}; it must be overwrite or dontOverwrite")
        options.append(Word(f"overwrite={_OVERWRITE[word.text]}", word.at))

    meanings: Meanings = {
        "URI": lambda child: found.append(child.word(exact=True)),
        "Option": lambda child: options.append(_option(child)),
        "DelegationID": _ours,
    }
    target: Meanings = {
        "CreationFlag": overwrite,
        "Mandatory": partial(_must_be, True, "a CE of ARC takes every output with a Target as mandatory: leave it out"),
        "UseIfSuccess": partial(_must_be, True, "outputs are sent when the job succeeded: leave it out"),
        "UseIfFailure": partial(_must_be, False, "without a Target, it is brought to you in any case"),
        "UseIfCancel": partial(_must_be, False, "without a Target, it is brought to you in any case"),
    }
    element.read({**meanings, **target} if element.name == "Target" else meanings, lists=frozenset({"Option"}))
    if not found or not found[0].text:
        raise Wrong(element.at, f"the {element.name} has no URI")
    return found[0], options


def _option(element: Element) -> Word:
    parts = {"Name": "", "Value": ""}

    def take(child: Element) -> None:
        parts[child.name] = child.word().text

    element.read({"Name": take, "Value": take})
    return Word(f"{parts['Name']}={parts['Value']}", element.at)


def _ours(element: Element) -> None:
    raise Wrong(element.at, f"{element.name} is between the tower and the CE: leave it out")


def _must_be(flag: bool, instead: str, element: Element) -> None:
    if element.flag() is not flag:
        raise Wrong(element.at, f"{element.name} can only be {str(flag).lower()}: {instead}")

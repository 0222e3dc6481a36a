"""Attributes that only the CE is concerned with, as `act.model.JobSpec.extra` has them: in the form that it takes.

A value that the CE does not take would make it refuse other jobs too, so each is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree

from act.descriptions import Word, Wrong, is_url
from act_arc.language.periods import seconds

_TIME = re.compile(r"\d{14}Z?|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_STATES = re.compile(r"[bqfecd]+")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")
_NAME = re.compile(r"[A-Za-z0-9_.+ -]+")


def _lifetime(word: Word) -> str:
    """How long the CE keeps the job after its end; it takes seconds."""
    return str(seconds(word, "lifetime"))


def _start_time(word: Word) -> str:
    if not _TIME.fullmatch(word.text):
        raise Wrong(
            word.at, f"starttime is {word.text[:100]!r}; write as in '2026-12-24 18:00:00' or '20261224180000Z'"
        )
    return word.text


def _notify(word: Word) -> str:
    """States (of b q f e c d) and e-mail addresses, or addresses alone."""
    words = word.text.split()
    addresses = words[1:] if words and _STATES.fullmatch(words[0]) else words
    if not addresses or not all(_ADDRESS.fullmatch(a) for a in addresses):
        raise Wrong(word.at, f"notify is {word.text[:100]!r}; write one text as in 'be me@example.org'")
    return " ".join(words)


def _yes_or_no(word: Word) -> str:
    text = word.text.lower()
    if text not in ("yes", "no", "true", "false"):
        raise Wrong(word.at, f"{word.text[:100]!r} is neither yes nor no")
    return "yes" if text in ("yes", "true") else "no"


def _node_access(word: Word) -> str:
    if word.text not in ("inbound", "outbound"):
        raise Wrong(word.at, f"nodeaccess is {word.text[:100]!r}; it must be inbound or outbound")
    return word.text


def _name(word: Word) -> str:
    if not _NAME.fullmatch(word.text):
        raise Wrong(word.at, f"{word.text[:100]!r} is not a name")
    return word.text


def _report_to(word: Word) -> str:
    if not is_url(word.text):
        raise Wrong(word.at, f"jobreport is {word.text[:100]!r}; it must be a URL")
    return word.text


def _acl(word: Word) -> str:
    """XML, on one line."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    if "<!DOCTYPE" in word.text:
        raise Wrong(word.at, "the acl has a document type: leave it out")
    try:
        etree.fromstring(word.text.strip().encode(), parser)
    except etree.XMLSyntaxError as e:
        raise Wrong(word.at, f"the acl is no XML: {e.msg.partition(', line ')[0]}") from e
    return " ".join(word.text.split())


XRSL: dict[str, Callable[[Word], str]] = {
    "acl": _acl,
    "architecture": _name,
    "exclusiveexecution": _yes_or_no,
    "jobreport": _report_to,
    "lifetime": _lifetime,
    "nodeaccess": _node_access,
    "notify": _notify,
    "opsys": _name,
    "starttime": _start_time,
}


def written(name: str, value: str) -> str:
    """A value as a user of xRSL writes it."""
    return f"{value} seconds" if name == "lifetime" else value

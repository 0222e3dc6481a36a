"""Text -> XML elements with strict names: nothing is fetched, no entities, every element has a known meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from act.descriptions import Word, Wrong, meant, plain

ADL = "http://www.eu-emi.eu/es/2010/12/adl"
ARC = "http://www.nordugrid.org/es/2011/12/nordugrid-adl"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"

# Name of an element -> what to do with it.
Meanings = Mapping[str, Callable[["Element"], None]]


class Element:
    """An element, with the offset of its line in the text."""

    def __init__(self, node: etree._Element, starts: list[int]) -> None:
        self._node = node
        self._starts = starts
        line: Any = node.sourceline  # the library's types do not tell
        self.at = starts[min(max(line or 1, 1), len(starts)) - 1]
        self.name = etree.QName(node).localname

    @classmethod
    def parse(cls, text: str) -> Element:
        """The root of a document. Raises Wrong."""
        starts = [_indented(text, at) for at in _line_starts(text)]
        if (at := text.find("<!DOCTYPE")) >= 0:
            raise Wrong(at, "a document type is not allowed here: leave it out")
        parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        try:
            node = etree.fromstring(text.encode(), parser)
        except etree.XMLSyntaxError as e:
            line, column = e.position
            at = _line_starts(text)[min(max(line, 1), len(starts)) - 1] + max(column - 1, 0)
            raise Wrong(at, f"this is no XML: {e.msg.partition(', line ')[0]}") from e
        root = cls(node, starts)
        if node.nsmap.get(node.prefix) != ADL:
            raise Wrong(root.at, f'{root.name} is not of ADL: the first element needs xmlns="{ADL}"')
        return root

    def children(self) -> list[Element]:
        """The elements inside, all of the two namespaces that jobs are described in, and no text between them."""
        if any(text and text.strip() for text in (self._node.text, *(child.tail for child in self._node))):
            raise Wrong(self.at, f"{self.name} has elements in it, and text that belongs to none of them")
        found = [Element(child, self._starts) for child in self._node]
        for child in found:
            namespace = etree.QName(child._node).namespace
            if namespace not in (ADL, ARC):
                raise Wrong(child.at, f"{child.name} is of the namespace {namespace or 'of no name'}, not of {ADL}")
        return found

    def word(self, *, exact: bool = False, attributes: tuple[str, ...] = ()) -> Word:
        """Its text, without spaces around it unless exact. Raises Wrong if there are elements or control characters."""
        self.check_attributes(attributes)
        if len(self._node):
            raise Wrong(self.at, f"{self.name} holds a text, not elements")
        text = self._node.text or ""
        return Word(plain(Word(text if exact else text.strip(), self.at), self.name), self.at)

    def raw(self) -> Word:
        """Its text, of any lines."""
        return Word(self._node.text or "", self.at)

    def flag(self) -> bool:
        word = self.word()
        if word.text not in ("true", "false", "1", "0"):
            raise Wrong(word.at, f"{self.name} is {word.text[:100]!r}; it must be true or false")
        return word.text in ("true", "1")

    def has(self, attribute: str) -> bool:
        """Whether an attribute is told, and true."""
        return self._node.get(attribute) in ("true", "1")

    def read(
        self, meanings: Meanings, *, lists: frozenset[str] = frozenset(), attributes: tuple[str, ...] = ()
    ) -> None:
        """Do for each element inside what it means; each once, but for lists. Raises Wrong for unknown ones."""
        self.check_attributes(attributes)
        seen = set()
        for child in self.children():
            if child.name in seen and child.name not in lists:
                raise Wrong(child.at, f"{child.name} is given twice in {self.name}")
            seen.add(child.name)
            if child.name not in meanings:
                raise Wrong(child.at, f"{self.name} has no {child.name[:100]!r}{_meant(child.name, meanings)}")
            meanings[child.name](child)

    def check_attributes(self, known: tuple[str, ...] = ()) -> None:
        for attribute in self._node.attrib:
            if attribute not in (*known, _SCHEMA):
                raise Wrong(self.at, f"{self.name} has no attribute {str(attribute)[:100]!r}")


def _meant(name: str, meanings: Meanings) -> str:
    lower = {known.lower(): known for known in meanings}
    hint = meant(name, lower)
    return next((hint.replace(low, known) for low, known in lower.items() if f"'{low}'" in hint), hint)


def _line_starts(text: str) -> list[int]:
    return [0, *(at + 1 for at, sign in enumerate(text) if sign == "\n")]


def _indented(text: str, at: int) -> int:
    """The offset of the first sign of a line that is no space."""
    while at < len(text) and text[at] in " \t":
        at += 1
    return at

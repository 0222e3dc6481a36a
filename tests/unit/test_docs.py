"""The documents name what exists: files, tests, layers; links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_layering import LAYERS, modules

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"))
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))


def section(title: str) -> str:
    return ARCHITECTURE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[list[list[str]]]:
    """For each line of the tables in a text: the code words of each cell."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split(" | ")]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        there = document.parent / path if path else document
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            wrong.append(target)
    assert wrong == []


def test_the_tests_that_guard_invariants_exist() -> None:
    wrong = []
    for file, name in re.findall(r"`([\w/]+\.py)::(test_\w+)`", section("Invariants")):
        path = ROOT / "tests" / file
        if not path.exists() or f"def {name}(" not in path.read_text():
            wrong.append(f"{file}::{name}")
    assert wrong == []


def test_the_code_map_names_every_module_and_nothing_else() -> None:
    mapped: set[Path] = set()
    for first, *_ in rows(section("Code map")):
        folder = (ROOT / first[0]).parent
        mapped |= {ROOT / first[0], *(ROOT / n if (ROOT / n).exists() else folder / n for n in first[1:])}
    assert [str(p) for p in mapped if not p.exists()] == []
    files = [path for _, path in modules() if path.name != "__init__.py"]
    assert [str(p) for p in files if not mapped & {p, *p.parents}] == []


def test_the_layers_are_those_that_are_kept() -> None:
    told = {first[0]: tuple(may[0]) for first, *may in rows(section("Layers"))}
    assert told == LAYERS

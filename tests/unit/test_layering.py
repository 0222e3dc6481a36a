"""Imports point down only, effects leave through ports only, and files stay short: the layout is kept by this test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("act", "act_arc", "act_condor", "act_atlas")
MAX_LINES = 350

# Package or module -> what it may import, besides itself and all that those may import.
LAYERS: dict[str, tuple[str, ...]] = {
    "act": (),
    "act.states": (),
    "act.errors": (),
    "act.files": (),
    "act.log": (),
    "act.simulation": ("act.errors",),
    "act.model": ("act.states",),
    "act.descriptions": ("act.errors", "act.model"),
    "act.faults": ("act.errors", "act.metrics"),
    "act.xmlconfig": ("act.errors",),
    "act.keys": ("act.errors", "act.files"),
    "act.der": (),
    "act.x509": ("act.errors", "act.files"),
    "act.authorities": ("act.errors", "act.x509"),
    "act.x509chain": ("act.errors", "act.x509", "act.authorities", "act.der"),
    "act.voms": ("act.errors", "act.x509", "act.der"),
    "act.vomsdir": ("act.voms", "act.x509chain"),
    "act.https": ("act.errors",),
    "act.tokens": ("act.errors", "act.config", "act.https"),
    "act.explain.story": (),
    "act.doctor.check": (),
    "act.figures": (),
    "act.likeness": (),
    "act.alarms.alarm": (),
    "act.control.jobs": (),
    "act.interfaces": ("act.model", "act.errors", "act.explain.story", "act.doctor.check", "act.figures",
                       "act.alarms.alarm", "act.control.jobs"),
    "act.config": ("act.errors", "act.states", "act.xmlconfig"),
    "act.db": ("act.model", "act.states", "act.errors", "act.faults", "act.interfaces", "act.likeness", "act.log"),
    "act.explain": ("act.config", "act.db"),
    "act.alarms": ("act.config", "act.db", "act.explain", "act.interfaces"),
    "act.control": ("act.config", "act.db", "act.explain", "act.interfaces"),
    "act.metrics": ("act.files",),
    "act.exposition": ("act", "act.alarms", "act.config", "act.db", "act.figures", "act.files", "act.interfaces",
                       "act.master", "act.metrics"),
    "act.pages": ("act.config", "act.db", "act.alarms", "act.control", "act.explain", "act.figures", "act.files",
                  "act.interfaces"),
    "act.pages.users": ("act.pages", "act.client"),
    "act.daemons.report": ("act", "act.daemons.base", "act.daemons.context", "act.pages", "act.alarms",
                           "act.exposition", "act.daemons.registry", "act.master"),
    "act.daemons.guard": ("act.daemons.base", "act.daemons.context", "act.control"),
    "act.storage": ("act.errors", "act.config", "act.faults", "act.files"),
    "act.daemons": ("act.db", "act.interfaces", "act.config", "act.storage", "act.keys", "act.x509", "act.voms",
                    "act.tokens", "act.log"),
    "act.master": ("act.config", "act.db", "act.log"),
    "act.doctor": ("act", "act.authorities", "act.daemons.context", "act.daemons.registry", "act.db", "act.explain",
                   "act.https", "act.interfaces", "act.keys", "act.master"),
    "act.client": ("act.config", "act.db", "act.descriptions", "act.explain", "act.files", "act.https",
                   "act.interfaces", "act.keys", "act.storage", "act.tokens", "act.vomsdir"),
    "act.client.doctor": ("act.client", "act.daemons.context", "act.doctor"),
    "act.client.daemons": ("act.client", "act.daemons.base", "act.daemons.context", "act.daemons.lease"),
    "act.web": ("act", "act.client", "act.db", "act.exposition", "act.log", "act.pages"),
    "act.cli.user": ("act", "act.errors", "act.files", "act.https", "act.interfaces", "act.x509"),
    "act.cli.web": ("act.web", "act.cli.operator", "act.config", "act.files", "act.log", "act.metrics", "act.pages"),
    "act.cli": ("act", "act.config", "act.db", "act.master", "act.daemons", "act.keys", "act.files", "act.log",
                "act.explain", "act.doctor", "act.control", "act.alarms", "act.pages"),
    "act_arc": ("act.interfaces", "act.model", "act.errors", "act.x509", "act.https", "act.faults"),
    "act_arc.language": ("act.descriptions",),
    "act_arc.simulator": ("act.simulation", "act.x509", "act_arc"),
    "act_condor": ("act.interfaces", "act.model", "act.errors", "act.files", "act.x509"),
    "act_condor.language": ("act.descriptions",),
    "act_condor.worker": (),
    "act_atlas": ("act.interfaces", "act.model", "act.errors", "act.states", "act.xmlconfig", "act.files", "act.https",
                  "act.db", "act.storage", "act.explain"),
    "act_atlas.replicas": ("act.errors", "act.faults", "act.xmlconfig", "act.https"),
    "act_atlas.daemons": ("act_atlas", "act.daemons.base", "act.daemons.context", "act.daemons.lease"),
    "act_atlas.doctor": ("act_atlas.daemons", "act.doctor"),
    "act_atlas.cli": ("act_atlas", "act.cli.show"),
    "act_atlas.ctl": ("act_atlas", "act.cli.show"),
    "act_atlas.simulator": ("act.simulation", "act_atlas.pilot", "act_atlas.pilot_nordugrid"),
    "act_atlas.trial": ("act.simulation", "act.errors"),
    "act_atlas.demo": ("act_atlas", "act_atlas.trial", "act.cli", "act.daemons.base", "act.daemons.context"),
}  # fmt: skip

# Modules with effects outside the database -> why they are a port, or beside the tower.
PORTS = {
    "act.files": "files: the only way to a name",
    "act.log": "log files",
    "act.cli.user.transport": "the port of users' commands to the server: TLS is set up there",
    "act.cli.user.credentials": "the port of users' commands to what proves who they are: runs oidc-agent's client",
    "act.cli.user.download": "files of users: partial ones that a later run goes on with",
    "act.doctor.web": "the doctor's port to the tower's own web server",
    "act.master": "processes, pipes and systemd's socket; knows no job",
    "act.daemons.lease": "asks for the host's name only",
    "act.daemons.context": "asks for the host's name only",
    "act.https": "TLS, and bounds for what httpx clients do; for ports only",
    "act.tokens": "the port of credentials: issuers of tokens",
    "act.daemons.credentials.voms_client": "the port of credentials: runs VOMS clients",
    "act.web.server": "the web server: its certificate",
    "act.web.worker": "the web server: its connections",
    "act_arc.transport": "the CE port of ARC",
    "act_arc.sockets": "the CE port of ARC",
    "act_condor.workers": "the CE port of HTCondor: runs what speaks it",
    "act_condor.worker": "the CE port of HTCondor: its process",
    "act_condor.files": "the CE port of HTCondor: the directories it reads and writes",
    "act_atlas.panda.http": "the source port: PanDA and CRIC",
    "act_atlas.replicas.webdav": "the replicas port: storage elements over HTTPS",
    "act_atlas.replicas.children": "the replicas port: runs what talks to other storage elements",
    "act_atlas.replicas.child": "the replicas port: its process",
    "act.simulation": "simulators are far sides, no part of the tower",
    "act_arc.simulator": "a far side",
    "act_atlas.simulator": "a far side",
    "act_atlas.pilot": "runs on worker nodes, in its own process",
    "act_atlas.trial": "starts simulators",
    "act_atlas.demo": "starts a world and a master",
}
EFFECTS = {"socket", "socketserver", "ssl", "http.client", "http.server", "urllib.request", "httpx", "httpcore",
           "subprocess", "multiprocessing", "asyncio", "ftplib", "smtplib", "requests", "selectors"}  # fmt: skip
MAY_CATCH_ALL = {
    "act.master": "a daemon's last words",
    "act.doctor.sidebyside": "a look that raises is a verdict, whatever it raises",
    "act.daemons.runner": "what ends a thread is raised in the main thread",
}
SQL = {"select", "insert", "update", "delete", "text"}
SQL_TEXT = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
FOREIGN = re.compile(r"\b(arc|arcs|arex|nordugrid|xrsl|htcondor|condor|classad|panda\w*|atlas)\b", re.IGNORECASE)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def modules() -> list[tuple[str, Path]]:
    """(full name, file) of all modules of the product."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """Full names of what a module imports; ``from act import keys`` counts as act.keys."""
    known = dict(modules())
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)


def within(name: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of these or inside one; "act" is only act/__init__.py, not all of the core."""
    return any(name == p or (p != "act" and name.startswith(f"{p}.")) for p in packages)


def row_of(name: str) -> str:
    """The row of the table that a module falls under: the most special one."""
    rows = [row for row in LAYERS if name == row or (row != "act" and name.startswith(f"{row}."))]
    return max(rows, key=len, default="")


@cache
def allowed(row: str) -> frozenset[str]:
    """A row's own imports and all that those may import."""
    found, ahead = {row}, [*LAYERS[row]]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += LAYERS[row_of(one)]
    return frozenset(found)


def test_every_module_has_a_row_in_the_table() -> None:
    assert [name for name, _ in modules() if not row_of(name)] == []


def test_imports_point_down_only() -> None:
    wrong = []
    for name, path in modules():
        for target in imports(name, path):
            if target.partition(".")[0] in PACKAGES and not within(target, tuple(allowed(row_of(name)))):
                wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_the_table_has_no_circles() -> None:
    def parents(row: str) -> set[str]:
        return {r for one in LAYERS[row] for r in allowed(row_of(one))}

    assert [row for row in LAYERS if row in parents(row)] == []


def test_the_core_names_no_ce_type_and_no_source() -> None:
    """In code; a docstring may give an example."""
    wrong = []
    for name, path in modules():
        if not name.startswith("act."):
            continue
        for line, text in names_and_texts(path):
            text = re.sub(r"aCTConfig(ARC|ATLAS)\.xml|ACTCONFIG(ARC|ATLAS)", "", text)
            if found := FOREIGN.search(text):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {found.group()}")
    known = ("core_0001.py", "act/web/columns.py")  # views and columns have the names that people know
    assert [w for w in wrong if not any(name in w for name in known)] == []


def names_and_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Variables, attributes, modules and texts of a file, without docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and is_text(node.body[0])
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
        elif isinstance(node, (ast.Name, ast.Attribute)):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name.replace("_", " ")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node.lineno, ast.unparse(node)


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_effects_happen_in_ports_only() -> None:
    wrong = []
    for name, path in modules():
        if within(name, PORTS):
            continue
        used = {t for t in imports(name, path) if within(t, EFFECTS)}
        used |= {f"{'.'.join(call)}()" for call in calls(path) if call in RENAMES}
        wrong += [f"{name} uses {u}" for u in sorted(used)]
    assert wrong == []


RENAMES = {("os", "replace"), ("os", "rename"), ("shutil", "move"), ("os", "system"), ("os", "popen"),
           ("path", "replace"), ("part", "replace"), ("path", "rename")}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """(variable or module, function) of all calls of that form."""
    for node in ast.walk(tree(path)):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            yield called.value.id, called.attr


def test_ports_are_still_there() -> None:
    known = {name for name, _ in modules()}
    assert {p for p in PORTS if p not in known} == set()


def test_everything_is_caught_only_where_that_is_the_task() -> None:
    wrong = []
    for name, path in modules():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler) or within(name, MAY_CATCH_ALL):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            carried = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node))
            if caught in ("everything", "Exception") or (caught == "BaseException" and not carried):
                wrong.append(f"{name}:{node.lineno} catches {caught}")
    assert wrong == []


def test_sql_is_written_in_the_database_layer_only() -> None:
    wrong = []
    for name, path in modules():
        if within(name, {"act.db", "act.client.db", "act_atlas.db"}) or ".migrations." in name:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
                wrong += [f"{name} imports {a.name}" for a in node.names if a.name in SQL]
        wrong += [f"{name}:{line}: {text}" for line, text in names_and_texts(path) if SQL_TEXT.match(text)]
    assert wrong == []


def test_files_are_short() -> None:
    assert {n: k for n, path in modules() if (k := len(path.read_text().splitlines())) > MAX_LINES} == {}

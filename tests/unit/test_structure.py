"""The house of docs/architecture.md, held by reading the imports: floors, no cycles, one door out."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import banger

ROOT = Path(__file__).parents[2]
FLOORS = [
    {"errors"},
    {"places", "directories", "environment", "model", "wire", "tar"},
    {"api"},
    {"host", "client"},
    {"store", "catalogs", "bundles", "network", "builds", "compose", "mcp", "compat", "ssh"},
    {"resources", "access", "metrics", "vault"},
    {"vmm", "agent", "images", "kernels"},
    {"guests"},
    {"templates", "volumes"},
    {"machines", "doctor"},
    {"engine"},
    {"server"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CLI_MAY_IMPORT = FLOORS[0] | FLOORS[1] | {"client", "builds", "compose", "mcp", "ssh", "cli"}
STARTERS = {"subprocess", "multiprocessing", "pty"}
STARTER_CALLS = {"system", "popen", "fork", "forkpty", "create_subprocess_exec", "create_subprocess_shell"}
VAGUE = {"utils", "util", "misc", "common", "helpers"}
# The client starts the daemon, and ships without the engine's host room.
MAY_START = ("banger.host.", "banger.client.start")
CLI_STARTS_WITHOUT = {
    "asyncssh",
    "msgspec",
    "rich",
    "asyncio",
    "typing_extensions",
    "http.client",
    "websockets",
    "ssl",
    "yaml",
} | {
    "banger.tar",
    "tarfile",
}
# A bundle's members are those that its manifest says; all other archives are read by the room `tar`.
MAY_USE_TARFILE = "banger.bundles."


def modules_in(source: Path) -> dict[str, ast.Module]:
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_bytes(), str(path))
    return found


def imports_of(tree: ast.Module, modules: dict[str, ast.Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def without_types(tree: ast.Module) -> ast.Module:
    """What runs: the package names the types of what it loads on first use, and loads nothing for them."""
    body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    return ast.Module(body, tree.type_ignores)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def wrong_arrow(importer: str, imported: str) -> bool:
    here, there = room_of(importer), room_of(imported)
    if here == there or not there:
        return False
    if here == "cli":
        return there not in CLI_MAY_IMPORT
    return not here or FLOOR[here] <= FLOOR.get(there, 99)


def starts_programs(tree: ast.Module, imported: set[str]) -> bool:
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name))
    return bool(STARTERS & {name.split(".")[0] for name in imported}) or any(
        ast.unparse(n.value) in ("os", "asyncio")
        and (n.attr in STARTER_CALLS or n.attr.startswith(("exec", "spawn", "posix_spawn")))
        for n in calls
    )


def violations(source: Path) -> list[str]:
    """What is wrong with the package below `source`, a line each."""
    modules = modules_in(source)
    found, graph = [], {}
    for name, tree in modules.items():
        if name.rpartition(".")[2] in VAGUE:
            found.append(f"{name}: a name that says nothing")
        if room_of(name) and room_of(name) not in FLOOR:
            found.append(f"{name}: a room without a floor")
            continue
        imported = set(imports_of(tree if room_of(name) else without_types(tree), modules))
        graph[name] = {other for other in imported if other.partition(".")[0] == "banger" and other != name}
        found += [f"{name} imports {other}" for other in sorted(graph[name]) if wrong_arrow(name, other)]
        if starts_programs(tree, imported) and not name.startswith(MAY_START):
            found.append(f"{name} starts programs")
        if "tarfile" in imported and not name.startswith(MAY_USE_TARFILE):
            found.append(f"{name} has archives read by another reader than ours")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        found.append("cycle: " + " -> ".join(exc.args[1]))
    return found


def test_the_house_stands() -> None:
    assert violations(ROOT / "src") == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"store/db.py": "from banger.server import app"}, "banger.store.db imports banger.server"),
        ({"store/db.py": "def f():\n import banger.vmm.base"}, "banger.store.db imports banger.vmm.base"),
        ({"vmm/q.py": "import banger.agent.link"}, "banger.vmm.q imports banger.agent.link"),
        ({"client/c.py": "from banger.host import run"}, "banger.client.c imports banger.host"),
        ({"cli/main.py": "import banger.store.db"}, "banger.cli.main imports banger.store.db"),
        ({"__init__.py": "import banger.model.machine"}, "banger imports banger.model.machine"),
        ({"__init__.py": "if TYPE_CHECKING:\n import banger.model.machine"}, ""),
        (
            {"store/db.py": "if TYPE_CHECKING:\n import banger.server.app"},
            "banger.store.db imports banger.server.app",
        ),
        ({"cellar/wine.py": ""}, "banger.cellar.wine: a room without a floor"),
        ({"host/utils.py": ""}, "banger.host.utils: a name that says nothing"),
        ({"vmm/q.py": "from subprocess import run"}, "banger.vmm.q starts programs"),
        ({"vmm/q.py": "import os\nos.execvp('a', [])"}, "banger.vmm.q starts programs"),
        ({"vmm/q.py": "import asyncio\nasyncio.create_subprocess_exec"}, "banger.vmm.q starts programs"),
        ({"client/c.py": "import tarfile"}, "banger.client.c has archives read by another reader"),
        ({"wire/a.py": "import banger.wire.b", "wire/b.py": "import banger.wire.a"}, "cycle: "),
        ({"host/run.py": "import subprocess\nfrom banger.errors import Error"}, ""),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        path = tmp_path / "banger" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1 and found[0].startswith(expected) if expected else found == []


def test_the_names_of_the_package_have_types() -> None:
    """Those that `__init__.pyi` tells checkers are those that `__init__.py` loads."""
    typed = ast.parse(Path(banger.__file__).with_suffix(".pyi").read_bytes()).body
    imported = {a.asname: n.module for n in typed if isinstance(n, ast.ImportFrom) for a in n.names}
    assert imported == vars(banger)["_LAZY"]
    assert {*imported, "__version__"} == {*banger.__all__} <= {*dir(banger)}
    (told,) = (n.value for n in typed if isinstance(n, ast.Assign))
    assert ast.literal_eval(told) == banger.__all__
    assert all(getattr(banger, str(name)).__name__ == name for name in imported)


def test_no_test_bench_or_guest_file_has_a_vague_name() -> None:
    rooms = ("tests", "bench", "guest")
    assert [p for room in rooms for p in (ROOT / room).rglob("*") if p.stem in VAGUE] == []


# What only the package of a driver knows: its program, the formats and names of its files, the words of its sockets.
OF_A_DRIVER = ("qemu", "qcow2", "qmp", "firecracker", "vsock")
NAMES_OF_A_DRIVER = {"devices", "memory", "agent.sock"}
KNOW_NO_DRIVER = ("agent", "machines", "server", "store", "templates")


def driver_knowledge(name: str, tree: ast.Module, text: str) -> list[str]:
    """Words and file names in a module above the drivers that belong to one of them; capabilities are asked for."""
    said = text.lower().replace("capabilities.agent_by_vsock", "")
    found = [f"{name} speaks of {word}" for word in OF_A_DRIVER if word in said]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and isinstance(node.right, ast.Constant)
        ):
            found += [f"{name} has {node.right.value}"] if node.right.value in NAMES_OF_A_DRIVER else []
    return found


def test_nobody_above_the_drivers_knows_one() -> None:
    found = []
    for room in KNOW_NO_DRIVER:
        for path in sorted((ROOT / "src/banger" / room).rglob("*.py")):
            text = path.read_text()
            found += driver_knowledge(f"{room}/{path.name}", ast.parse(text), text)
    assert found == []


@pytest.mark.parametrize(
    "text", ["disk = directory / 'root.qcow2'", "files = frozen.directory / 'devices'", "# QEMU flushes it"]
)
def test_knowledge_of_a_driver_is_seen(text: str) -> None:
    assert driver_knowledge("machines/x.py", ast.parse(text), text)


@pytest.mark.parametrize(
    "words", [["--version"], ["vm", "list"], ["vm", "exec", "x", "--", "true"], ["compose", "ps", "-p", "x"]]
)
def test_the_command_line_starts_without_what_it_may_not_need(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "banger.cli.main", *words],
        env={**os.environ, "BANGER_SOCKET": "/not/there"},
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "banger" in imported
    assert CLI_STARTS_WITHOUT & imported == set()


def journeys(text: str) -> dict[str, list[str]]:
    """The stops of each journey in docs/architecture.md."""
    part = text.partition("\n## Four journeys\n")[2].partition("\n## ")[0]
    _, *pieces = re.split(r"^\*\*(.+)\*\*$", part, flags=re.MULTILINE)
    stops = [re.findall(r"^[0-9]+\. (.+)$", piece, re.MULTILINE) for piece in pieces[1::2]]
    return dict(zip(pieces[::2], stops, strict=True))


def test_four_journeys_are_short_and_lead_through_files_that_exist() -> None:
    found = journeys((ROOT / "docs/architecture.md").read_text())
    assert len(found) == 4
    for title, stops in found.items():
        assert 5 < len(stops) <= 20, title
        files = [file for stop in stops for file in re.findall(r"`([a-z0-9_/]+\.(?:py|c))`", stop)]
        assert len(files) >= len(stops), title
        assert [
            file for file in files if not any((ROOT / p / file).is_file() for p in ("src/banger", "."))
        ] == []


def test_only_the_engine_and_what_is_above_know_all_parts_of_it() -> None:
    """Functions below it are given what they work with."""
    modules = modules_in(ROOT / "src")
    knows = {name for name, tree in modules.items() if "banger.engine.engine" in imports_of(tree, modules)}
    assert {room_of(name) for name in knows} == {"engine", "server"}

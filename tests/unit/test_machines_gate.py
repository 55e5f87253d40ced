"""Whatever a route asks of a guest goes through one gate, which wakes idle machines and refuses paused ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import banger.engine
import banger.server

ROOMS = [Path(str(room.__file__)).parent for room in (banger.engine, banger.server)]
FILES = sorted(path for room in ROOMS for path in room.glob("*.py"))
GATES = {"awake", "steady"}
# What talks to an agent, as routes call it.
ASKS = {"start_exec", "ping", "stats", "ports", "read_tar", "write_tar", "stat_file", "find_command"}
# What a route would talk to an agent with by itself.
BARE = {"process", "agent", "connection", "vm"}


def asking(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Each question to a guest, and whether it is asked behind the gate."""
    if isinstance(tree, ast.AsyncWith):
        inside = inside or any(
            isinstance(item.context_expr, ast.Call)
            and isinstance(item.context_expr.func, ast.Name)
            and item.context_expr.func.id in GATES
            for item in tree.items
        )
    if isinstance(tree, ast.Attribute) and tree.attr in BARE:
        yield tree.attr, False
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and tree.func.attr in ASKS:
        yield tree.func.attr, inside
    for child in ast.iter_child_nodes(tree):
        yield from asking(child, inside=inside)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_route_goes_round_the_gate(path: Path) -> None:
    assert [name for name, behind in asking(ast.parse(path.read_text())) if not behind] == []


def test_the_gate_is_where_it_was_looked_for() -> None:
    found = {name for path in FILES for name, _ in asking(ast.parse(path.read_text()))}
    assert found == ASKS


@pytest.mark.parametrize(
    "code",
    [
        "async def f():\n await inspect.ping(live)",
        "async def f():\n async with other(lives):\n  await files.stat_file(live, path)",
        "async def f():\n await engine.lives.of(machine).main.process.signal(1)",
    ],
)
def test_a_way_round_is_noticed(code: str) -> None:
    assert not all(behind for _, behind in asking(ast.parse(code)))

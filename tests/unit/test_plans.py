"""A function whose name begins with `plan_` is pure: it looks at its arguments and at nothing else. A function that
looks at the host, asks the clock or draws at random is called `prepare_`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "banger"
# Names by which a function reaches the world.
MODULES = frozenset(
    {
        "os",
        "socket",
        "subprocess",
        "shutil",
        "tempfile",
        "time",
        "random",
        "secrets",
        "asyncio",
        "uuid",
        "cpu",
    }
)
HARMLESS = frozenset(
    {"os.fspath", "os.fsencode", "os.fsdecode", "os.path.join", "os.pathsep", "os.devnull", "os.sep"}
)
CALLS = frozenset({"open", "run", "in_thread", "find_tool", "print", "input"})
METHODS = frozenset(
    {
        *(
            "exists",
            "stat",
            "lstat",
            "is_file",
            "is_dir",
            "is_symlink",
            "resolve",
            "absolute",
            "iterdir",
            "glob",
        ),
        *(
            "read_text",
            "read_bytes",
            "write_text",
            "write_bytes",
            "touch",
            "mkdir",
            "unlink",
            "rename",
            "chmod",
        ),
        *("readlink", "expanduser", "samefile", "now", "utcnow", "today"),
    }
)


def impurities(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if isinstance(function, ast.AsyncFunctionDef):
        yield "async"
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute):
            words = ast.unparse(node)
            root = words.partition(".")[0]
            if root in MODULES and not any(
                words.startswith(name) or name.startswith(words) for name in HARMLESS
            ):
                yield words
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield f"{node.func.id}()"
            elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                yield f".{node.func.attr}()"


def plans_in(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("plan_"):
            yield node


def plans_of_the_package() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {
        f"{path.relative_to(SOURCE)}:{plan.name}": plan
        for path in SOURCE.rglob("*.py")
        for plan in plans_in(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_plans_are_pure() -> None:
    """Also those that call another function of the package with an impure body: by name."""
    plans = plans_of_the_package()
    assert len(plans) > 20
    impure_names = set(impure_functions())
    found = {
        name: sorted({*impurities(plan), *(call for call in calls_of(plan) if call in impure_names)})
        for name, plan in plans.items()
    }
    assert {name: why for name, why in found.items() if why} == {}


def impure_functions() -> Iterator[str]:
    """Names that functions have in this package only with an impure body."""
    pure, impure = set[str](), set[str]()
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                (impure if any(impurities(node)) else pure).add(node.name)
    yield from impure - pure


def calls_of(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


@pytest.mark.parametrize(
    "source",
    [
        "async def plan_a(): return 1",
        "def plan_a(p): return p.exists()",
        "def plan_a(p): return os.stat(p)",
        "def plan_a(): return time.time()",
        "def plan_a(p):\n    with open(p) as f: return f.name",
    ],
)
def test_what_is_not_pure_is_found(source: str) -> None:
    (plan,) = plans_in(ast.parse(source))
    assert list(impurities(plan))


def test_what_is_pure_is_not_found() -> None:
    (plan,) = plans_in(ast.parse("def plan_a(p): return [os.fsencode(p), p.name, os.path.join(p, 'x')]"))
    assert not list(impurities(plan))

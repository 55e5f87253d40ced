"""Words are for people: no code decides by a sentence of ours. What strangers print is read in one file for each of
them, and becomes a fact there. Errors are told apart by their types."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.unit.test_structure import ROOT, modules_in

# Fields that are words: they are shown, joined and passed on, or empty, and nothing else.
WORDS = {"reason", "message", "hint", "accel_reason", "problem"}
READ_BY = {"startswith", "endswith", "partition", "rpartition", "split", "rsplit", "splitlines"} | {
    *("removeprefix", "removesuffix", "find", "rfind", "index", "count", "replace"),
    *("match", "fullmatch", "search", "findall", "finditer", "compile"),
}
SENTENCE = re.compile(r"[A-Za-z]{2}\S* |\b [A-Za-z]{2}")
# Who reads what a stranger prints or sends: the kernel, a tool, a library, a server, an earlier version.
READERS = {
    "banger.catalogs.minisign": "minisign's files",
    "banger.cli.failure": "hints that are commands, which stay whole on a narrow terminal",
    "banger.client.start": "a daemon that starts: a pipe of one line, which begins with a tag",
    "banger.guests.console": "a guest's kernel",
    "banger.host.apt": "apt-get",
    "banger.host.cgroup": "the kernel's files of control groups",
    "banger.images.fetch.challenge": "HTTP",
    "banger.images.fetch.credential_program": "Docker's credential helpers",
    "banger.images.fetch.download": "HTTP",
    "banger.images.records.debian": "mmdebstrap and dpkg",
    "banger.images.records.tree_tar": "tar",
    "banger.server.misfit": "msgspec",
    "banger.store.sentences": "a store of an earlier version",
    "banger.vmm.channel": "a VMM's vsock",
    "banger.vmm.firecracker.api": "HTTP",
    "banger.vmm.qemu.driver": "QEMU",
    "banger.vmm.qemu.memory": "the kernel's maps of a process",
    "banger.vmm.qemu.volumes": "QEMU",
}
# Whether a sentence names something already, so that it is not named twice.
NAMES_ONCE = {"banger.images.fetch.failures", "banger.images.records.library"}


def constants_of(tree: ast.Module) -> dict[str, ast.expr]:
    """The module's own, by name."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def is_sentence(node: ast.expr, constants: dict[str, ast.expr]) -> bool:
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(is_sentence(member, constants) for member in node.elts)
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes):
        return False
    text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
    return SENTENCE.search(text) is not None


def is_words(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in WORDS
    key = node.slice if isinstance(node, ast.Subscript) else None
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".get", "text_of")) and node.args:
        key = node.args[-1]
    return isinstance(key, ast.Constant) and key.value in WORDS


def decisions_by_words(tree: ast.Module) -> Iterator[str]:
    """Comparisons with sentences or of fields that are words, and whatever takes either apart."""
    constants = constants_of(tree)
    for node in ast.walk(tree):
        read, against = operands_of(node)
        if any(map(is_words, (*read, *against))) or any(is_sentence(one, constants) for one in against):
            yield ast.unparse(node)


def operands_of(node: ast.AST) -> tuple[list[ast.expr], list[ast.expr]]:
    """What is taken apart, and what it is held against. A literal that is split is a list that is easy to read."""
    if isinstance(node, ast.Compare):
        return [], [node.left, *node.comparators]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READ_BY:
        return [node.func.value], node.args[:1]
    return [], []


def is_of_texts(node: ast.expr, constants: dict[str, ast.expr]) -> bool:
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(is_of_texts(member, constants) for member in node.elts)
    if isinstance(node, ast.Call):
        return any(is_of_texts(argument, constants) for argument in node.args)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def decisions_by_codes(tree: ast.Module) -> Iterator[str]:
    """Comparisons of an error's code, which has a type for that."""
    constants = constants_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            is_code = any(isinstance(one, ast.Attribute) and one.attr == "code" for one in operands)
            if is_code and any(is_of_texts(one, constants) for one in operands):
                yield ast.unparse(node)


def test_errors_are_told_apart_by_their_types() -> None:
    modules = modules_in(ROOT / "src").items()
    assert {name: lines for name, tree in modules if (lines := [*decisions_by_codes(tree)])} == {}


@pytest.mark.parametrize(
    ("code", "is_seen"),
    [
        ('exc.code == "timeout"', True),
        ('live.lost.code != "agent_restarted"', True),
        ('exc.code not in ("a", "b")', True),
        ('FAILURES = frozenset({"boot_failed"})\nexc.code in FAILURES', True),
        ("result.code == 0", False),
        ("event.code == EventCode.OOM", False),
    ],
)
def test_a_decision_by_a_code_is_seen(code: str, is_seen: bool) -> None:
    assert bool([*decisions_by_codes(ast.parse(code))]) is is_seen


def test_no_code_decides_by_words() -> None:
    found = {name: [*decisions_by_words(tree)] for name, tree in modules_in(ROOT / "src").items()}
    allowed = READERS.keys() | NAMES_ONCE
    assert {name: lines for name, lines in found.items() if lines and name not in allowed} == {}
    assert {name for name in allowed if not found[name]} == set(), "none of them is on the list for nothing"


@pytest.mark.parametrize(
    "code",
    [
        'machine.reason.startswith("x")',
        "machine.reason == UNSEEN",
        'machine.reason.partition(";")[0]',
        'text_of(machine, "reason") == "x"',
        'event.data["reason"] in known',
        '"No such file" in line',
        '"nothing runs" in lack',
        'line.endswith("of length")',
        'key.startswith("kvm ")',
        'AS_ASKED = "stopped as asked"\nif found == AS_ASKED: pass',
        'VICTIM = re.compile("killed process ([0-9]+) ")',
        'said in ("the guest rebooted", "x")',
        'why.removeprefix("not enforced: ")',
    ],
)
def test_a_decision_by_words_is_seen(code: str) -> None:
    assert [*decisions_by_words(ast.parse(code))]


@pytest.mark.parametrize(
    "code",
    [
        'print(f"{machine.name}: {machine.reason}")',
        "if machine.reason: pass",
        'exc.code == "timeout"',
        'line.startswith("MemAvailable:")',
        'policy, _, limit = spec.restart.partition(":")',
    ],
)
def test_what_decides_nothing_by_words_is_let_through(code: str) -> None:
    assert not [*decisions_by_words(ast.parse(code))]

"""Each place that starts a program: in the jail, or on this list with the reason. docs/decisions/0039 has the table of
which bytes each program reads."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/banger"
STARTERS = {"run", "spawn_detached", "spawn_unconfined"}
# File -> what the programs read that are started there without a jail.
OUTSIDE = {
    "doctor/memories.py": "a script of ours",
    "doctor/network.py": "a signed file of the archive, as the user's own apt does",
    "doctor/tools.py": "nothing: --version",
    "doctor/users.py": "nothing: true",
    "doctor/vmms.py": "nothing: --version, --tsc-khz",
    "host/apt.py": "lists and packages, whose signatures apt checks itself; needs the network",
    "images/fetch/credential_program.py": "the user's own program, which needs the user's home",
    "engine/system.py": "the doctor, a program of ours",
    "images/records/debian.py": "mmdebstrap runs what the signed archive contains, in namespaces; needs the network",
    "images/records/namespace.py": "true; rm, which reads names only",
    "network/guards.py": "keeper and relay, which confine themselves",
    "network/holder.py": "a program that reads nothing and confines itself",
    "vmm/firecracker/driver.py": "nothing: --version",
    "vmm/firecracker/probe.py": "nothing: it has no guest",
    "vmm/firecracker/trial.py": "a guest of ours, of 13 instructions",
    "vmm/qemu/driver.py": "nothing: --version, --tsc-khz",
    "vmm/qemu/trial.py": "a guest of ours, of 13 instructions",
}
JAILED = {
    "guests/shares.py",
    "images/records/debian.py",
    "images/records/tree_tar.py",
    "kernels/debian.py",
    "kernels/disk.py",
    "vmm/firecracker/driver.py",
    "vmm/qemu/disks.py",
    "vmm/qemu/driver.py",
}


def starts(file: Path) -> list[bool]:
    """For each start of a program in a file, whether it names a jail."""
    tree = ast.parse(file.read_text())
    modules = {"banger.host.run", "banger.host.spawn"}
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in modules
        for alias in node.names
        if alias.name in STARTERS
    }
    return [
        isinstance(node, ast.Call) and any(keyword.arg == "jail" for keyword in node.keywords)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported)
        or (isinstance(node, ast.Call) and any(_is_name(argument, imported) for argument in node.args))
    ]


def _is_name(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def test_each_program_runs_in_the_jail_or_has_a_reason_not_to() -> None:
    found = {str(file.relative_to(SOURCE)): starts(file) for file in SOURCE.rglob("*.py")}
    assert {name for name, jailed in found.items() if not all(jailed)} == set(OUTSIDE)
    assert {name for name, jailed in found.items() if any(jailed)} == JAILED


def test_a_start_without_a_jail_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "from banger.host.run import run\nasync def f():\n    await run(['x'])\n    await run(['y'], jail=j)\n"
    )
    assert starts(file) == [False, True]

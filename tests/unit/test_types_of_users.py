"""What a user's editor and type checkers see of the SDK: mypy, pyright and jedi on a script as users write it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jedi
import pytest

SCRIPT = '''\
"""A user's script."""

from banger import AsyncClient, Client, Error
from banger.model.machine import Machine


def main() -> int:
    client = Client(timeout_s=5)
    try:
        run = client.machines.run("debian-bookworm", ["true"], memory_mib=256)
        for machine in client.machines.list():
            print(machine.name, machine.spec.cpus)
        operation = client.machines.start("dev")
        started: Machine | None = client.operations.wait(operation).result
        print(started, b"".join(client.machines.logs("dev", tail=3)))
        with client.run("debian-bookworm", memory="512MiB", cpus=2, progress=print) as vm:
            text: str = vm.exec("echo hi", shell=True, check=True).stdout
            env = {"LANG": "C"}
            data: bytes = vm.exec(["cat"], stdin=b"x", text=False, env=env).stdout
            vm.files.write("/etc/motd", text)
            names = [entry.name for entry in vm.files.list("/etc") if entry.type == "file"]
            with vm.fork(10) as copies:
                print(names, data, [copy.exec(["true"]).exit_code for copy in copies])
            with vm.spawn(["bash"], pty=True) as process:
                process.write("exit\\n")
                print("".join(said.text for said in process), process.wait().exit_code)
    except Error as exc:
        print(exc.code, exc.hint)
        return 1
    return int(run.exit_code)


async def amain() -> None:
    client = AsyncClient()
    machines: list[Machine] = await client.machines.list()
    print(machines, [piece async for piece in client.machines.logs("dev")])
    await client.machines.delete("dev", force=True)
    async with client.run("debian-bookworm", memory="512MiB") as vm:
        text: str = (await vm.exec("echo hi", shell=True, check=True)).stdout
        async with vm.fork(10) as copies, vm.spawn(["bash"], pty=True) as process:
            await process.write("exit\\n")
            print(text, len(copies), [said.text async for said in process])
    vm = await client.run("debian-bookworm")
    print(await vm.files.read("/etc/motd"), vm.state.value)
'''
MISTAKES = """\
from banger import AsyncClient, Client

Client().machines.start(7)
Client().machines.run("debian", ["true"], memory_mib="much")
Client().machines.no_such_verb()
Client().machines.get("dev").no_such_field
Client().run("debian", memory=512)
Client().machine("dev").exec(["true"]).stdout.fileno()


async def main() -> None:
    for machine in await AsyncClient().machines.list():
        machine.name + 1
"""
LINES_WITH_MISTAKES = {3, 4, 5, 6, 7, 8, 13}
CASES = [pytest.param(SCRIPT, set(), id="script"), pytest.param(MISTAKES, LINES_WITH_MISTAKES, id="mistakes")]


def written(directory: Path, text: str) -> Path:
    path = directory / "script.py"
    path.write_text(text)
    return path


def seen_by_mypy(script: Path) -> set[int]:
    """The lines that mypy complains about."""
    words = ["--strict", "--cache-dir", str(script.parent / "cache"), "--output", "json", script.name]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], cwd=script.parent, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert all(one["file"] == script.name for one in found), done.stdout
    return {one["line"] for one in found if one["severity"] == "error"}


def seen_by_pyright(script: Path) -> set[int]:
    """The lines that pyright complains about in its strict mode. No word of its goes to a network."""
    settings = {"typeCheckingMode": "strict", "reportUnusedExpression": False}
    (script.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    words = ["--outputjson", "--pythonpath", sys.executable, script.name]
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", *words], cwd=script.parent, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("text", "wrong"), CASES)
@pytest.mark.parametrize("look", [seen_by_mypy, seen_by_pyright])
def test_a_checker_takes_a_users_script_and_sees_its_mistakes(
    tmp_path: Path, look: Callable[[Path], set[int]], text: str, wrong: set[int]
) -> None:
    assert look(written(tmp_path, text)) == wrong


def offered(text: str) -> set[str]:
    """What an editor offers at the end of the text."""
    return {one.name for one in jedi.Script(text).complete()}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from banger import ", {"Client", "AsyncClient", "Error"}),
        ("from banger import Client\nClient().", {"machines", "images", "with_timeout"}),
        ("from banger import Client\nClient().machines.", {"list", "run", "start", "logs"}),
        ("from banger import Client\nClient().machines.get('dev').", {"name", "state", "spec"}),
        ("from banger import Client\nClient().machines.run('debian', []).", {"stdout", "exit_code", "check"}),
        ("from banger import Client\nfor one in Client().machines.list():\n    one.", {"name", "state"}),
        (
            "from banger import Client\nwith Client().run('debian') as vm:\n    vm.",
            {"exec", "fork", "files", "stop"},
        ),
        ("from banger import Client\nClient().machine('dev').files.", {"read", "write", "walk"}),
        ("from banger import Client\nClient().machine('dev').spawn().", {"write", "wait", "kill"}),
        ("from banger import Error\ntry:\n    pass\nexcept Error as exc:\n    exc.", {"code", "hint"}),
        (
            "from banger import AsyncClient\nasync def f():\n    (await AsyncClient().machines.get('x')).",
            {"name", "spec"},
        ),
    ],
)
def test_an_editor_offers_what_is_there(text: str, names: set[str]) -> None:
    assert names <= offered(text)


def test_an_editor_shows_arguments_with_their_types() -> None:
    text = "from banger import Client\nClient().machines.stop("
    (signature,) = jedi.Script(text).get_signatures()
    assert [one.description for one in signature.params] == [
        "param machine: str",
        "param grace_s: float | None=None",
    ]

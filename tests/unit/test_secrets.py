"""Values of variables are passwords often enough: what is printed of them, and what is left of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.cli.output import print_fields, print_json, withhold
from banger.client.whole_file import write_whole
from banger.machines.keep.registry import Registry
from banger.model.command import Command
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store

SECRET = "correct horse battery staple"


def machine(name: str, secret: str) -> Machine:
    spec = MachineSpec(image="debian", command=Command(argv=["true"], env={"PASSWORD": secret}))
    return Machine(id=name, name=name, state=MachineState.CREATED, spec=spec, created="2026-01-01T00:00:00Z")


def test_names_of_variables_are_printed_and_values_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"spec": {"command": {"argv": ["env"], "env": {"PASSWORD": SECRET}}}, "config": {"env": ["A=b"]}}
    for data in (record, [record], {"machine": record}):
        print_json(data)
        print_fields(withhold(data))
        said = capsys.readouterr().out
        assert "PASSWORD" in said and SECRET not in said and "A=b" in said
    print_json(record, show_env=True)
    assert SECRET in capsys.readouterr().out


@pytest.mark.parametrize("size", [1, 40, 4000], ids=["a word", "a sentence", "pages"])
def test_a_deleted_machine_leaves_nothing_of_its_variables(tmp_path: Path, size: int) -> None:
    store = Store(tmp_path / "banger.db")
    registry = Registry(store)
    secret = (SECRET + "/") * size
    ours = [machine(f"m{number}", secret) for number in range(5)]
    for one in ours:
        registry.add(one)
        registry.change(one, image_digest="sha256:ab")
    assert SECRET.encode() in left_in(tmp_path)
    for one in ours:
        registry.remove(one)
    assert SECRET.encode() not in left_in(tmp_path)
    store.close()


def left_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


def test_a_disk_that_is_exported_is_ours_alone_and_sparse(tmp_path: Path) -> None:
    content = b"a" + bytes(1 << 20) + b"b" + bytes(1 << 20)
    umask = os.umask(0)
    try:
        (tmp_path / "disk").touch(0o666)
        assert write_whole(str(tmp_path / "disk"), [content[:100], content[100:]], sparse=True) == len(
            content
        )
    finally:
        os.umask(umask)
    found = (tmp_path / "disk").stat()
    assert (tmp_path / "disk").read_bytes() == content
    assert found.st_mode & 0o777 == 0o600
    assert found.st_blocks * 512 < len(content)

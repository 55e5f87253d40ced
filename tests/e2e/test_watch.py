"""Changes in a directory of a machine, told to programs as they happen."""

from __future__ import annotations

import asyncio

import pytest

from banger import AsyncClient, Client, Vm
from banger.client.file_events import FileEvent
from banger.errors import Error
from tests.support.home import Home, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def vm(home: Home, dev: str, monkeypatch: pytest.MonkeyPatch) -> Vm:
    for name, value in home.env.items():
        if name.startswith("BANGER_"):
            monkeypatch.setenv(name, value)
    return Client().machine(dev)


def watchers(vm: Vm) -> list[str]:
    return [" ".join(one.argv) for one in vm.execs() if one.argv[:1] == ["watch"] and one.exit is None]


def test_changes_are_told_until_the_block_ends(vm: Vm) -> None:
    vm.exec("rm -rf /srv/watched; mkdir -p /srv/watched/deep", shell=True, check=True)
    with vm.files.watch("/srv/watched") as flat, vm.files.watch("/srv/watched", recursive=True) as deep:
        assert len(watchers(vm)) == 2
        vm.exec("cd /srv/watched/deep; : >a; mv a ../b; rm ../b", shell=True, check=True)
        assert [next(flat) for _ in range(2)] == [
            FileEvent("created", "/srv/watched/b"),
            FileEvent("deleted", "/srv/watched/b"),
        ]
        assert [next(deep) for _ in range(3)] == [
            FileEvent("created", "/srv/watched/deep/a"),
            FileEvent("moved", "/srv/watched/deep/a", "/srv/watched/b"),
            FileEvent("deleted", "/srv/watched/b"),
        ]
    wait_until(lambda: not watchers(vm), 30, "the programs of the agent end")


def test_a_watch_ends_with_its_directory(vm: Vm) -> None:
    vm.exec(["mkdir", "-p", "/srv/short"], check=True)
    with vm.files.watch("/srv/short") as changes:
        vm.exec(["rmdir", "/srv/short"], check=True)
        assert list(changes) == [FileEvent("deleted", "/srv/short")]
    for path in ("/srv/short", "/etc/passwd"):
        with pytest.raises(Error) as caught:
            vm.files.watch(path)
        assert caught.value.code == "file_not_found"


def test_changes_are_told_with_asyncio(vm: Vm) -> None:
    async def body() -> list[str]:
        async with AsyncClient() as client:
            box = await client.machine(vm.name)
            await box.exec(["mkdir", "-p", "/srv/later"], check=True)
            found: list[str] = []
            async with box.files.watch("/srv/later") as changes:
                await box.files.write("/srv/later/file", "text")
                async for change in changes:
                    found.append(change.kind)
                    if change.kind == "modified":
                        return found
        return found

    assert "created" in asyncio.run(body())

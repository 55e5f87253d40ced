"""What cannot be released keeps its record, says so, and is released when that is tried again."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import Error
from banger.guests import confinement
from banger.host import cgroup
from banger.host.cgroup import Group
from banger.host.fs import PARTIAL, discard, open_partial, remove_tree, sweep_partials
from banger.images.fetch.blobs import BlobStore
from banger.machines.keep.events import Journal
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.reconcile import reconcile
from banger.machines.keep.registry import Registry
from banger.machines.keep.unreleased import find_unreleased, release_unreleased
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.resources import kinds, teardown
from banger.store.store import Store

MACHINE = "0123456789ab"
STUCK = "stuck"


@pytest.fixture
def loosen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No file of that name can be removed until this is called."""
    unlink = os.unlink
    stuck = [STUCK]

    def refuse(path: Any, *, dir_fd: int | None = None) -> None:
        if os.path.basename(path) in stuck:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    return stuck.clear


@pytest.fixture
def lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> Lives:
    journal = Journal(store.events)
    store.resources.tell = journal.tell
    monkeypatch.setattr("banger.machines.keep.reconcile.look", lambda paths: [])
    nothing: Any = None
    return Lives(Registry(store, journal.tell), Holdings(nothing, store.resources, nothing))


def add_machine(lives: Lives, state: MachineState) -> Machine:
    machine = Machine(id=MACHINE, name="dev", state=state, spec=MachineSpec(image="debian"), created="now")
    lives.registry.add(machine)
    return machine


def make_stuck(directory: Path) -> Path:
    (directory / "inner").mkdir(parents=True)
    (directory / "goes").touch()
    (directory / "inner" / STUCK).touch()
    return directory


def told(store: Store) -> list[str]:
    return [event.kind for event in store.events.page(0, 100)]


def test_a_tree_that_stays_says_why_and_only_what_must_stays(
    tmp_path: Path, loosen: Callable[[], None]
) -> None:
    tree = make_stuck(tmp_path / "tree")
    with pytest.raises(OSError, match="Read-only"):
        remove_tree(tree)
    assert [path.name for path in tree.rglob("*")] == ["inner", STUCK]
    loosen()
    remove_tree(tree)
    assert not tree.exists()


def test_what_cannot_be_discarded_hides_no_failure_and_is_swept_later(
    tmp_path: Path, loosen: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="the cause"), open_partial(tmp_path / "final") as partial:
        make_stuck(partial)
        raise ValueError("the cause")
    assert str(partial) in caplog.text
    assert not discard(partial) and sweep_partials(tmp_path) == 0
    loosen()
    assert sweep_partials(tmp_path) == 1 and not list(tmp_path.glob(PARTIAL + "*"))


def test_a_resource_that_stays_is_told_once_and_released_at_the_next_reconcile(
    tmp_path: Path, store: Store, lives: Lives, loosen: Callable[[], None]
) -> None:
    resources = lives.holdings.resources
    add_machine(lives, MachineState.STOPPED)
    for owner in (MACHINE, "template-1"):
        resources.note(owner, kinds.SOCKETS.name, {"path": str(make_stuck(tmp_path / owner))})
        for _ in range(2):
            (error,) = asyncio.run(teardown.release(resources, owner))
            assert error.code == "not_released" and "reconcile" in error.hint
    assert told(store).count("resource.unreleased") == 2
    shown = asyncio.run(reconcile(lives, dry_run=True, remove=False)).unreleased
    assert {item.owner for item in shown} == {"dev", "template-1"} and not any(i.released for i in shown)
    again = asyncio.run(reconcile(lives, dry_run=False, remove=False)).unreleased
    assert all("Read-only" in item.problem for item in again) and len(resources.all()) == 2
    loosen()
    done = asyncio.run(reconcile(lives, dry_run=False, remove=False)).unreleased
    assert [item.released for item in done] == [True, True] and resources.all() == []
    assert told(store).count("resource.released") == 2 and resources.unreleased == {}
    assert asyncio.run(reconcile(lives, dry_run=False, remove=False)).unreleased == []


def test_what_is_in_the_way_of_a_deletion_is_named(
    tmp_path: Path, lives: Lives, loosen: Callable[[], None]
) -> None:
    machine = add_machine(lives, MachineState.STOPPED)
    lives.holdings.resources.note(MACHINE, kinds.FILES.name, {"path": str(make_stuck(tmp_path / "m"))})
    with pytest.raises(Error) as caught:
        asyncio.run(lives.remove(machine))
    assert caught.value.code == "not_released" and machine.state is MachineState.DELETING
    (settled,) = asyncio.run(reconcile(lives, dry_run=True, remove=False)).machines
    assert (settled.was, settled.now) == ("deleting", "deleted")
    for found in (find_unreleased(lives), asyncio.run(release_unreleased(lives))):
        assert [(item.owner, item.released, item.problem) for item in found] == [
            ("dev", False, caught.value.message)
        ]
    loosen()
    asyncio.run(lives.remove(machine))
    assert find_unreleased(lives) == [] and lives.registry.all() == []


def test_a_control_group_that_is_busy_keeps_its_record(
    tmp_path: Path, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group({"pids": tmp_path / "group"})
    group.make()
    lives.holdings.resources.note("pool-1", kinds.CGROUP.name, group.identity)

    async def busy(path: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))

    with monkeypatch.context() as planted:
        planted.setattr(cgroup, "_remove_directory", busy)
        (error,) = asyncio.run(teardown.release(lives.holdings.resources, "pool-1"))
        assert str(tmp_path / "group") in error.message
    (found,) = asyncio.run(release_unreleased(lives))
    assert found.released and not group.paths[0].exists()


def test_what_an_earlier_daemon_left_of_a_machine_at_rest_is_released(tmp_path: Path, lives: Lives) -> None:
    """Its files are its own, and stay."""
    add_machine(lives, MachineState.STOPPED)
    for kind in (kinds.FILES.name, kinds.SOCKETS.name):
        (tmp_path / kind).mkdir()
        lives.holdings.resources.note(MACHINE, kind, {"path": str(tmp_path / kind)})
    (found,) = asyncio.run(release_unreleased(lives))
    assert (found.kind, found.released) == (kinds.SOCKETS.name, True)
    assert (tmp_path / kinds.FILES.name).is_dir() and not (tmp_path / kinds.SOCKETS.name).exists()


@pytest.mark.parametrize("state", [MachineState.RUNNING, MachineState.STARTING, MachineState.DELETING])
def test_what_a_machine_uses_now_is_not_released(tmp_path: Path, lives: Lives, state: MachineState) -> None:
    add_machine(lives, state)
    (tmp_path / "sockets").mkdir()
    lives.holdings.resources.note(MACHINE, kinds.SOCKETS.name, {"path": str(tmp_path / "sockets")})
    assert asyncio.run(release_unreleased(lives)) == []
    assert (tmp_path / "sockets").is_dir()


def test_a_machine_does_not_start_beside_what_its_last_life_left(
    tmp_path: Path, lives: Lives, loosen: Callable[[], None]
) -> None:
    machine = add_machine(lives, MachineState.STOPPED)
    stuck = make_stuck(tmp_path / "run")
    lives.holdings.resources.note(MACHINE, kinds.SOCKETS.name, {"path": str(stuck)})
    with pytest.raises(Error) as caught:
        asyncio.run(lives.holdings.require_released(machine))
    assert caught.value.code == "not_released" and str(stuck) in caught.value.message
    loosen()
    asyncio.run(lives.holdings.require_released(machine))
    assert lives.holdings.resources.all() == []


def test_what_is_set_aside_and_stays_is_released_later(
    tmp_path: Path, lives: Lives, loosen: Callable[[], None]
) -> None:
    snapshot = make_stuck(tmp_path / "snapshot")
    with (
        pytest.raises(Error) as caught,
        teardown.set_aside(lives.holdings.resources, snapshot) as aside,
    ):
        remove_tree(aside)
    assert caught.value.code == "not_released" and aside.exists() and not snapshot.exists()
    loosen()
    assert [item.released for item in asyncio.run(release_unreleased(lives))] == [True]
    assert not aside.exists()


def test_a_prune_counts_what_is_gone_and_names_what_is_not(
    tmp_path: Path, loosen: Callable[[], None]
) -> None:
    blobs = BlobStore(tmp_path / "oci")
    directory = blobs.path_of("sha256:" + "0" * 64).parent
    directory.mkdir(parents=True)
    (directory / STUCK).write_bytes(b"12")
    (directory / "goes").write_bytes(b"345")
    pruned = blobs.prune()
    assert (pruned.blobs, pruned.freed_bytes, len(pruned.kept)) == (1, 3, 1)
    loosen()
    pruned = blobs.prune()
    assert (pruned.blobs, pruned.freed_bytes, pruned.kept) == (1, 2, ())


def test_a_group_that_is_made_by_half_is_removed_or_keeps_its_record(
    tmp_path: Path, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group({"pids": tmp_path / "pids", "cpu": tmp_path / "none/cpu"})
    busy = [True]
    remove = cgroup._remove_directory

    async def refuse(path: Path) -> None:
        if busy:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        await remove(path)

    monkeypatch.setattr(confinement, "plan_group", lambda *_: group)
    monkeypatch.setattr(confinement, "delegation", lambda: SimpleNamespace(missing={}))
    monkeypatch.setattr(cgroup, "_remove_directory", refuse)
    config: Any = SimpleNamespace(places=SimpleNamespace(directory=Path("/home/machines/m")))
    driver: Any = None
    made = asyncio.run(confinement.confine(lives.holdings.resources, "pool-1", config, driver))
    assert set(made.missing) == {"pids", "cpu"} and not made.group.directories
    assert [resource.kind for resource in lives.holdings.resources.all()] == [kinds.CGROUP.name]
    busy.clear()
    assert [item.released for item in asyncio.run(release_unreleased(lives))] == [True]
    assert not (tmp_path / "pids").exists() and lives.holdings.resources.all() == []

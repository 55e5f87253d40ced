"""A machine's directory, in which its VMM has put other things than files: whatever reads or writes there reaches no
other file, and does not wait."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.guests.console import find_panic, read_console_tail
from banger.host.foreign import NotPlain, copy_end, foreign_size, open_foreign, open_to_write, read_foreign
from banger.host.fs import remove_tree, sync_path
from banger.host.proc import reap
from banger.host.spawn import spawn_detached
from banger.machines.ask.execs import ExecLog, remove_exec_logs
from banger.machines.ask.logs import log_path, read_log
from banger.machines.watch.log_turns import LIMIT_BYTES, turn_over
from banger.vmm.qemu import layers
from banger.vmm.qemu.disks import QemuDisks
from banger.vmm.qemu.driver import prepare_jail
from banger.vmm.qemu.overlay import write_overlay
from banger.wire.constants import STDOUT
from tests.support.pace import allowed_s
from tests.support.vm_configs import vm_config

SECRET = b"Kernel panic - not syncing: the user's key\n"


class Place(NamedTuple):
    """`victim`: a file of the user's outside the machine's directory `vm`."""

    vm: Path
    victim: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "vm", tmp_path / "key")
    made.vm.mkdir()
    made.victim.write_bytes(SECRET)
    made.victim.chmod(0o600)
    return made


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("not-there"))


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, victim: Path) -> None:
    (path / "deeper").mkdir(parents=True)


def listener(path: Path, victim: Path) -> None:
    """The socket is closed again; its name stays."""
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_PATH)
        made.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


def second_name(path: Path, victim: Path) -> None:
    os.link(victim, path)


KINDS = [link, dangling, pipe, directory, listener, second_name]
Trick = Callable[[Path, Path], None]


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind.__name__))
def trick(request: pytest.FixtureRequest) -> Trick:
    made: Trick = request.param
    return made


def in_time(work: Callable[[], object]) -> None:
    """A pipe that nobody writes to would keep the work for ever."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(allowed_s(20))
    assert not thread.is_alive(), "it waits"
    if failed:
        raise failed[0]


def read_all(path: Path) -> bytes:
    async def scenario() -> bytes:
        return b"".join([chunk async for chunk in read_log(path, None, False, lambda: False)])

    return asyncio.run(scenario())


def read_tail(path: Path) -> bytes:
    async def scenario() -> bytes:
        return b"".join([chunk async for chunk in read_log(path, 5, False, lambda: False)])

    return asyncio.run(scenario())


READERS: list[Callable[[Path], object]] = [
    read_all,
    read_tail,
    read_console_tail,
    lambda path: find_panic(path, 0),
]


@pytest.mark.parametrize("reader", READERS)
def test_what_lies_in_the_place_of_a_log_is_not_read(
    place: Place, trick: Trick, reader: Callable[[Path], object]
) -> None:
    if trick is second_name:
        return  # a VMM that could make one could read the file
    console = place.vm / "console.log"
    trick(console, place.victim)
    found: list[object] = []
    in_time(lambda: found.append(reader(console)))
    assert found in ([b""], [[]], [""])
    assert foreign_size(console) == 0


def test_the_part_of_a_log_that_was_turned_over_is_not_trusted_more(place: Place, trick: Trick) -> None:
    if trick is second_name:
        return
    (place.vm / "console.log").write_bytes(b"new\n")
    trick(place.vm / "console.log.1", place.victim)
    in_time(lambda: None if read_all(place.vm / "console.log") == b"new\n" else pytest.fail("other bytes"))


def test_a_log_is_never_written_through(place: Place, trick: Trick) -> None:
    """The output of a command."""
    for name in ("exec.log", "exec.pos", "exec-7.log", "exec-7.pos"):
        trick(place.vm / name, place.victim)

    def work() -> None:
        for exec_id in (None, 7):
            log = ExecLog(place.vm, resume=True, exec_id=exec_id)
            log.write(Output(STDOUT, b"said\n"))
            assert log.positions == (5, 0)
            log.close()
            assert read_all(log_path(place.vm, "exec", exec_id)) == b"said\n"
        remove_exec_logs(place.vm)

    in_time(work)
    _assert_untouched(place)
    assert not list(place.vm.glob("exec-*"))


def test_the_log_of_a_vmm_is_never_written_through(place: Place, trick: Trick) -> None:
    """Else a VMM would write, at its next start, to any file of the user."""
    trick(place.vm / "vmm.log", place.victim)

    def work() -> None:
        ref = spawn_detached(
            ["/bin/sh", "-c", "echo started"], marker="test", output=place.vm / "vmm.log", cwd=place.vm
        )
        while reap(ref.pid) is None:
            threading.Event().wait(0.01)

    in_time(work)
    assert (place.vm / "vmm.log").read_bytes() == b"started\n"
    _assert_untouched(place)


@pytest.mark.parametrize("name", ["console.log", "console.log.1", ".console.log.new"])
def test_turning_a_log_over_changes_no_other_file(place: Place, trick: Trick, name: str) -> None:
    if name != "console.log":
        (place.vm / "console.log").write_bytes(b"x" * (LIMIT_BYTES + 1))
    trick(place.vm / name, place.victim)
    in_time(lambda: turn_over(place.vm / "console.log"))
    _assert_untouched(place)


def test_of_an_endless_log_only_the_end_is_kept(place: Place) -> None:
    console = place.vm / "console.log"
    with open(console, "wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"the end")
    turn_over(console)
    assert console.stat().st_size == 0
    kept = place.vm / "console.log.1"
    assert kept.stat().st_size == 2 * LIMIT_BYTES and kept.read_bytes().endswith(b"the end")


def test_positions_that_a_vmm_cuts_off_or_makes_up_end_nothing(place: Place) -> None:
    log = ExecLog(place.vm, resume=False)
    os.truncate(place.vm / "exec.pos", 0)
    log.write(Output(STDOUT, b"12345"))
    assert log.positions == (5, 0)
    log.close()
    for made_up in (b"\xff" * 7, b"\xff" * 16, b"", b"\xff" * 4000):
        (place.vm / "exec.pos").write_bytes(made_up)
        log = ExecLog(place.vm, resume=True)
        assert max(log.positions) < 1 << 60
        log.write(Output(STDOUT, b"x"))
        log.close()


@pytest.fixture
def disk(place: Place) -> Iterator[Path]:
    """A disk of two layers above an image."""
    image = place.vm.parent / ("0" * 64 + ".ext4")
    image.write_bytes(bytes(4096))
    layers.create(place.vm / "root.qcow2", str(image), "raw", 1 << 20)
    layers.push_down(place.vm / "root.qcow2")
    yield place.vm / "root.qcow2"


def uses_of(disk: Path, place: Place) -> list[Callable[[], object]]:
    other = place.vm.parent / "other"
    other.mkdir(exist_ok=True)
    return [
        lambda: layers.read_places(disk),
        lambda: layers.sync(disk),
        lambda: layers.tidy(disk),
        lambda: layers.push_down(disk),
        lambda: layers.link_chain(layers.active(disk), other / "root.qcow2"),
        lambda: layers.take_back_chain(layers.active(disk)),
        lambda: layers.lay_over(disk, other / "root.qcow2", 0),
    ]


@pytest.mark.parametrize("which", ["active", "below"])
@pytest.mark.parametrize("use", range(7))
def test_what_lies_in_the_place_of_a_layer_is_a_damaged_disk(
    place: Place, disk: Path, trick: Trick, which: str, use: int
) -> None:
    active = layers.active(disk)
    layer = active if which == "active" else layers.read_chain(active)[1]
    layer.unlink()
    trick(layer, place.victim)
    with pytest.raises(Error) as caught:
        in_time(lambda: uses_of(disk, place)[use]())
    assert caught.value.code == "frozen_damaged"
    _assert_untouched(place)


@pytest.mark.parametrize("target", ["../key", "/etc/passwd", "..", ".hidden", "json:{}", "nbd://x", "a b"])
def test_a_disk_lies_on_layers_of_its_own_directory_only(place: Place, disk: Path, target: str) -> None:
    disk.unlink()
    disk.symlink_to(target)
    with pytest.raises(Error) as caught:
        layers.read_places(disk)
    assert caught.value.code == "frozen_damaged"
    with pytest.raises(Error):
        QemuDisks().usage_bytes(place.vm)


@pytest.mark.parametrize(
    "name", ["../key", "json:{}", "nbd:unix:x", "/etc/shadow", "/proc/self/mem", "fat:rw:.", "x" * 300]
)
def test_a_header_of_a_layer_names_layers_or_an_image(place: Place, disk: Path, name: str) -> None:
    write_overlay(layers.active(disk), name, "raw", 1 << 20)
    with pytest.raises(Error) as caught:
        layers.read_places(disk)
    assert caught.value.code == "frozen_damaged"


def test_a_disk_lies_on_the_image_of_its_own_machine(place: Place, disk: Path) -> None:
    """Another image may hold what another machine wrote."""
    own = prepare_jail(vm_config(place.vm, image_digest="0" * 64), layers.active(disk), [])
    assert own.read[-1].name == "0" * 64 + ".ext4"
    with pytest.raises(Error) as caught:
        prepare_jail(vm_config(place.vm, image_digest="1" * 64), layers.active(disk), [])
    assert caught.value.code == "frozen_damaged"


def test_a_directory_in_the_place_of_a_disk_is_not_measured(place: Place) -> None:
    (place.vm / "root.qcow2").symlink_to("/")
    with pytest.raises(Error):
        QemuDisks().usage_bytes(place.vm)


def test_a_machine_is_removed_whatever_its_vmm_made(place: Place) -> None:
    for trick in KINDS:
        trick(place.vm / trick.__name__, place.victim)
    deepest = os.open(place.vm, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=deepest)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=deepest)
        os.close(deepest)
        deepest = below
    os.fchmod(deepest, 0)
    os.close(deepest)
    place.vm.chmod(0)
    remove_tree(place.vm)
    assert not place.vm.exists()
    _assert_untouched(place)


def test_only_plain_files_are_opened(place: Place, trick: Trick) -> None:
    path = place.vm / "x"
    trick(path, place.victim)
    if trick is not second_name:
        with pytest.raises(NotPlain):
            in_time(lambda: os.close(open_foreign(path)))
        with pytest.raises(NotPlain):
            in_time(lambda: read_foreign(path))
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
        with pytest.raises(NotPlain):
            in_time(lambda flags=flags: os.close(open_foreign(path, flags)))  # type: ignore[misc]
    in_time(lambda: os.close(open_to_write(path, os.O_WRONLY)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_nlink == 1
    _assert_untouched(place)


def test_a_copy_of_a_logs_end_replaces_what_is_there(place: Place, trick: Trick) -> None:
    target = place.vm / "copy"
    trick(target, place.victim)
    with open(place.victim, "rb") as source:
        in_time(lambda: copy_end(source.fileno(), target, 4))
    assert target.read_bytes() == SECRET[-4:]
    _assert_untouched(place)


def test_a_sync_does_not_wait_for_a_pipe(place: Place) -> None:
    pipe(place.vm / "p", place.victim)
    with pytest.raises(OSError, match="Invalid"):
        in_time(lambda: sync_path(place.vm / "p"))


def _assert_untouched(place: Place) -> None:
    assert place.victim.read_bytes() == SECRET
    assert stat.S_IMODE(place.victim.stat().st_mode) == 0o600
    assert not place.victim.with_name("not-there").exists()

"""Firecracker's driver without Firecracker: its plans, its versions, and how it reads what a stranger answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import own_sockets, sparse
from banger.vmm.firecracker import configuration, names
from banger.vmm.firecracker.api import Api, Refused, plan_request, read_body, read_head
from banger.vmm.firecracker.disks import FirecrackerDisks, freeze_disk, make_disk
from banger.vmm.firecracker.driver import (
    longest_file,
    make_surroundings,
    plan_arguments,
    prepare_jail,
    users_reach,
)
from banger.vmm.firecracker.frozen_files import FirecrackerFrozenFiles
from banger.vmm.firecracker.versions import (
    Version,
    deafens,
    lacks_of,
    problem_of,
    read_version,
    why_no_restore,
)
from banger.vmm.frozen import Frozen
from banger.vmm.link import NoLink, Tap
from tests.support.vm_configs import vm_config


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Firecracker v1.12.1\n\nrest 9.9.9", Version(1, 12, 1)),
        ("1.16.0", Version(1, 16, 0)),
        ("Firecracker v1.15.0-dev", Version(1, 15, 0)),
        ("Firecracker\nv1.12.1", None),
        ("", None),
    ],
)
def test_a_version_is_read_from_the_first_line(said: str, version: Version | None) -> None:
    assert read_version(said) == version


@pytest.mark.parametrize(
    ("version", "boots", "restores"),
    [
        ("1.7.9", False, False),
        ("1.8.0", True, False),
        ("1.11.0", True, False),
        ("1.12.0", True, True),
        ("1.15.3", True, True),
        ("1.16.0", True, False),
        ("1.16.1", True, True),
        ("2.0.0", True, True),
    ],
)
def test_what_a_version_can_do_is_known_by_its_number(version: str, boots: bool, restores: bool) -> None:
    found = read_version(version)
    assert found is not None
    assert (problem_of(found) == "", why_no_restore(found) == "") == (boots, restores)
    assert [lack.is_fatal for lack in lacks_of(found)] == ([] if restores else [not boots])


@pytest.mark.parametrize(
    ("version", "found"), [("1.15.9", False), ("1.16.0", True), ("1.16.1", True), ("1.17.0", False)]
)
def test_versions_that_may_be_deaf_after_a_pause_are_known(version: str, found: bool) -> None:
    numbers = read_version(version)
    assert numbers is not None and deafens(numbers) is found


def test_a_vm_knows_its_files_only_by_names_that_its_clones_have_too(tmp_path: Path) -> None:
    told = configuration.plan_configuration(vm_config(tmp_path))
    assert [drive["path_on_host"] for drive in told["drives"]] == ["root.raw", "modules"]
    assert told["vsock"]["uds_path"] == "sockets/agent.sock"
    assert told["drives"][1]["is_read_only"] and told["drives"][0]["cache_type"] == "Writeback"
    # what is not in a state may be anywhere
    assert str(tmp_path) in told["boot-source"]["kernel_image_path"]


def test_the_tap_of_a_link_comes_through_the_jail_and_not_by_name(tmp_path: Path) -> None:
    config = vm_config(tmp_path, link=Tap("02:00:00:00:00:01", 9))
    (interface,) = configuration.plan_configuration(config)["network-interfaces"]
    assert interface["guest_mac"] == "02:00:00:00:00:01"
    assert prepare_jail(config).tap == 9
    plain = vm_config(tmp_path, link=NoLink())
    assert configuration.plan_configuration(plain)["network-interfaces"] == []
    assert prepare_jail(plain).tap == -1


def test_a_limit_of_zero_is_no_bucket() -> None:
    rate = configuration.plan_rate(1_000_000, 0)["rate_limiter"]
    assert rate["bandwidth"] == {"size": 1_000_000, "refill_time": 1000}
    assert rate["ops"] == {"size": 0, "refill_time": 0}


def test_a_device_is_reached_by_its_group_or_by_every_user_but_not_by_the_group_of_root(
    tmp_path: Path,
) -> None:
    device = tmp_path / "kvm"
    assert not users_reach(device)
    device.touch()
    device.chmod(0o600)
    assert not users_reach(device)
    device.chmod(0o660)
    assert users_reach(device) is (os.getegid() != 0)
    device.chmod(0o666)
    assert users_reach(device)


def test_no_file_of_a_vm_is_longer_than_its_disk_and_its_memory_need(tmp_path: Path) -> None:
    gib = 1 << 30
    assert longest_file(vm_config(tmp_path, memory_mib=512, disk_bytes=8 * gib)) == 9 * gib
    assert longest_file(vm_config(tmp_path, memory_mib=4096)) == 5 * gib
    with open(names.disk(tmp_path), "wb") as disk:
        disk.truncate(20 * gib)
    assert longest_file(vm_config(tmp_path, memory_mib=512, disk_bytes=8 * gib)) == 21 * gib


def test_a_vm_that_boots_has_a_configuration_and_a_clone_waits(tmp_path: Path) -> None:
    assert "--config-file" in plan_arguments(vm_config(tmp_path))
    clone = vm_config(tmp_path, frozen=Frozen(tmp_path / "frozen"))
    assert "--config-file" not in plan_arguments(clone)


def test_a_jail_writes_only_what_is_the_vms_own(tmp_path: Path) -> None:
    config = vm_config(tmp_path, frozen=Frozen(tmp_path / "frozen"))
    jail = prepare_jail(config)
    assert tmp_path in jail.read and tmp_path not in (*jail.write, *jail.sockets)
    assert not {names.STATE, names.MEMORY} & {path.name for path in jail.write}
    assert not jail.network


def test_what_an_earlier_process_left_is_gone_before_the_next(tmp_path: Path) -> None:
    config = vm_config(tmp_path)
    sockets = names.sockets(config.places)
    sockets.mkdir()
    (sockets / "agent.sock").touch()
    (tmp_path / names.MODULES_LINK).symlink_to(tmp_path / "elsewhere")
    make_surroundings(config)
    assert [*sockets.iterdir()] == []
    assert (tmp_path / names.SOCKETS_LINK).resolve() == sockets
    assert (tmp_path / names.MODULES_LINK).readlink() == config.modules_disk
    told = json.loads((tmp_path / names.CONFIGURATION).read_text())
    assert told["machine-config"]["vcpu_count"] == 2


def test_a_disk_is_at_least_as_large_as_it_must_be_and_keeps_its_holes(tmp_path: Path) -> None:
    source, disks = tmp_path / "image", FirecrackerDisks()
    with open(source, "wb") as file:
        file.truncate(1 << 20)
        file.write(b"x")
    make_disk(source, tmp_path, 8 << 20)
    assert names.disk(tmp_path).stat().st_size == 8 << 20
    assert disks.usage_bytes(tmp_path) < 1 << 20
    (tmp_path / "root.raw.new").touch()
    asyncio.run(disks.tidy(tmp_path))
    assert not (tmp_path / "root.raw.new").exists() and disks.have(tmp_path)
    target = tmp_path / "frozen"
    target.mkdir()
    freeze_disk(tmp_path, target)
    names.disk(tmp_path).write_bytes(b"changed")
    assert names.disk(target).stat().st_size == 8 << 20
    disks.discard(tmp_path)
    assert not disks.have(tmp_path)


@pytest.mark.parametrize("name", ["state", "root.raw"])
def test_a_member_of_a_bundle_is_a_file_of_a_size(tmp_path: Path, name: str) -> None:
    files, path = FirecrackerFrozenFiles(), tmp_path / name
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Error, match="is not a file"):
        files.check_member(path, 1 << 40)
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(Error, match="are the most"):
        files.check_member(path, 1 << 20)


def test_a_request_says_how_long_it_is() -> None:
    assert (
        plan_request("GET", "/", None)
        == b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"
    )
    head, _, body = plan_request("PUT", "/vm", {"state": "ü"}).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert json.loads(body) == {"state": "ü"}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(head: bytes) -> None:
    with pytest.raises(OSError):
        read_head(head)


@pytest.mark.parametrize("said", [b"", b"{", b"[1]", b"null", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object_is_an_empty_one(said: bytes) -> None:
    assert read_body(said) == {}


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[Api]:
    """A server for one request; sends `answer` and closes."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with own_sockets.listen(path) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield Api("dev", path)
        thread.join(10)


def test_the_words_of_a_refusal_reach_the_user_on_one_line(tmp_path: Path) -> None:
    body = json.dumps({"fault_message": "no\x1b[31m such\nthing" + "x" * 9000}).encode()
    answer = b"HTTP/1.1 400 \r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with answering(tmp_path / "api.sock", answer) as api, pytest.raises(Refused) as caught:
        asyncio.run(api.put("/vm", {}))
    assert caught.value.code == "vmm_failed"
    assert caught.value.words.startswith("no [31m such thing") and len(caught.value.message) < 600
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"x" * 100_000],
)
def test_an_answer_that_is_cut_short_or_endless_is_an_error_with_a_name(
    tmp_path: Path, answer: bytes
) -> None:
    with answering(tmp_path / "api.sock", answer) as api, pytest.raises(Error) as caught:
        asyncio.run(api.get("/"))
    assert caught.value.code == "vmm_failed"


def test_a_link_in_the_place_of_its_socket_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "api.sock")
    with own_sockets.listen(tmp_path / "api.sock"), pytest.raises(Error) as caught:
        asyncio.run(Api("dev", tmp_path / "link").get("/"))
    assert caught.value.code == "vmm_failed"


def test_a_capture_takes_the_contents_and_leaves_an_empty_file(tmp_path: Path) -> None:
    from banger.vmm.firecracker.vm import _move_contents

    source, target = tmp_path / "written", tmp_path / "memory"
    source.write_bytes(bytes(1 << 20) + b"page" + bytes(1 << 20))
    _move_contents(source, target)
    assert source.stat().st_size == 0 and target.stat().st_size == (2 << 20) + 4
    assert target.stat().st_blocks * 512 <= 64 << 10
    (tmp_path / "precious").write_text("kept")
    source.unlink()
    source.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        _move_contents(source, tmp_path / "stolen")
    assert (tmp_path / "precious").read_text() == "kept" and not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(("shares", "kind"), [(True, "reflink"), (False, "copy")])
def test_a_disk_says_whether_it_shares_the_blocks_of_its_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool, kind: str
) -> None:
    monkeypatch.setattr(sparse, "_clone", lambda *_: shares)
    source, frozen = tmp_path / "image", Frozen(tmp_path / "frozen")
    source.write_bytes(b"x")
    frozen.directory.mkdir()
    assert make_disk(source, tmp_path, 0) == kind
    assert make_disk(source, frozen.directory, 0) == kind
    assert asyncio.run(FirecrackerDisks().replace(tmp_path, frozen)) == kind


@pytest.mark.parametrize("trick", ["link", "pipe"])
def test_what_lies_in_the_place_of_a_disk_is_neither_followed_nor_waited_for(
    tmp_path: Path, trick: str
) -> None:
    from banger.vmm.firecracker.vm import _grow

    directory, precious = tmp_path / "vm", tmp_path / "precious"
    directory.mkdir()
    precious.write_text("kept")
    if trick == "link":
        names.disk(directory).symlink_to(precious)
    else:
        os.mkfifo(names.disk(directory))
    with pytest.raises(OSError, match="not a plain file"):
        _grow(names.disk(directory), 1 << 20)
    with pytest.raises(OSError, match="not a plain file"):
        make_disk(names.disk(directory), tmp_path, 0)
    with pytest.raises(OSError, match="not a plain file"):
        freeze_disk(directory, tmp_path)
    assert not names.disk(tmp_path).exists() and precious.read_text() == "kept"
    FirecrackerDisks().discard(directory)
    assert not os.path.lexists(names.disk(directory)) and precious.exists()


def test_a_directory_in_the_place_of_any_file_goes_with_it(tmp_path: Path) -> None:
    config = vm_config(tmp_path, link=NoLink())
    for path in (*names.only_while_it_runs(tmp_path), names.sockets(config.places) / "deep"):
        (path / "below").mkdir(parents=True)
    make_surroundings(config)
    assert (tmp_path / names.CONFIGURATION).is_file() and not any(names.sockets(config.places).iterdir())

"""QEMU's command line and the overlay we write ourselves; `qemu-img` is the judge of the latter."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from banger.errors import Error
from banger.host.run import find_tool
from banger.vmm.base import DriverInfo, VmConfig, VmPlaces
from banger.vmm.frozen import Frozen
from banger.vmm.link import Link, NoLink, Tap, UserNat
from banger.vmm.qemu.argv import (
    TRANSLATED_MIB,
    Descriptors,
    opens_memory_read_only,
    plan_argv,
    plan_command_line,
    plan_network,
    translates_anew,
)
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.overlay import encode_overlay, write_overlay
from tests.support.vm_configs import vm_config


def config(directory: Path, **fields: Any) -> VmConfig:
    """In a directory whose name QEMU's words have to quote."""
    places = VmPlaces(name="dev", directory=directory / "a,b", run_directory=directory)
    return vm_config(places=places, **fields)


def test_the_command_line_has_a_sandbox_and_no_default_device(tmp_path: Path) -> None:
    argv = plan_argv("qemu", config(tmp_path), tmp_path / "a,b/x.qcow2", 2000000, Descriptors(5, 6, 7))
    assert "-nodefaults" in argv and "-no-user-config" in argv and "-no-reboot" in argv
    assert argv[argv.index("-sandbox") + 1].startswith("on,")
    assert argv[argv.index("-accel") + 1] == f"tcg,thread=multi,tb-size={TRANSLATED_MIB}"
    assert argv[argv.index("-smp") + 1] == "2"


def test_a_comma_in_a_path_is_doubled(tmp_path: Path) -> None:
    argv = plan_argv("qemu", config(tmp_path), tmp_path / "a,b/x.qcow2", 0, Descriptors(5, 6, 7))
    assert any(f"file={tmp_path}/a,,b/x.qcow2" in word for word in argv)


def test_kvm_takes_the_hosts_processor(tmp_path: Path) -> None:
    argv = plan_argv("qemu", config(tmp_path, accel="kvm"), tmp_path / "a,b/x.qcow2", 0, Descriptors(5, 6, 7))
    assert argv[argv.index("-cpu") + 1] == "host"


def test_an_emulated_processor_does_not_claim_fast_copies_byte_by_byte(tmp_path: Path) -> None:
    argv = plan_argv("qemu", config(tmp_path), tmp_path / "x.qcow2", 0, Descriptors(5, 6, 7))
    assert argv[argv.index("-cpu") + 1].split(",")[1:] == ["erms=off", "fsrm=off"]


def test_the_kernel_is_told_the_tsc_only_when_it_is_known() -> None:
    assert "tsc_early_khz=2000000" in plan_command_line(2000000)
    assert "tsc_early" not in plan_command_line(0)


def test_a_qemu_that_gains_by_it_starts_programs_at_fixed_addresses() -> None:
    assert "norandmaps" in plan_command_line(0, at_fixed_addresses=True).split()
    assert "norandmaps" not in plan_command_line(0)
    assert [translates_anew(version) for version in ("7.2.17", "10.0.2", "8.0", "x")] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("accel", "wish", "old", "new"),
    [
        ("tcg", "auto", False, True),
        ("kvm", "auto", True, True),
        ("tcg", "on", True, True),
        ("tcg", "off", False, False),
        ("kvm", "off", False, False),
    ],
)
def test_random_addresses_are_the_users_choice_and_auto_is_the_faster_one(
    accel: str, wish: Literal["auto", "on", "off"], old: bool, new: bool
) -> None:
    info = DriverInfo("qemu", "7.2", "", "", ("tcg",), "", translates_anew=True)
    assert info.randomizes(accel, wish) is old
    assert info._replace(translates_anew=False).randomizes(accel, wish) is new


@pytest.mark.parametrize("size", [512, 1000, 1 << 20, 4 << 30, (5 << 40) + 512, 16 << 40])
def test_qemu_img_finds_nothing_wrong_with_an_overlay(tmp_path: Path, size: int) -> None:
    base, overlay = tmp_path / "base.raw", tmp_path / "o.qcow2"
    base.write_bytes(b"x" * 4096)
    write_overlay(overlay, str(base), "raw", size)
    qemu_img = find_tool("qemu-img")
    subprocess.run([qemu_img, "check", overlay], check=True, capture_output=True)
    info = json.loads(subprocess.check_output([qemu_img, "info", "--output=json", overlay]))
    assert info["virtual-size"] == -(-size // 512) * 512
    assert info["backing-filename"] == str(base)
    assert info["backing-filename-format"] == "raw"


@pytest.mark.parametrize("size", [0, -1, (16 << 40) + 1])
def test_a_disk_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(Error) as caught:
        encode_overlay("/x", "raw", size)
    assert caught.value.code == "bad_size"


def test_a_backing_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Error):
        encode_overlay("/" + "x" * 1023, "raw", 512)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("7.2.22", False), ("8.1.5", False), ("8.2.0", True), ("10.0.2", True), ("11.0", True), ("", False)],
)
def test_the_memory_of_a_clone_is_never_opened_for_writing(
    tmp_path: Path, version: str, expected: bool
) -> None:
    assert opens_memory_read_only(version) is expected
    clone = config(tmp_path, frozen=Frozen(tmp_path / "template"))
    argv = plan_argv("qemu", clone, tmp_path / "x", 0, Descriptors(5, 6, 7, 8), opens_read_only=expected)
    backend = argv[argv.index("-object") + 1]
    assert "mem-path=/banger/descriptor/8" in backend
    assert ("readonly=on,rom=off" in backend) is expected
    assert str(tmp_path / "template") not in backend and "share=off" in backend


def test_connections_of_a_guest_are_counted_in_what_its_vm_needs(tmp_path: Path) -> None:
    few, many = (QemuDriver(tmp_path, count).needs(config(tmp_path)) for count in (16, 1040))
    assert many.memory_bytes - few.memory_bytes == 1024 * 256 * 1024


def test_a_link_is_told_as_what_it_is(tmp_path: Path) -> None:
    def words(link: Link) -> str:
        return " ".join(plan_network(config(tmp_path, link=link)))

    nat, tap = words(UserNat("52:54:00:00:00:01")), words(Tap("52:54:00:00:00:02", 9))
    assert "user,id=net0" in nat and "mac=52:54:00:00:00:01" in nat
    assert "tap,id=net0,fd=9" in tap and "mac=52:54:00:00:00:02" in tap
    assert "net" not in words(NoLink()) and "rng" in words(NoLink())


def test_a_frozen_vm_goes_on_with_another_link_of_its_kind_and_with_no_other_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = QemuDriver(tmp_path)

    async def info() -> DriverInfo:
        return DriverInfo("qemu", "7.2", "7.2 1 2", "", ("tcg",), "")

    monkeypatch.setattr(driver, "info", info)

    def build(link: Link) -> str:
        return asyncio.run(driver.build_of(config(tmp_path, link=link)))

    assert build(UserNat("52:54:00:00:00:01")) == build(UserNat("52:54:00:00:00:02"))
    assert build(Tap("52:54:00:00:00:01", 7)) == build(Tap("52:54:00:00:00:02", 8))
    assert len({build(UserNat("")), build(Tap("", 7)), build(NoLink())}) == 3

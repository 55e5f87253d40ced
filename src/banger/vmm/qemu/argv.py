"""QEMU's command line for a VM. Pure: each function returns a fragment, `plan_argv` joins them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from banger.vmm.base import VmConfig
from banger.vmm.link import Tap, UserNat, mac_of
from banger.vmm.qemu import preload
from banger.wire.constants import PORT_NAME

# Translated code that QEMU keeps, at most; it would take up to 1 GiB. See docs/decisions/0012-limits.md.
TRANSLATED_MIB = 128

# Nothing QEMU needs after its start: no new programs, no other users, no obsolete system calls.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Descriptors(NamedTuple):
    """What QEMU inherits: two listening sockets, so that there is no moment at which they cannot be connected to, and
    of a clone the frozen memory, for reading."""

    agent: int
    control: int
    memory: int = -1


def plan_argv(
    binary: str,
    config: VmConfig,
    disk: Path,
    tsc_khz: int,
    descriptors: Descriptors,
    *,
    opens_read_only: bool = False,
) -> list[str]:
    """The whole command line; `disk` is the file that the root disk is written to. `opens_read_only` says what
    `opens_memory_read_only` found out about this QEMU."""
    return [
        binary,
        *plan_machine(config),
        *plan_memory(config, descriptors.memory, opens_read_only=opens_read_only),
        *plan_kernel(config, tsc_khz),
        *plan_console(config),
        *plan_disk("root", str(disk), "qcow2", read_only=False),
        *plan_disk("modules", str(config.modules_disk), "raw", read_only=True),
        *plan_agent_port(descriptors.agent),
        *plan_network(config),
        *plan_control(descriptors.control),
        *("-sandbox", SANDBOX),
    ]


def plan_machine(config: VmConfig) -> list[str]:
    """Debian's kernel takes virtio-mmio devices from ACPI only; PIT and PIC cost boot time and help nobody. Without
    an RTC it polls for one for a second and more.

    `-no-reboot` turns a guest's reset (also after a panic, with `panic=-1`) into QEMU's end.
    """
    cpu = "host" if config.accel == "kvm" else "max"
    return [
        "-name", f"guest=banger-{config.places.name},process=banger-{config.places.name}",
        "-M", "microvm,acpi=on,pit=off,pic=off,rtc=on,usb=off,auto-kernel-cmdline=off,"
              "memory-backend=memory,suppress-vmdesc=on",
        "-accel", "kvm" if config.accel == "kvm" else f"tcg,thread=multi,tb-size={TRANSLATED_MIB}",
        "-cpu", cpu,
        "-smp", str(config.cpus),
        "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none",
    ]  # fmt: skip


def opens_memory_read_only(version: str) -> bool:
    """Whether a QEMU can be told to map a file privately without opening it for writing: from 8.2 on."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (8, 2)


def plan_memory(config: VmConfig, fd: int = -1, *, opens_read_only: bool = False) -> list[str]:
    """A boot gets memory that we can read from outside, by its descriptor. A clone maps the frozen VM's file
    privately: pages it does not write to are there once for all clones. No clone may write to the file, which it gets
    as a descriptor for reading, `fd`, by way of `preload`: its jail has no /proc, and a QEMU before 8.2 would open the
    file for writing.

    A state of the devices alone (see `driver`) has no section for the configuration, nor for a description.
    """
    where = "memory-backend-memfd,share=on"
    waiting: list[str] = []
    if config.frozen is not None:
        where = f"memory-backend-file,share=off,mem-path={preload.path_of(fd)}"
        where += ",readonly=on,rom=off" if opens_read_only else ""
        waiting = ["-incoming", "defer", "-S"]
    return [
        "-m", str(config.memory_mib),
        "-object", f"{where},id=memory,size={config.memory_mib}M",
        "-global", "migration.send-configuration=off",
        *waiting,
    ]  # fmt: skip


def plan_kernel(config: VmConfig, tsc_khz: int) -> list[str]:
    return [
        "-kernel", str(config.vmlinux),
        "-initrd", str(config.initramfs),
        "-append", plan_command_line(tsc_khz),
    ]  # fmt: skip


def plan_command_line(tsc_khz: int) -> str:
    """The kernel's. Calibrating the TSC hangs one boot in six, so its frequency is told: under TCG it is the
    host's. The crypto self-tests take a tenth of a boot and test nothing of ours."""
    words = ["console=ttyS0", "quiet", "loglevel=4", "panic=-1", "reboot=t"]
    words += ["tsc=reliable", "cryptomgr.notests"]
    if tsc_khz:
        words.append(f"tsc_early_khz={tsc_khz}")
    return " ".join(words)


def plan_console(config: VmConfig) -> list[str]:
    return [
        "-chardev", f"file,id=console,path={escape(str(config.places.console_log))},append=on",
        "-serial", "chardev:console",
    ]  # fmt: skip


def plan_disk(name: str, path: str, format_: str, *, read_only: bool) -> list[str]:
    drive = f"if=none,id={name},file={escape(path)},format={format_},discard=unmap,cache=writeback"
    if read_only:
        drive += ",read-only=on"
    return [
        "-drive", drive,
        "-device", f"virtio-blk-device,drive={name},serial=banger-{name}",
    ]  # fmt: skip


def plan_agent_port(fd: int) -> list[str]:
    return [
        "-device", "virtio-serial-device,max_ports=2",
        "-chardev", f"socket,id=agent,fd={fd},server=on,wait=off",
        "-device", f"virtserialport,chardev=agent,name={PORT_NAME}",
    ]  # fmt: skip


def plan_network(config: VmConfig) -> list[str]:
    """The link, and entropy, which keeps its place behind it."""
    netdev = ""
    if isinstance(config.link, UserNat):
        netdev = "user,id=net0"
    elif isinstance(config.link, Tap):
        netdev = f"tap,id=net0,fd={config.link.fd}"
    device = f"virtio-net-device,netdev=net0,mac={mac_of(config.link)}"
    return [
        *(["-netdev", netdev, "-device", device] if netdev else []),
        "-device", "virtio-rng-device",
    ]  # fmt: skip


def plan_control(fd: int) -> list[str]:
    return [
        "-chardev", f"socket,id=control,fd={fd},server=on,wait=off",
        "-mon", "chardev=control,mode=control",
    ]  # fmt: skip


def escape(value: str) -> str:
    """QEMU's options are separated by commas; a comma in a value is doubled."""
    return value.replace(",", ",,")

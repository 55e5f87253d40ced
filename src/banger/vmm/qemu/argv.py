"""QEMU's command line for a VM. Pure: each function returns a fragment, `plan_argv` joins them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from banger.vmm.base import VmConfig
from banger.vmm.link import Tap, UserNat, mac_of
from banger.vmm.qemu import preload
from banger.wire.constants import PORT_NAME, PORT_NAME_SHARES

# Most MiB of translated code that QEMU keeps; without this it would keep up to 1 GiB. See
# docs/decisions/0012-limits.md.
TRANSLATED_MIB = 128

# Without erms and fsrm, which say that a processor copies fast byte by byte: this one is slow at that, and kernel and C
# libraries believe it. See docs/decisions/0063-bytes-between-host-and-guest.md.
EMULATED_CPU = "max,erms=off,fsrm=off"

# Forbids what QEMU does not need after its start: new programs, other users, obsolete system calls.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Descriptors(NamedTuple):
    """Descriptors that QEMU inherits: three listening sockets, so that clients can connect at any time, and for a clone
    the frozen memory, opened for reading."""

    agent: int
    control: int
    shares: int
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
    """The whole command line; `disk` is the file that the root disk is written to. `opens_read_only`: the result of
    `opens_memory_read_only` for this QEMU."""
    return [
        binary,
        *plan_machine(config),
        *plan_memory(config, descriptors.memory, opens_read_only=opens_read_only),
        *plan_kernel(config, tsc_khz),
        *plan_console(config),
        *plan_disk("root", str(disk), "qcow2", read_only=False),
        *plan_disk("modules", str(config.modules_disk), "raw", read_only=True),
        *plan_agent_port(descriptors.agent),
        *plan_shares_port(descriptors.shares),
        *plan_network(config),
        *plan_control(descriptors.control),
        *("-sandbox", SANDBOX),
    ]


def plan_machine(config: VmConfig) -> list[str]:
    """Debian's kernel finds virtio-mmio devices through ACPI only; PIT and PIC only cost boot time. Without an RTC the
    kernel would poll for one for more than a second.

    `-no-reboot`: QEMU ends when its guest resets (also after a panic, with `panic=-1`).
    """
    cpu = "host" if config.accel == "kvm" else EMULATED_CPU
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
    """Whether this QEMU can map a file privately without opening it for writing: from 8.2 on."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (8, 2)


def plan_memory(config: VmConfig, fd: int = -1, *, opens_read_only: bool = False) -> list[str]:
    """A VM that boots gets memory that the daemon can read from outside, by its descriptor. A clone maps the frozen
    VM's file privately, so that all clones share the pages that they do not write to. No clone may write to the file,
    so QEMU gets it as `fd`, a descriptor for reading, through `preload`: QEMU's jail has no /proc, and a QEMU before
    8.2 would open the file for writing.

    A saved state that has only devices (see `driver`) has no sections for the configuration and for the description.
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
    """The kernel's command line. To calibrate the TSC hangs one boot in six, so the kernel is told the frequency; under
    TCG it is the host's. The crypto self-tests take a tenth of a boot and test nothing of banger's."""
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
        "-device", "virtio-serial-device,max_ports=3",
        "-chardev", f"socket,id=agent,fd={fd},server=on,wait=off",
        "-device", f"virtserialport,chardev=agent,name={PORT_NAME}",
    ]  # fmt: skip


def plan_shares_port(fd: int) -> list[str]:
    """A port beside the agent's for contents of files, so that nothing of the agent waits for them."""
    return [
        "-chardev", f"socket,id=shares,fd={fd},server=on,wait=off",
        "-device", f"virtserialport,chardev=shares,name={PORT_NAME_SHARES}",
    ]  # fmt: skip


def plan_network(config: VmConfig) -> list[str]:
    """The link, and the entropy device, which must stay behind it."""
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
    """Double the commas of a value: QEMU's options are separated by commas."""
    return value.replace(",", ",,")

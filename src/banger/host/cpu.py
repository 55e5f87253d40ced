"""What the processor and the kernel offer for virtualisation."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import NamedTuple


class KvmCheck(NamedTuple):
    """`reason` says why KVM is not usable; it is empty if KVM is usable."""

    usable: bool
    reason: str


def architecture() -> str:
    """The architecture of this host, as OCI names it: "amd64", "arm64". Debian's names differ."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def check_kvm() -> KvmCheck:
    """Usable when /dev/kvm opens for us and, on x86, the CPU shows vmx or svm.

    A KVM without either flag (page-table virtualisation inside a guest) opens, makes VMs, and hangs ordinary kernels.
    """
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return KvmCheck(False, "/dev/kvm does not exist")
    except OSError as exc:
        return KvmCheck(False, f"/dev/kvm does not open: {exc.strerror}")
    if platform.machine() == "x86_64" and not cpu_flags() & {"vmx", "svm"}:
        return KvmCheck(False, "/dev/kvm opens, but the CPU shows neither vmx nor svm")
    return KvmCheck(True, "")


def count() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_flags() -> frozenset[str]:
    """The flags of the first processor; empty if the kernel shows none."""
    return frozenset(_cpuinfo("flags").split())


@cache
def model_name() -> str:
    """The name that the first processor gives itself; empty if it gives none."""
    return _cpuinfo("model name")


def _cpuinfo(key: str) -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""


def available_memory_bytes() -> int:
    """MemAvailable of /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


@cache
def boot_id() -> str:
    """Changes with each boot of this host."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()

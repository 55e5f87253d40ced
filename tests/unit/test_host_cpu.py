"""What the host can do: KVM counts only when it really works."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from banger.host import cpu


def opening(monkeypatch: pytest.MonkeyPatch, open_device: Callable[..., int]) -> None:
    """Give the module an `os` of its own, so that nobody else's open() is touched."""
    fake = {"open": open_device, "close": os.close, "O_RDWR": os.O_RDWR, "O_CLOEXEC": os.O_CLOEXEC}
    monkeypatch.setattr(cpu, "os", SimpleNamespace(**fake))


def test_kvm_without_processor_support_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, lambda *_: os.open(os.devnull, os.O_RDWR))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset({"sse2"}))
    assert cpu.check_kvm() == (False, "/dev/kvm opens, but the CPU shows neither vmx nor svm")
    for flag in ("vmx", "svm"):
        monkeypatch.setattr(cpu, "cpu_flags", lambda flag=flag: frozenset({flag}))
        assert cpu.check_kvm() == (True, "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "/dev/kvm does not exist"),
        (PermissionError(13, "Permission denied"), "/dev/kvm does not open: Permission denied"),
    ],
)
def test_kvm_that_does_not_open_says_why(
    monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    def refuse(*_: object) -> int:
        raise error

    opening(monkeypatch, refuse)
    assert cpu.check_kvm() == (False, reason)


@pytest.mark.parametrize(
    ("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")]
)
def test_architectures_have_their_oci_names(monkeypatch: pytest.MonkeyPatch, machine: str, name: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert cpu.architecture() == name


def test_the_host_has_memory_flags_and_a_boot_id() -> None:
    assert cpu.available_memory_bytes() > 1 << 20
    assert cpu.cpu_flags()
    assert len(cpu.boot_id()) == 36

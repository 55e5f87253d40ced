"""A VMM that ends before the agent answers: the error names what gave up, and what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.guests.guest import boot_failure
from banger.vmm.base import VmPlaces


def places(tmp_path: Path, console: str = "", said: str = "") -> VmPlaces:
    found = VmPlaces(name="dev", directory=tmp_path, run_directory=tmp_path)
    found.console_log.write_text(console)
    found.vmm_log.write_text(said)
    return found


@pytest.mark.parametrize(
    ("console", "said", "exit_code", "code", "message"),
    [
        ("", "", -9, "vmm_failed", "qemu ended: signal 9, before the kernel of dev wrote a line"),
        ("", "", 1, "vmm_failed", "qemu ended: exit code 1, before the kernel of dev wrote a line"),
        (
            "",
            "",
            None,
            "vmm_failed",
            "qemu ended: no exit code is known, before the kernel of dev wrote a line",
        ),
        ("", "could not open the disk\n", 1, "vmm_failed", "qemu ended: could not open the disk"),
        ("[0.1] Linux\n", "", 0, "boot_failed", "the guest dev stopped before its agent answered"),
        (
            "[0.1] Kernel panic - not syncing: no init\n",
            "",
            0,
            "kernel_panic",
            "the kernel of dev panicked: no init",
        ),
    ],
)
def test_it_says_what_gave_up(
    tmp_path: Path, console: str, said: str, exit_code: int | None, code: str, message: str
) -> None:
    error = boot_failure(places(tmp_path, console, said), "qemu", exit_code)
    assert (error.code, error.message) == (code, message)

"""Whether a machine really runs in this host's KVM, with this Firecracker."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from banger.errors import Error, TimedOut
from banger.host.run import run
from banger.host.thread import in_thread
from banger.vmm.trial_kernel import WORD, plan_trial_kernel

_MEMORY_MIB = 32


async def try_machine(program: str, timeout_s: float) -> str:
    """Why no machine runs; empty if a machine ran."""
    with tempfile.TemporaryDirectory(prefix="banger-trial-") as directory:
        kernel, told = Path(directory) / "kernel", Path(directory) / "config.json"
        await in_thread(kernel.write_bytes, plan_trial_kernel())
        await in_thread(told.write_text, json.dumps(plan_trial(kernel)))
        try:
            result = await run(
                [program, "--no-api", "--config-file", str(told), "--level", "Error"],
                check=False,
                timeout_s=timeout_s,
            )
        except TimedOut:
            return "its guest did nothing within the time limit"
        except Error as exc:
            return exc.message
    if WORD in result.stdout:
        return ""
    said = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[0] if said else f"it ended with exit code {result.code}, and its guest printed nothing"


def plan_trial(kernel: Path) -> dict[str, object]:
    return {
        "boot-source": {"kernel_image_path": str(kernel), "boot_args": ""},
        "machine-config": {"vcpu_count": 1, "mem_size_mib": _MEMORY_MIB},
        "drives": [],
    }

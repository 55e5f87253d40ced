"""What the client works out by itself for a machine: its options from sizes, and whether this host can run it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from banger.errors import Error
from banger.model.sizes import MIB, parse_size

if TYPE_CHECKING:
    from banger.client.calls import SpecOptions


class Availability(NamedTuple):
    """Whether machines can run here. `accelerator` is the best that works, "kvm" or "tcg"; `reason` says why not, or
    why it is not a faster one."""

    available: bool
    accelerator: str = ""
    reason: str = ""

    def __bool__(self) -> bool:
        return self.available


def plan_options(memory: str, disk: str, options: SpecOptions) -> SpecOptions:
    """The options of a machine, with sizes that were written as text. Raises `bad_size`."""
    spec: SpecOptions = {**options}
    if memory:
        size = parse_size(memory)
        if size % MIB:
            raise Error("bad_size", f"memory of {memory} is not a whole number of MiB", 'write "512MiB"')
        spec["memory_mib"] = size // MIB
    if disk:
        spec["disk_bytes"] = parse_size(disk)
    return spec


def find_availability(
    accelerators: list[tuple[str, bool, str]], drivers: list[tuple[str, str]]
) -> Availability:
    """From accelerators (name, whether usable, why not) and drivers (name, problem). Pure."""
    usable = [name for name, works, _ in accelerators if works]
    reasons = [reason for _, works, reason in accelerators if reason and not works]
    if not any(not problem for _, problem in drivers):
        problems = "; ".join(f"{name}: {problem}" for name, problem in drivers)
        return Availability(False, reason=problems or "no VMM is installed")
    if not usable:
        return Availability(False, reason="; ".join(reasons))
    return Availability(True, usable[0], "; ".join(reasons))

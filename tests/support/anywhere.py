"""Firecracker for guests that do without the help of the processor."""

from __future__ import annotations

from pathlib import Path

from banger.guests import guest
from banger.vmm.base import DriverInfo
from banger.vmm.firecracker.driver import KVM, FirecrackerDriver, users_reach

PROGRAMS = Path(__file__).parents[2] / "build/firecracker"


class Anywhere(FirecrackerDriver):
    """Offers KVM also where the processor does not help it."""

    async def info(self) -> DriverInfo:
        return (await super().info())._replace(accels=("kvm",))


def driver_of(jail: str) -> Anywhere:
    """The real one, with our jail ("ours") or its own ("jailer")."""
    return Anywhere(str(PROGRAMS / "firecracker"), str(PROGRAMS / "jailer") if jail == "jailer" else "")


def keep_users_that_reach_kvm() -> None:
    """Where only root can open KVM, VMMs run as root. For a process of its own."""
    if not users_reach(KVM):
        setattr(guest, "choose_user", lambda *_: None)  # noqa: B010

"""The drivers of this host, and the choice of a driver and accelerator for a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from banger.errors import Error
from banger.host import cpu
from banger.vmm.base import CONNECTIONS, Driver, DriverInfo

# The name of the driver and of its program, which is looked for in PATH.
FIRECRACKER = "firecracker"
# In the place of a driver's name: the fastest that works here.
AUTO = "auto"
NO_PROGRAMS: Mapping[str, str] = {}
# The programs that a configuration may name, and the word for our jail and for the VMM's own.
JAILER = "jailer"
OURS = "ours"


class Drivers:
    """The drivers of this host, the preferred one first."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = drivers

    def all(self) -> Sequence[Driver]:
        return self._drivers

    async def infos(self) -> list[DriverInfo]:
        return [await driver.info() for driver in self._drivers]

    def named(self, name: str) -> Driver:
        for driver in self._drivers:
            if driver.name == name:
                return driver
        known = ", ".join(driver.name for driver in self._drivers)
        raise Error("driver_not_found", f"there is no VMM driver {name!r}", f"available drivers: {known}")

    async def choose(self, accel: str, name: str = "") -> tuple[Driver, str]:
        """Choose a driver (by `name` if there is one) and the accelerator that it will use; "auto" means KVM if usable,
        else TCG. Raises `driver_not_found`, `vmm_not_found`, `accelerator_unavailable`."""
        infos = [await self.named(name).info()] if name else await self.infos()
        usable = [info for info in infos if not info.problem]
        if not usable:
            if name:
                raise Error("vmm_not_found", f"{name} cannot run here: {infos[0].problem}", "banger doctor")
            raise Error("vmm_not_found", f"no VMM can run here: {infos[0].problem}", "banger doctor")
        for wanted in ("kvm", "tcg") if accel == "auto" else (accel,):
            for info in usable:
                if wanted in info.accels:
                    return self.named(info.name), wanted
        reason = cpu.check_kvm().reason if accel == "kvm" else "no driver offers it"
        if name and not usable[0].accels:
            raise Error(
                "accelerator_unavailable",
                f"{name} runs machines with KVM only: {cpu.check_kvm().reason}",
                "use another --driver",
            )
        raise Error(
            "accelerator_unavailable", f"{accel} cannot be used here: {reason}", "use --accel auto or tcg"
        )


def find_drivers(
    agent_binary: Path,
    connections: int = CONNECTIONS,
    programs: Mapping[str, str] = NO_PROGRAMS,
    jails: Mapping[str, str] = NO_PROGRAMS,
) -> Drivers:
    """All drivers of this banger, in the order of preference: see docs/decisions/0041-firecracker.md. `programs`: for a
    driver by its name, and for the jailer, the name or path of its program. `jails`: for a driver by its name, whose
    jail its machines run in. Raises `bad_config` for an unknown driver or program."""
    from banger.vmm.firecracker.driver import FirecrackerDriver
    from banger.vmm.qemu.driver import QemuDriver  # late, because it loads the driver's library

    if unknown := sorted(programs.keys() - {FIRECRACKER, JAILER}):
        raise Error("bad_config", f"vmm.programs: no driver {unknown[0]} has a program of its own")
    for name, whose in jails.items():
        if whose not in (OURS, JAILER):
            raise Error("bad_config", f"vmm.jails.{name}: {whose!r} is none of {OURS}, {JAILER}")
        if name != FIRECRACKER and whose != OURS:
            hint = f"remove the line: machines on other drivers than {FIRECRACKER} run in banger's jail"
            raise Error("bad_config", f"vmm.jails.{name}: only {FIRECRACKER} has a jail of its own", hint)
    jailer = programs.get(JAILER, JAILER) if jails.get(FIRECRACKER, OURS) == JAILER else ""
    firecracker = FirecrackerDriver(programs.get(FIRECRACKER, FIRECRACKER), jailer)
    return Drivers([QemuDriver(agent_binary, connections), firecracker])

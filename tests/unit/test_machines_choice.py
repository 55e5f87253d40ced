"""What `--driver auto` means, for a host of each kind."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.machines.life import choice
from banger.model.machine import MachineSpec
from banger.vmm.base import DriverInfo, Lack
from banger.vmm.drivers import Drivers
from banger.vmm.link import NoLink, Tap
from tests.support.fake_driver import FakeDriver
from tests.support.reports import silent

KERNEL: Any = SimpleNamespace(name="debian", digest="k")


class Usual(FakeDriver):
    async def info(self) -> DriverInfo:
        return (await super().info())._replace(accels=("kvm", "tcg"))


class Fast(FakeDriver):
    """Runs machines with KVM alone, and has no network but taps."""

    name = "fast"
    capabilities = dataclasses.replace(FakeDriver.capabilities, kvm_only=True, links=frozenset({NoLink, Tap}))

    def __init__(self, accels: tuple[str, ...] = ("kvm",), problem: str = "", lack: str = "") -> None:
        super().__init__()
        lacks = (Lack(lack),) if lack else ()
        self._told = DriverInfo(self.name, "1.0", "build", "", accels, problem, lacks)

    async def info(self) -> DriverInfo:
        return self._told


class Host:
    """`failure`: why no machine comes up, None if one does. `tried` is how often one was tried."""

    def __init__(
        self, fast: Fast | None, *, failure: str = "", no_taps: str = "", known: bool = True
    ) -> None:
        self.failure, self.no_taps, self.tried = failure, no_taps, 0
        self._is_known = known
        self.drivers = Drivers([Usual(), *([fast] if fast else [])])
        self.trials = self.guards = self.kernels = self

    async def known(self, *_: object) -> str | None:
        return self.failure if self._is_known else None

    async def why_not(self, *_: object) -> str:
        self.tried += not self._is_known
        self._is_known = True
        return self.failure

    def of_build(self, driver: str, build: str, accel: str) -> list[str]:
        assert (driver, build, accel) == ("fast", "build", "kvm")
        return [self.failure] if self._is_known else []

    async def ready(self) -> str:
        return self.no_taps

    async def ensure(self, *_: object) -> object:
        return KERNEL

    async def config(self, *_: object) -> None:
        """The trial needs one."""

    def choose(self, disk_of: FakeDriver | None = None, **wished: Any) -> str:
        holdings = SimpleNamespace(
            places=lambda _: SimpleNamespace(directory=Path("/nowhere")), driver=lambda _: disk_of
        )
        spec = MachineSpec(image="x", **{"driver": "auto", **wished})
        makings: Any = self
        machine: Any = None
        image: Any = None
        return asyncio.run(choice.choose_driver(makings, holdings, machine, spec, image, silent))  # type: ignore[arg-type]

    def foresee(self) -> tuple[str, str, bool]:
        makings: Any = self
        found = asyncio.run(choice.foresee(makings))
        return found.driver, found.reason, found.is_tried


FITS = Fast()


@pytest.mark.parametrize(
    ("host", "chosen", "why"),
    [
        (Host(FITS), "fast", "a machine has come up on it"),
        (Host(None), "", ""),
        (Host(Fast(problem="it is not installed")), "", "fast: it is not installed"),
        (Host(Fast(accels=())), "", "fast: "),
        (Host(Fast(lack="no snapshots")), "", "fast: no snapshots"),
        (Host(FITS, failure="it hung"), "", "fast: it hung"),
        (Host(FITS, no_taps="no device"), "", "fast: this host gives machines no taps: no device"),
    ],
)
def test_the_fast_driver_is_taken_where_all_is_well_and_else_it_is_said_why_not(
    host: Host, chosen: str, why: str
) -> None:
    assert host.choose() == chosen
    driver, reason, is_tried = host.foresee()
    assert driver == (chosen or "fake") and is_tried
    assert reason.startswith(why) and bool(reason) is bool(why)


def test_a_machine_is_tried_once_and_only_for_who_asks_for_it() -> None:
    host = Host(FITS, known=False)
    assert host.foresee() == ("fast", "the first machine will show whether it works", False)
    assert [host.choose(), host.choose(), host.tried] == ["fast", "fast", 1]
    other = Host(FITS, known=False)
    assert [other.choose(driver=""), other.choose(driver="fake"), other.choose(accel="tcg")] == [
        "",
        "fake",
        "",
    ]
    assert other.tried == 0


def test_a_machine_without_a_network_needs_no_tap() -> None:
    host = Host(FITS, no_taps="no device")
    assert [host.choose(network="none"), host.choose(network="none", allow=["example.com:443"])] == [
        "fast",
        "",
    ]


def test_a_machine_that_has_a_disk_keeps_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = FakeDriver()
    monkeypatch.setattr(slow.disks, "have", lambda _: True)
    assert Host(FITS).choose(disk_of=slow) == "fake"

"""A host without a layer of the jail: record and doctor name the layer, and `--confine strict` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.doctor import vmms
from banger.doctor.host import Daemon, Host
from banger.errors import Error
from banger.guests.confinement import describe_jail
from banger.host import jail
from banger.host.jail import LAYERS, Layers
from banger.host.paths import Paths
from banger.machines.life.limits import refuse_unconfined
from banger.model.machine import MachineSpec
from banger.model.settings import Settings
from banger.vmm.link import Link, NoLink, Tap, UserNat
from banger.vmm.qemu.driver import QemuDriver
from tests.support.vm_configs import vm_config

DRIVER = QemuDriver(Path("/agent"))
STRICT = MachineSpec(image="x", confine="strict")
BEST = MachineSpec(image="x")
NOWHERE = Path("/nowhere")
HOST = Host(Paths(NOWHERE, NOWHERE, NOWHERE, NOWHERE), Daemon(""), Settings(), "me")
REASON = "the kernel says no"


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Missing on this host."""
    missing: str = request.param
    held = frozenset(LAYERS) - {missing}
    monkeypatch.setattr(jail, "look", lambda: Layers(held, {missing: REASON}, 6 if "landlock" in held else 0))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return missing


@pytest.mark.parametrize("link", [Tap("02:00:00:00:00:01"), NoLink()])
def test_strict_refuses_and_names_what_is_missing(layer: str, link: Link) -> None:
    with pytest.raises(Error) as caught:
        refuse_unconfined(STRICT, DRIVER, link)
    assert caught.value.code == "confinement_missing"
    assert caught.value.details == {"layer": layer, "reason": REASON}
    assert layer in caught.value.message and REASON in caught.value.message
    refuse_unconfined(BEST, DRIVER, link)


def test_the_record_names_what_is_missing_and_what_is_there(layer: str) -> None:
    told = describe_jail(DRIVER, vm_config(link=NoLink()))
    assert told.missing == {layer: REASON}
    assert set(told.layers) == set(LAYERS) - {layer}


def test_the_doctor_names_what_is_missing(layer: str) -> None:
    sight = vmms.look_at_jail(HOST)
    assert not sight.fine and f"{layer}: {REASON}" in sight.found and sight.mend is not None


def test_the_network_of_the_host_is_a_missing_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "look", lambda: Layers(frozenset(LAYERS), {}, 6))
    link = UserNat("02:00:00:00:00:01")
    told = describe_jail(DRIVER, vm_config(link=link))
    assert "net" not in told.layers and set(told.missing) == {"net"}
    with pytest.raises(Error) as caught:
        refuse_unconfined(STRICT, DRIVER, link)
    assert caught.value.details["layer"] == "net"


def test_an_old_landlock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "look", lambda: Layers(frozenset(LAYERS), {}, 2))
    assert "landlock (version 2" in vmms.look_at_jail(HOST).found
    monkeypatch.setattr(jail, "look", lambda: Layers(frozenset(LAYERS), {}, 6))
    assert "version" not in vmms.look_at_jail(HOST).found

"""Which driver a machine gets, and how the agent behind a line of text is reached."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import own_sockets
from banger.vmm.base import DriverInfo
from banger.vmm.channel import dial_vsock
from banger.vmm.drivers import Drivers, find_drivers
from tests.support.fake_driver import FakeDriver


def test_a_driver_that_is_not_there_is_refused_by_name_with_those_that_are() -> None:
    drivers = Drivers([FakeDriver()])
    for ask in (lambda: drivers.named("qemu"), lambda: asyncio.run(drivers.choose("auto", "qemu"))):
        with pytest.raises(Error) as caught:
            ask()
        assert caught.value.code == "driver_not_found" and caught.value.hint == "available drivers: fake"
    driver, accel = asyncio.run(drivers.choose("auto", "fake"))
    assert (driver.name, accel) == ("fake", "tcg")


def test_a_program_is_that_of_a_driver_that_has_one() -> None:
    drivers = find_drivers(Path("/agent"), programs={"firecracker": "/opt/not-there"})
    assert [driver.name for driver in drivers.all()] == ["qemu", "firecracker"]
    assert "/opt/not-there" in asyncio.run(drivers.named("firecracker").info()).problem
    with pytest.raises(Error) as caught:
        find_drivers(Path("/agent"), programs={"qemu": "/opt/qemu"})
    assert caught.value.code == "bad_config"


class Elsewhere(FakeDriver):
    """Runs machines with an accelerator that this host does not have."""

    name = "elsewhere"

    async def info(self) -> DriverInfo:
        return (await super().info())._replace(name=self.name, accels=())


class Absent(FakeDriver):
    name = "absent"

    async def info(self) -> DriverInfo:
        return DriverInfo(self.name, "", "", "", (), "absent is not installed")


def test_a_driver_that_is_named_is_not_replaced_by_another() -> None:
    drivers = Drivers([FakeDriver(), Elsewhere(), Absent()])
    for name, code in (("elsewhere", "accelerator_unavailable"), ("absent", "vmm_not_found")):
        with pytest.raises(Error) as caught:
            asyncio.run(drivers.choose("auto", name))
        assert caught.value.code == code and caught.value.message.startswith(name)
    driver, _ = asyncio.run(drivers.choose("auto"))
    assert driver.name == "fake"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"OK 1073741824\nHELLO", None),
        (b"NO\n", ConnectionRefusedError),
        (b"", ConnectionRefusedError),
        (b"OK " + b"1" * 100, ConnectionRefusedError),
    ],
)
def test_a_port_of_vsock_is_asked_for_and_no_byte_of_it_is_taken(
    tmp_path: Path, answer: bytes, error: type[Exception] | None
) -> None:
    async def dial() -> bytes:
        with own_sockets.listen(tmp_path / "vsock") as listener:
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            dialling = asyncio.create_task(dial_vsock(tmp_path / "vsock", 1024))
            peer, _ = await loop.sock_accept(listener)
            assert await loop.sock_recv(peer, 64) == b"CONNECT 1024\n"
            await loop.sock_sendall(peer, answer)
            if not answer.endswith(b"HELLO"):
                peer.shutdown(socket.SHUT_WR)
            try:
                stream = await dialling
            finally:
                peer.close()
            with stream:
                return await loop.sock_recv(stream, 64)

    if error is None:
        assert asyncio.run(dial()) == b"HELLO"
    else:
        with pytest.raises(error):
            asyncio.run(dial())

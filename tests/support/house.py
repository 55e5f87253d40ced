"""A host with a real keeper and a real relay, two guests without VMs behind its taps, and a world outside."""

from __future__ import annotations

import contextlib
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from banger.network.keeper import read_refusal
from banger.network.relay import MachineTold
from tests.support.network_spaces import Missing, Spaces, open_spaces
from tests.support.running_keeper import PROGRAM, CannotStart, RunningKeeper
from tests.support.running_relay import RunningRelay
from tests.support.stand_in import StandIn

RELAY = Path(__file__).parents[2] / "src/banger/network/bin" / f"relay-{platform.machine()}"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
NUMBERS = (5, 6)
BUDGET_S = 20.0
HOST_LACKS = {"user_namespaces_refused", "namespaces_refused", "tun_refused"}


class House(NamedTuple):
    """A host with both programs, two guests, and the outside."""

    spaces: Spaces
    keepers: list[RunningKeeper]  # the last is the one that runs
    relay: RunningRelay
    guests: list[StandIn]
    opened: contextlib.ExitStack

    def tell(self) -> None:
        for number in NUMBERS:
            addresses = (f"10.213.0.{number}", f"fd62:616e:6765::{number:x}")
            self.relay.tell(MachineTold(key=f"vm-{number}", addresses=addresses, policy=("base internet",)))

    def serve(self, address: tuple[str, int], kind: socket.SocketKind = STREAM) -> socket.socket:
        """A server of the outside."""
        return self.opened.enter_context(
            self.spaces.outside.socket(kind, bind=address, listen=8 if kind == STREAM else 0)
        )

    def echoes(self, guest: StandIn, address: tuple[str, int]) -> None:
        """Asserts that the guest's connection and datagrams reach the address, and that answers come back."""
        with self.spaces.outside.socket(bind=address, listen=8) as listener, guest.dial(address) as dialed:
            server, _ = listener.accept()
            with server:
                dialed.sendall(b"stream")
                assert server.recv(100) == b"stream"
                server.sendall(b"answer")
                assert dialed.recv(100) == b"answer"
        with (
            self.spaces.outside.socket(DATAGRAM, bind=address) as other,
            guest.dial(address, DATAGRAM) as sender,
        ):
            sender.send(b"datagram")
            data, client = other.recvfrom(100)
            other.sendto(data, client)
            assert sender.recv(100) == b"datagram"


@contextlib.contextmanager
def open_house(directory: Path, keeper: Path = PROGRAM, relay_program: Path = RELAY) -> Iterator[House]:
    with contextlib.ExitStack() as opened:
        spaces = opened.enter_context(open_spaces())
        keepers: list[RunningKeeper] = []
        opened.callback(lambda: keepers[-1].close())
        keepers.append(RunningKeeper(directory, program=keeper))
        relay = RunningRelay(spaces.host, relay_program, directory)
        relay.start()
        opened.callback(relay.close)
        guests = [opened.enter_context(StandIn(keepers[0], number)).bind() for number in NUMBERS]
        house = House(spaces, keepers, relay, guests, opened)
        house.tell()
        yield house


@contextlib.contextmanager
def skipping_where_missing() -> Iterator[None]:
    try:
        yield
    except Missing as exc:
        pytest.skip(f"capability missing: {exc}")
    except CannotStart as exc:
        refusal = read_refusal(exc.said)
        if refusal is None or refusal.code not in HOST_LACKS:
            raise
        pytest.skip(f"capability missing: {exc.said.strip()}")


@contextlib.contextmanager
def house_or_skip() -> Iterator[House]:
    """Skips the test where this host cannot have one."""
    with (
        tempfile.TemporaryDirectory(prefix="bh-") as name,
        skipping_where_missing(),
        open_house(Path(name)) as made,
    ):
        yield made


def eventually(works: Callable[[], None]) -> None:
    """While a program is replaced, a connection may be refused."""
    deadline = time.monotonic() + BUDGET_S
    while True:
        try:
            works()
            return
        except (OSError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

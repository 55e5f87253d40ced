"""Guests without VMs, behind taps of a real keeper, for tests; as root and as an ordinary user.

A stand-in is a process in a network namespace of its own (`stand_in_guest`), where a kernel's TCP/IP plays the guest.
Its sockets are handed to the test: there, they are sockets like all others, and only what they reach is different. It
can also send frames that no kernel would.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.network_spaces import Missing, run_ip
from tests.support.running_keeper import TUN, RunningKeeper

_INSIDE = Path(__file__).with_name("stand_in_guest.py")
_WAIT_S = 20.0
SOON_S = 0.4  # for what does not come
_PACKET = 1 << 18

GATEWAY, GATEWAY_6 = "10.213.0.1", "fd62:616e:6765::1"
GATEWAY_LINK = "fe80::1"

Address = tuple[str, int]


class StandIn:
    """One guest, until `close`: `number` gives it its addresses and its hardware address."""

    def __init__(self, keeper: RunningKeeper, number: int, key: str | None = None) -> None:
        self.keeper = keeper
        self.key = key or f"tap-{number}"
        self.address, self.address_6 = f"10.213.0.{number}", f"fd62:616e:6765::{number:x}"
        self.hardware = f"02:00:00:00:00:{number:02x}"
        self.tap, (descriptor,) = keeper.ask(f"tap {self.key}")
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_WAIT_S)
        enter = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net", "--"]
        with theirs:
            self._process = subprocess.Popen(
                [*enter, sys.executable, "-S", "-E", _INSIDE, *map(str, (theirs.fileno(), descriptor, TUN))],
                pass_fds=[theirs.fileno(), descriptor],
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
            )
        os.close(descriptor)
        try:
            self._answer()
            self._configure()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self) -> None:
        self.ip(
            "link set lo up",
            f"link set eth0 address {self.hardware} up",
            f"address add {self.address}/32 dev eth0",
            f"address add {self.address_6}/128 dev eth0 nodad",
            f"route add {GATEWAY} dev eth0 scope link",
            f"route add default via {GATEWAY} dev eth0 src {self.address}",
            f"route add default via {GATEWAY_LINK} dev eth0 src {self.address_6}",
        )

    def bind(self) -> Self:
        """Tells the keeper of the addresses."""
        self.keeper.ask(f"bind {self.key} {self.address} {self.address_6}")
        return self

    def ip(self, *commands: str) -> None:
        """Commands of `ip`, in the guest."""
        run_ip(self._process.pid, *commands)

    def _answer(self) -> tuple[object, list[int]]:
        said, descriptors, _, _ = socket.recv_fds(self._channel, _PACKET, 1)
        if not said:
            _, why = self._process.communicate()
            raise Missing(why.decode("utf-8", "replace").strip() or "the stand-in ended")
        value = json.loads(said)
        if isinstance(value, dict):
            number = int(value["error"] or 0)
            raise OSError(number, os.strerror(number))
        return value, descriptors

    def _ask(self, **request: object) -> tuple[object, list[int]]:
        self._channel.send(json.dumps(request).encode())
        return self._answer()

    def open_socket(
        self,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        *,
        v6: bool = False,
        protocol: int = 0,
        timeout_s: float = _WAIT_S,
    ) -> socket.socket:
        family = socket.AF_INET6 if v6 else socket.AF_INET
        _, (descriptor,) = self._ask(socket=[int(family), int(kind), protocol])
        made = socket.socket(fileno=descriptor)
        made.settimeout(timeout_s)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def dial(
        self, to: Address, kind: socket.SocketKind = socket.SOCK_STREAM, *, timeout_s: float = _WAIT_S
    ) -> socket.socket:
        """A socket that is connected to this address."""
        made = self.open_socket(kind, v6=":" in to[0], timeout_s=timeout_s)
        try:
            made.connect(to)
        except BaseException:
            made.close()
            raise
        return made

    def serve(
        self, port: int, kind: socket.SocketKind = socket.SOCK_STREAM, *, v6: bool = False
    ) -> socket.socket:
        """A socket that waits at this port of the guest."""
        made = self.open_socket(kind, v6=v6)
        made.bind(("::" if v6 else "0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            made.listen(16)
        return made

    def ping(self, to: str, *, timeout_s: float = _WAIT_S) -> bool:
        """Whether the address answers an echo request within this time."""
        v6 = ":" in to
        protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        with self.open_socket(socket.SOCK_DGRAM, v6=v6, protocol=protocol, timeout_s=timeout_s) as echo:
            try:
                echo.connect((to, 0))
                echo.send(bytes([128 if v6 else 8, 0, 0, 0, 0, 0, 0, 1]) + b"banger")
                return echo.recv(2048).endswith(b"banger")
            except (TimeoutError, OSError):
                return False

    def gateway_hardware(self) -> bytes:
        """The hardware address of the keeper's end."""
        self.frames()
        assert self.ping(GATEWAY)
        return next(frame[6:12] for frame in self.frames() if frame[:6].hex(":") == self.hardware)

    def send_frame(self, frame: bytes) -> None:
        """A frame into the keeper's tap, past the guest's kernel; without the header of the virtual network card."""
        self._ask(frame=frame.hex())

    def frames(self) -> list[bytes]:
        """The frames that came from the keeper's tap since the last call, all that are kept."""
        found: list[bytes] = []
        while True:
            said, _ = self._ask(came=True)
            assert isinstance(said, list)
            if not said:
                return found
            found += [bytes.fromhex(frame) for frame in said]

    def close(self) -> None:
        """The guest ends, as a VMM does; its tap is still held."""
        self._channel.close()
        self._process.kill()
        self._process.communicate(timeout=_WAIT_S)

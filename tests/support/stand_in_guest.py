"""The inside of a stand-in (`stand_in`): runs alone in a network namespace, and uses the standard library alone.

Makes the interface `eth0` and carries each frame between it and the tap of the keeper, with the header of the virtual
network card in front as it comes. A thread does that; the main thread answers requests, one JSON object each:
a socket of this namespace, a frame to send past the guest's kernel, the frames that came in.
"""

import collections
import errno
import fcntl
import json
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable

_TUNSETIFF = 0x400454CA
_TAP, _NO_INFORMATION, _VNET_HEADER = 0x0002, 0x1000, 0x4000
_HEADER = 10
_FRAME_BYTES = 70000
_KEPT, _KEPT_BYTES, _AT_ONCE = 4096, 2048, 20

came: collections.deque[bytes] = collections.deque(maxlen=_KEPT)


def make_interface(device: str, name: str) -> int:
    fd = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_INFORMATION | _VNET_HEADER))
    return fd


def carry(source: int, target: int, note: Callable[[bytes], None]) -> None:
    """One frame, if there is one; it is noted before the other side can see it."""
    try:
        frame = os.read(source, _FRAME_BYTES)
    except BlockingIOError:
        return
    note(frame[_HEADER:_KEPT_BYTES])
    try:
        os.write(target, frame)
    except OSError as exc:
        # The other side is down or full: wires lose frames.
        if exc.errno not in (errno.EIO, errno.EAGAIN, errno.ENOBUFS, errno.EINVAL):
            raise


def pump(guest: int, keeper: int) -> None:
    wires = select.poll()
    wires.register(guest, select.POLLIN)
    wires.register(keeper, select.POLLIN)
    while True:
        for fd, _ in wires.poll():
            if fd == guest:
                carry(guest, keeper, lambda _: None)
            else:
                carry(keeper, guest, came.append)


def answer(request: dict[str, object], keeper: int) -> tuple[object, list[int]]:
    if "frame" in request:
        os.write(keeper, bytes(_HEADER) + bytes.fromhex(str(request["frame"])))
        return None, []
    if "came" in request:
        frames = [came.popleft().hex() for _ in range(min(len(came), _AT_ONCE))]
        return frames, []
    numbers = request["socket"]
    assert isinstance(numbers, list)
    return None, [socket.socket(*numbers).detach()]


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    keeper, device = int(sys.argv[2]), sys.argv[3]
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 0")
    guest = make_interface(device, "eth0")
    threading.Thread(target=pump, args=(guest, keeper), daemon=True).start()
    channel.send(b"null")
    while request := channel.recv(1 << 18):
        try:
            said, descriptors = answer(json.loads(request), keeper)
        except OSError as exc:
            said, descriptors = {"error": exc.errno}, []
        socket.send_fds(channel, [json.dumps(said).encode()], descriptors)
        for fd in descriptors:
            os.close(fd)


main()

"""Programs as on a host whose kernel has no IPv6: each of their sockets of that family is refused, as there."""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path

_SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
# A filter of system calls: `socket` with AF_INET6 is EAFNOSUPPORT, all else is allowed.
_WRAPPER = """
import ctypes, os, struct, sys
step = lambda code, true, false, value: struct.pack("HBBI", code, true, false, value)
steps = b"".join((
    step(0x20, 0, 0, 0), step(0x15, 0, 3, {call}),
    step(0x20, 0, 0, 16), step(0x15, 0, 1, 10),
    step(0x06, 0, 0, 0x00050000 | 97), step(0x06, 0, 0, 0x7FFF0000),
))
room = ctypes.create_string_buffer(steps, len(steps))
program = struct.pack("HxxxxxxQ", len(steps) // 8, ctypes.addressof(room))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
assert prctl(38, 1, None, 0, 0) == 0 and prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_ipv6(program: Path, directory: Path) -> Path:
    """The path of a program that becomes this one, without IPv6."""
    wrapper = directory / f"{program.name}-without-ipv6.py"
    wrapper.write_text(_WRAPPER.format(call=_SOCKET_CALL[platform.machine()]))
    path = directory / f"{program.name}-without-ipv6"
    words = (sys.executable, "-S", "-E", str(wrapper), str(program))
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
    return path

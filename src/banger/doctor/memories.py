"""Whether a process may read the memory of another process of the same user, as forks and snapshots need."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from banger.doctor.check import Mend, Sight, advise, in_thread
from banger.doctor.host import Host
from banger.host.proc import ProcessRef, ref_of, send_signal
from banger.host.run import run

_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
# A process without a parent of ours, like a VMM after a restart of its daemon.
_ORPHAN = "sleep 10 </dev/null >/dev/null 2>&1 & echo $!"
_START_S = 4.0
_PROGRAM_TRIES = 200
_PROGRAM_POLL_S = 0.01


async def look_at_memory_of_others(host: Host) -> Sight:
    said = await run(["sh", "-c", _ORPHAN], timeout_s=_START_S)
    process = ref_of(int(said.stdout))
    if process is None or not await _is_program(process):
        return Sight("a process that was started for this check ended at once", fine=False)
    try:
        _read_some(process)
    except OSError as exc:
        return Sight(
            f"{host.user} cannot read the memory of a process of the same user: {exc.strerror}{_scope()}",
            fine=False,
            mend=_mend(),
        )
    finally:
        send_signal(process, signal.SIGKILL)
    return Sight(f"{host.user} can read the memory of processes of the same user")


async def _is_program(process: ProcessRef) -> bool:
    """Wait until the shell's child has become the program."""
    for _ in range(_PROGRAM_TRIES):
        try:
            name = await in_thread(Path(f"/proc/{process.pid}/comm").read_text)
        except OSError:
            return False
        if name.strip() == "sleep":
            return True
        await asyncio.sleep(_PROGRAM_POLL_S)
    return False


def _read_some(process: ProcessRef) -> None:
    with open(f"/proc/{process.pid}/maps", "rb") as maps:
        start = int(maps.readline().split(b"-")[0], 16)
    with open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        memory.read(1)


def _scope() -> str:
    try:
        return f" (kernel.yama.ptrace_scope is {_YAMA.read_text().strip()})"
    except OSError:
        return ""


def _mend() -> Mend:
    if _YAMA.exists():
        return Mend("sysctl -w kernel.yama.ptrace_scope=0", root=True)
    return advise("fork and snapshot machines with the daemon that started them")

"""Questions to a running machine: health, round trips, statistics, listening ports. None of them
waits longer than its time-out, whatever the guest does."""

from __future__ import annotations

import ipaddress
import time
from typing import TypedDict

from banger.agent.guest_stats import read_guest_stats
from banger.errors import Error
from banger.host.fs import disk_usage_bytes
from banger.host.proc import is_alive, usage
from banger.machines.live import LiveMachine
from banger.model.machine import MachineState
from banger.model.report import Check, GuestPort, Health, Ping, Stats, VmmStats
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields

_QUICK_S = 1.0
_MAX_PORTS = 4096


class _AgentHealth(TypedDict):
    agent: Check
    init: Check


async def health(live: LiveMachine) -> Health:
    """Agent, init and VMM, each on its own: one that hangs does not hide the others."""
    parts = await _agent_health(live)
    return Health(agent=parts["agent"], init=parts["init"], vmm=await _vmm_health(live))


async def _agent_health(live: LiveMachine) -> _AgentHealth:
    if live.machine.state is MachineState.PAUSED:
        still = Check(ok=True, message="not asked: the vCPUs stand still")
        return {"agent": still, "init": still}
    try:
        answer = await live.agent().request(Type.HEALTH, timeout_s=_QUICK_S)
    except Error as exc:
        unknown = Check(ok=False, message="unknown: the agent does not answer")
        return {"agent": Check(ok=False, message=exc.message), "init": unknown}
    uptime_s = answer.int_(Tag.UPTIME_MS) / 1000
    state = answer.str_(Tag.STATE)[:32]
    name = answer.str_(Tag.INIT_NAME)[:32]
    read_only = bool(answer.int_(Tag.ROOT_READ_ONLY))
    init_ok = bool(name) and not read_only
    message = f"pid 1 is {name or 'unknown'}" + (", / is read-only" if read_only else "")
    return {
        "agent": Check(ok=state == "running", message=f"{state}, guest up for {uptime_s:.1f} s"),
        "init": Check(ok=init_ok, message=message),
    }


async def _vmm_health(live: LiveMachine) -> Check:
    if not is_alive(live.process):
        return Check(ok=False, message="its process is gone")
    try:
        state = await live.vm.run_state()
    except Error as exc:
        return Check(ok=False, message=exc.message)
    message = f"{live.driver.name} with {live.machine.accel}, pid {live.process.pid}, {state}"
    return Check(ok=state != "stopped", message=message)


async def ping(live: LiveMachine, count: int) -> Ping:
    """Round trips to the agent, one after the other, in milliseconds."""
    agent = live.agent()
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        await agent.request(Type.PING, timeout_s=5)
        times.append(round((time.perf_counter() - begun) * 1000, 3))
    return Ping(round_trips_ms=times)


async def stats(live: LiveMachine) -> Stats:
    """The guest's own view and the VMM process's on the host."""
    answer = await live.agent().request(Type.STATS, timeout_s=5)
    guest = read_guest_stats(answer)
    used = usage(live.process)
    if used is None:
        raise Error("agent_lost", f"the VMM of {live.machine.name} is gone")
    vmm = VmmStats(
        pid=live.process.pid,
        accel=live.machine.accel,
        cpu_s=round(used.cpu_s, 2),
        memory_rss_bytes=used.rss_bytes,
        memory_pss_bytes=used.pss_bytes,
        threads=used.threads,
        disk_bytes=disk_usage_bytes(live.places.overlay),
    )
    return Stats(guest=guest, vmm=vmm)


async def ports(live: LiveMachine) -> list[GuestPort]:
    """Listening TCP and bound UDP sockets of the guest; lines that make no sense are left out."""
    answer = await live.agent().request(Type.PORTS, timeout_s=5)
    return read_ports(answer)


def read_ports(answer: Fields) -> list[GuestPort]:
    found = [_read_port(line) for line in answer.strs(Tag.PORT)[:_MAX_PORTS]]
    return sorted(
        (port for port in found if port is not None),
        key=lambda port: (port.port, port.protocol, port.address),
    )


def _read_port(line: str) -> GuestPort | None:
    words = line.split(" ", 4)
    if len(words) != 5 or words[0] not in ("tcp", "tcp6", "udp", "udp6"):
        return None
    protocol, address, port, pid, process = words
    if not (port.isdigit() and pid.isdigit() and int(port) <= 65535):
        return None
    try:
        packed = bytes.fromhex(address)
        shown = str(ipaddress.ip_address(packed))
    except ValueError:
        return None
    name = "".join(c for c in process if c.isprintable())[:64]
    return GuestPort(
        protocol=protocol, address=shown, port=int(port), pid=int(pid), process="" if name == "-" else name
    )

"""Questions to a running machine: health, round trips, statistics, listening ports. Each answers within its time-out,
whatever the guest does."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from typing import TypedDict

from banger.agent.guest_clock import FAR_OFF_S, read_clock_off_s
from banger.agent.guest_stats import read_guest_stats
from banger.errors import Error
from banger.host.proc import is_alive, usage
from banger.host.thread import in_thread
from banger.machines.life.live import LiveMachine
from banger.model.machine import MachineState
from banger.model.network import MachineNetwork
from banger.model.report import Check, GuestPort, Health, Ping, Stats, VmmStats
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields, readable

_QUICK_S = 1.0
_MAX_PORTS = 4096
_PORT_LINE_MAX = 256
# A number as the kernel writes it: without the other digits that Python knows.
_NUMBER = re.compile(r"[0-9]{1,10}")


class _AgentHealth(TypedDict):
    agent: Check
    init: Check
    clock: Check


async def health(live: LiveMachine) -> Health:
    """Agent, init, clock and VMM, each checked by itself: if one hangs, the others are still shown."""
    parts, vmm = await asyncio.gather(_agent_health(live), _vmm_health(live))
    return Health(agent=parts["agent"], init=parts["init"], clock=parts["clock"], vmm=vmm)


async def _agent_health(live: LiveMachine) -> _AgentHealth:
    if live.machine.state is MachineState.PAUSED:
        still = Check(ok=True, message="not asked: the vCPUs are stopped")
        return {"agent": still, "init": still, "clock": still}
    try:
        asked_ns = time.time_ns()
        answer = await live.agent().request(Type.HEALTH, timeout_s=_QUICK_S)
        return _read_health(answer, read_clock_off_s(answer, asked_ns, time.time_ns()))
    except Error as exc:
        unknown = Check(ok=False, message="unknown: the agent does not answer")
        return {"agent": Check(ok=False, message=exc.message), "init": unknown, "clock": unknown}


def _clock_check(off_s: float) -> Check:
    if abs(off_s) <= FAR_OFF_S:
        return Check(ok=True, message=f"off by {abs(off_s):.3f} s at least" if off_s else "right")
    way = "ahead" if off_s > 0 else "behind"
    return Check(ok=False, message=f"{abs(off_s):.1f} s {way}; banger corrects it within a minute")


def _read_health(answer: Fields, clock_off_s: float) -> _AgentHealth:
    uptime_s = answer.int_(Tag.UPTIME_MS) / 1000
    state = answer.shown(Tag.STATE, 32)
    name = answer.shown(Tag.INIT_NAME, 32)
    read_only = bool(answer.int_(Tag.ROOT_READ_ONLY))
    init_ok = bool(name) and not read_only
    message = f"pid 1 is {name or 'unknown'}" + (", / is read-only" if read_only else "")
    return {
        "agent": Check(ok=state == "running", message=f"{state}, guest up for {uptime_s:.1f} s"),
        "init": Check(ok=init_ok, message=message),
        "clock": _clock_check(clock_off_s),
    }


async def _vmm_health(live: LiveMachine) -> Check:
    if not is_alive(live.process):
        return Check(ok=False, message="its process is gone")
    try:
        async with asyncio.timeout(_QUICK_S):
            state = await live.vm.run_state()
    except TimeoutError:
        return Check(ok=False, message=f"{live.driver.name} (pid {live.process.pid}) does not answer")
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
    """The guest's own statistics, and the VMM process's on the host."""
    answer = await live.agent().request(Type.STATS, timeout_s=5)
    guest = read_guest_stats(answer)
    used = await in_thread(usage, live.process)
    if used is None:
        raise Error("agent_lost", f"the VMM of {live.machine.name} is gone")
    vmm = VmmStats(
        pid=live.process.pid,
        accel=live.machine.accel,
        cpu_s=round(used.cpu_s, 2),
        memory_rss_bytes=used.rss_bytes,
        memory_pss_bytes=used.pss_bytes,
        threads=used.threads,
        disk_bytes=await in_thread(live.driver.disks.usage_bytes, live.places.directory),
    )
    return Stats(guest=guest, vmm=vmm)


async def ports(live: LiveMachine) -> list[GuestPort]:
    """Listening TCP sockets and bound UDP sockets of the guest; malformed lines are left out."""
    answer = await live.agent().request(Type.PORTS, timeout_s=5)
    found = read_ports(answer)
    for port in found:
        note_ways(live.machine.network, port)
    return found


def note_ways(network: MachineNetwork, port: GuestPort) -> None:
    """Note how the port is reached from the host: a datagram never reaches the loopback of a guest."""
    protocol = port.protocol.removesuffix("6")
    if protocol == "udp" and port.loopback:
        return
    port.publishable = network.link == "tap"
    port.published = tuple(
        one for one in network.ports if (one.protocol, one.guest_port) == (protocol, port.port)
    )


def read_ports(answer: Fields) -> list[GuestPort]:
    lines = [readable(raw, _PORT_LINE_MAX) for raw in answer.all_bytes(Tag.PORT)[:_MAX_PORTS]]
    found = [_read_port(line) for line in lines]
    return sorted(
        (port for port in found if port is not None),
        key=lambda port: (port.port, port.protocol, port.address),
    )


def _read_port(line: str) -> GuestPort | None:
    words = line.split(" ", 4)
    if len(words) != 5 or words[0] not in ("tcp", "tcp6", "udp", "udp6"):
        return None
    protocol, address, port, pid, process = words
    if not (_NUMBER.fullmatch(port) and _NUMBER.fullmatch(pid) and int(port) <= 65535):
        return None
    try:
        packed = bytes.fromhex(address)
        listens_at = ipaddress.ip_address(packed)
    except ValueError:
        return None
    return GuestPort(
        protocol=protocol,
        address=str(listens_at),
        port=int(port),
        pid=int(pid),
        process="" if process == "-" else process[:64],
        loopback=_is_loopback(listens_at),
    )


def _is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback

"""The verbs that begin and end a machine: create, start, stop, kill, delete. (`ask.pausing` has pause and resume.)"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Callable
from typing import Unpack

import msgspec

from banger.errors import AgentGone, Error
from banger.guests.init import wait_for_init
from banger.host.background import in_background
from banger.host.foreign import foreign_size
from banger.host.proc import send_signal, wait_gone
from banger.host.thread import in_thread
from banger.host.times import now
from banger.machines.ask.execs import RunningExec, Viewer, remove_exec_logs
from banger.machines.keep.reasons import describe_ending
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import LIVE
from banger.machines.life.endings import exit_of, find_ending, is_failure
from banger.machines.life.guest_wishes import check_wishes
from banger.machines.life.launch import launch
from banger.machines.life.limits import check_asked, find_memory_kill
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.main_command import parse_signal, plan_command, secret_variables
from banger.machines.life.makings import Makings
from banger.machines.life.neighbours import refuse_crowd
from banger.machines.life.passage import check_network
from banger.machines.life.publications import exposed_ports, publish
from banger.machines.life.secrets import check_secrets, give_secrets, require_secrets
from banger.machines.life.shares import check_mounts, share
from banger.machines.life.volumes import check_volumes, mount_late
from banger.model.command import Command, Exit
from banger.model.ending import Ending, VmmKilled
from banger.model.event import Tell
from banger.model.image import Image
from banger.model.machine import Change, Machine, MachineSpec, MachineState
from banger.model.names import check_name, invent_name
from banger.model.operation import Report
from banger.network.ports import bound, read_ports
from banger.vmm.drivers import AUTO, Drivers
from banger.wire.constants import Tag, Type

_NAMES_TRIED = 100
log = logging.getLogger("banger.machines")

_SIGNAL_S = 3.0
_TERM_S = 5.0
_AGENT_MARGIN_S = 3.0
_OWN_SHUTDOWN_S = 15.0
_INIT_SHUTDOWN_S = 5.0
# Up to half of the memory of a guest can be data that its disks do not have yet.
_WRITE_BACK_S = 30.0
_AFTER_AN_END = "what follows a machine's end"
_SIGNALS_OF_INITS = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)


def create(
    registry: Registry,
    drivers: Drivers,
    spec: MachineSpec,
    /,
    *,
    also: Callable[[Machine], None] = lambda machine: None,
    **fields: Unpack[Change],
) -> Machine:
    """A new machine in state `created`; nothing on the host yet. `also` writes further records for it. Raises
    `bad_name`, `bad_spec`, `driver_not_found`, `name_taken`, `network_not_found`, `network_full`."""
    if spec.remove and spec.restart != "no":
        raise Error(
            "bad_spec",
            "a machine that is deleted when it ends cannot be restarted",
            "leave out either --rm or --restart",
        )
    check_asked(spec)
    check_network(spec)
    check_mounts(spec)
    check_volumes(spec)
    check_wishes(spec)
    check_secrets(spec)
    if spec.driver not in ("", AUTO):
        drivers.named(spec.driver)
    name = check_name(spec.name) if spec.name else _invent_free_name(registry)
    machine = Machine(
        id=secrets.token_hex(6), name=name, state=MachineState.CREATED, spec=spec, created=now()
    )
    machine = msgspec.structs.replace(machine, **fields)
    refuse_crowd(registry, machine)

    def write_more(tell: Tell) -> None:
        registry.volumes.add_missing(spec)
        also(machine)

    registry.add(machine, write_more)
    return machine


def _invent_free_name(registry: Registry) -> str:
    """A name that no machine has. Among hundreds of machines a random name is often taken."""
    taken = {machine.name for machine in registry.all()}
    for _ in range(_NAMES_TRIED):
        if (name := invent_name()) not in taken:
            return name
    return f"{invent_name()}-{secrets.token_hex(6)}"


async def start(
    lives: Lives,
    makings: Makings,
    machine: Machine,
    report: Report,
    viewer: Viewer | None = None,
    image: Image | None = None,
    **fields: Unpack[Change],
) -> None:
    """Start the machine, and its main command if it has one. `image` is the image to start from, instead of the
    image that has the name now."""
    fields = Change(wanted="running") | fields
    async with lives.start(machine, report, **fields) as begun, contextlib.AsyncExitStack() as ports:
        lives.due.forget(machine)
        await require_secrets(makings.vault, machine.spec)
        opened = ports.enter_context(bound(read_ports(machine.spec.ports)))
        image = image or await makings.images.ensure(machine.spec.image, report)
        opened += ports.enter_context(bound(exposed_ports(machine.spec, image.config.exposed_ports)))
        command = plan_command(machine.spec.command, image.config, secret_variables(machine.spec))
        if command is None and viewer is not None:
            raise _nothing_to_run(machine)
        places = lives.holdings.places(machine)
        await in_thread(remove_exec_logs, places.directory)
        console_begin = foreign_size(places.console_log)
        live = await launch(lives.registry, lives.holdings, makings, begun, image)
        live.console_begin = console_begin
        lives.begin(live)
        await publish(makings.guards, lives.registry, machine, opened)
        if command is not None and machine.spec.init == "image" and live.booted:
            report("init", "waiting for the image's init")
            await wait_for_init(live.agent(), machine.spec.boot_timeout_s)
            begun.watch.lap("init")
        user = (command or Command()).user or image.config.user
        await share(lives.holdings.resources, live, user)
        await mount_late(lives.registry, live)
        await give_secrets(makings.vault, live, user, lives.tell)
        if command is not None:
            main = await live.start_main(command, viewer, process_1=machine.spec.init == "entrypoint")
            begun.watch.lap("exec")
            watch_main(lives, live, main)
        watch_vmm(lives, live)
    if not live.gone.is_set():
        report("ready", f"{machine.name} is running")


def _nothing_to_run(machine: Machine) -> Error:
    return Error(
        "bad_spec",
        f"the image {machine.spec.image!r} names no command, and none was given",
        "give a command after --, or use -it for a shell, or -d for a machine that keeps running",
    )


def watch_main(lives: Lives, live: LiveMachine, main: RunningExec) -> None:
    """When the main command ends, so does the machine."""
    main.done.add_done_callback(lambda _: in_background(_after_main(lives, live, main), _AFTER_AN_END))


def watch_vmm(lives: Lives, live: LiveMachine) -> None:
    """When the VMM ends, for whatever reason, settle the machine."""

    def on_end(watching: asyncio.Task[None]) -> None:
        if not watching.cancelled():  # else the daemon ends and lets go of its machines
            in_background(_after_exit(lives, live), _AFTER_AN_END)

    live.watch_task.add_done_callback(on_end)


async def _after_main(lives: Lives, live: LiveMachine, main: RunningExec) -> None:
    """The main command has ended: record its exit and end the machine. A machine with `remove` is killed, not shut
    down."""
    if main.done.exception() is not None:
        return  # the agent is gone; the VMM's end, or a new session, tells more
    try:
        lives.registry.change(live.machine, exit=main.done.result())
    except Error as exc:  # its exit is recorded with the machine's end
        log.warning("machine=%s %s", live.machine.name, exc.message)
    limit_s = _own_shutdown_s(live, main.done.result())
    if limit_s and await _gone_within(live, limit_s):
        return
    await _end_machine(lives, live)


def _own_shutdown_s(live: LiveMachine, exit_: Exit) -> float:
    """Seconds that the guest may take to shut down by itself, if its own shutdown ended the main command. An init of
    the image does not report a shutdown: it only sends signals to all processes."""
    if live.goes_down:
        return _OWN_SHUTDOWN_S
    was_told_to = live.machine.spec.init == "image" and exit_.signal in _SIGNALS_OF_INITS
    return _INIT_SHUTDOWN_S if was_told_to and not live.machine.spec.remove else 0


def end_without_main(lives: Lives, live: LiveMachine) -> None:
    """End a machine whose main command ended, or never began, under an earlier daemon that did not end the machine."""
    in_background(_end_machine(lives, live), _AFTER_AN_END)


async def _end_machine(lives: Lives, live: LiveMachine) -> None:
    with contextlib.suppress(Error):  # another task stops the machine already
        if live.machine.spec.remove:
            await kill(lives, live.machine, by_user=False)
        else:
            await stop(lives, live.machine, 10, by_user=False)


async def _after_exit(lives: Lives, live: LiveMachine) -> None:
    """The VMM has ended: record that, release what the machine held, and remove a machine with `remove`."""
    machine = live.machine
    if lives.get(machine) is not live:
        return
    ending = find_ending(live)
    if ending == VmmKilled():
        with contextlib.suppress(Error):  # without the store, that the VMM ended is still known
            ending = find_memory_kill(lives.holdings.resources, machine) or ending
    exit_ = exit_of(live)
    try:
        async with lives.locks[machine.id]:
            await lives.settle_or_owe(machine, lambda: _settle_end(lives, live, ending, exit_))
    finally:
        live.ended.set()  # waiting tasks are told, even after an error


async def _settle_end(lives: Lives, live: LiveMachine, ending: Ending, exit_: Exit | None) -> None:
    machine = live.machine
    await lives.holdings.release_runtime(machine)
    lives.live.pop(machine.id, None)
    if machine.state in LIVE:
        lives.registry.move(machine, "exited", ending, exit=exit_)
    log.info("machine=%s stopped: %s", machine.name, describe_ending(ending))
    if not lives.registry.has(machine):
        return
    if machine.spec.remove:
        await lives.remove(machine)
    else:
        lives.tell_ended(machine, failed=is_failure(machine))


async def stop(lives: Lives, machine: Machine, grace_s: float, *, by_user: bool = True) -> None:
    """Ask the agent to shut down, or else the guest's kernel where the VMM can; then send SIGTERM to the VMM, then
    SIGKILL, each with its time-out. Returns when the machine is `stopped`. If the machine was due to be started
    again, that start is cancelled."""
    await lives.settle_overdue(machine)
    if by_user and _want_stopped(lives, machine):
        return
    live = lives.get(machine)
    if live is None:
        await lives.cancel_start(machine)
        return
    await live.adopted.wait()
    async with live.pausing:  # wait for a freeze that is under way
        stands_still = machine.state is MachineState.PAUSED or live.disk_full
        lives.registry.move(machine, "stop")
        live.disk_full = False
        if stands_still:
            with contextlib.suppress(Error):
                await live.vm.resume()
    answers = await _end_main(live, grace_s)
    if await _shut_down(live, grace_s, answers) or await _terminate(live):
        await live.ended.wait()
        return
    await _kill(live)


async def _end_main(live: LiveMachine, grace_s: float) -> bool:
    """Send the main command the image's stop signal, and give it time to end. False if the agent is gone, so that no
    request to it makes sense."""
    main = live.main
    if main is None or main.done.done():
        return True
    try:
        await main.process.signal(
            parse_signal(live.machine.spec.stop_signal or live.machine.stop_signal), _SIGNAL_S
        )
        await asyncio.wait([main.done], timeout=grace_s)
    except Error as exc:
        log.info("machine=%s stop signal: %s", live.machine.name, exc.message)
        return not isinstance(exc, AgentGone)
    return True


async def _shut_down(live: LiveMachine, grace_s: float, answers: bool) -> bool:
    """False if the guest could not be asked, or has not ended in time."""
    if (answers and await _ask_agent(live, grace_s)) or await _ask_kernel(live):
        return await _gone_within(live, grace_s + _AGENT_MARGIN_S)
    return live.gone.is_set()


async def _ask_agent(live: LiveMachine, grace_s: float) -> bool:
    try:
        await live.agent().request(
            Type.SHUTDOWN, [(Tag.MODE, "poweroff"), (Tag.GRACE_MS, int(grace_s * 1000))], timeout_s=3
        )
    except Error as exc:
        log.info("machine=%s agent shutdown: %s", live.machine.name, exc.message)
        return False
    return True


async def _ask_kernel(live: LiveMachine) -> bool:
    try:
        return await live.vm.ask_guest_to_end()
    except Error as exc:
        log.info("machine=%s kernel shutdown: %s", live.machine.name, exc.message)
        return False


async def _terminate(live: LiveMachine) -> bool:
    """Let the VMM flush its disks and end."""
    live.vm.terminate()
    return await _gone_within(live, _TERM_S)


async def _gone_within(live: LiveMachine, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await live.gone.wait()
    except TimeoutError:
        return False
    return True


def _want_stopped(lives: Lives, machine: Machine) -> bool:
    """Record that the user wants the machine stopped; True if cancelling a due restart was enough."""
    lives.registry.change(machine, wanted="stopped", restart_in_s=None)
    return lives.due.forget(machine)


async def kill(lives: Lives, machine: Machine, *, by_user: bool = True) -> None:
    """Send SIGKILL to the VMM now; if it may write to volumes, after the guest has written back what it holds in
    memory. Returns when the machine is `stopped` (and gone, with `remove`)."""
    await lives.settle_overdue(machine)
    if by_user and _want_stopped(lives, machine):
        return
    if machine.id in lives.starting and machine.id not in lives.live:
        await lives.cancel_start(machine)
        return
    live = lives.of(machine)
    stands_still = machine.state is MachineState.PAUSED
    if machine.state is not MachineState.STOPPING:
        lives.registry.move(machine, "stop")
    if not all(volume.read_only for volume in machine.spec.volumes) and await _write_back(live, stands_still):
        return
    await _kill(live)


async def _write_back(live: LiveMachine, stands_still: bool) -> bool:
    """Let the guest write back its volumes, and end: a user whose command has ended expects its files to be there.
    Returns whether it has ended."""
    if live.disk_full:
        return False
    try:
        if stands_still:
            await live.vm.resume()
        await live.agent().request(Type.SHUTDOWN, [(Tag.MODE, "halt-now")], timeout_s=_SIGNAL_S)
    except Error as exc:
        log.info("machine=%s its volumes are not written back: %s", live.machine.name, exc.message)
        return False
    if not await _gone_within(live, _WRITE_BACK_S):
        return False
    await live.ended.wait()
    return True


async def _kill(live: LiveMachine) -> None:
    send_signal(live.process, signal.SIGKILL)
    if not await wait_gone(live.process, 10):
        raise Error(
            "vmm_failed",
            f"the VMM of {live.machine.name} (pid {live.process.pid}) does not end, even with SIGKILL",
            "the process waits for the kernel, most likely for a disk",
        )
    await live.ended.wait()


async def delete(lives: Lives, machine: Machine, *, force: bool) -> None:
    """Remove the machine and all that belongs to it. With `force`, kill a running machine first."""
    await lives.settle_overdue(machine)
    lives.due.forget(machine)
    if force:
        await _end_by_force(lives, machine)
    async with lives.locks[machine.id]:
        if not lives.registry.has(machine):
            return
        if machine.state in LIVE:
            raise _still_running(machine)
        await lives.remove(machine)


async def _end_by_force(lives: Lives, machine: Machine) -> None:
    starting = lives.starting.get(machine.id)
    if starting is not None:
        starting.cancel()
        await asyncio.wait([starting], timeout=15)
    if machine.id in lives.live:
        with contextlib.suppress(Error):
            await kill(lives, machine)
    await lives.settle_overdue(machine)


def _still_running(machine: Machine) -> Error:
    return Error(
        "bad_state",
        f"machine {machine.name!r} is {machine.state.value}",
        f"banger vm stop {machine.name}, or banger vm delete --force {machine.name}",
        {"state": machine.state.value},
    )

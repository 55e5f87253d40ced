"""Make a template: boot a machine, do all work that is the same for every machine, then freeze it.

No process, name or secret of a user is in a template: the agent has a placeholder's identity, the image's init (if
asked for) has come up, and the agent has rehearsed what it does for each command, so that its code is in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import msgspec

from banger.agent.connection import AgentConnection, CommandUnusable
from banger.agent.process import start_process
from banger.errors import BootFailure, Error
from banger.guests.guest import boot, take_places
from banger.guests.identity import configure, invent_identity, machine_id_of
from banger.guests.init import wait_for_init
from banger.guests.links import placeholder_network
from banger.guests.taps import Taps
from banger.host.foreign import copy_end, open_foreign
from banger.host.fs import remove_whole, require_free
from banger.host.paths import Paths
from banger.host.proc import ProcessRef, kill_and_wait, wait_gone
from banger.host.thread import in_thread
from banger.host.times import now
from banger.model.command import Command
from banger.model.sizes import MIB
from banger.model.template import Shape
from banger.resources import teardown
from banger.store.resources import ResourceTable
from banger.templates.frozen import Sums, sum_files, write_meta
from banger.templates.wanted import Wanted
from banger.vmm.base import VmPlaces
from banger.vmm.frozen import Frozen
from banger.vmm.link import mac_of

# Host name of a guest that is no machine yet: a template, or a clone that waits.
PLACEHOLDER = "banger"
OWNER = "template-"
_NEEDED_BYTES = 256 * MIB
_CONSOLE_BYTES = 8 * MIB
_REHEARSAL_S = 30.0
_QUIT_S = 5.0


class TemplateMeta(msgspec.Struct, kw_only=True):
    """`meta.json` of a template."""

    image: str
    kernel: str
    shape: Shape
    created: str
    boot_ms: float
    sums: Sums


async def make_template(
    paths: Paths, resources: ResourceTable, taps: Taps, wanted: Wanted, final: Path, name: str
) -> None:
    """Boot, freeze, publish as `final`. Raises what a boot raises, `insufficient_disk`, `vmm_failed`. After a failure
    only the console's log is left, in the directory of the machine that wanted the template. Errors call the machine
    `name`."""
    await in_thread(require_free, paths.templates, _NEEDED_BYTES, f"a template of {wanted.image.name}")
    token = os.urandom(4).hex()
    owner = OWNER + token
    places = VmPlaces(
        name=name,
        directory=paths.templates / f".partial-{wanted.id[:12]}-{token}",
        run_directory=paths.sockets / token,
    )
    try:
        await _make(resources, taps, wanted, owner, places, final)
    except BootFailure:
        with contextlib.suppress(OSError):
            await in_thread(_keep_console, places.console_log, wanted.config.places.console_log)
        raise
    finally:
        await asyncio.shield(teardown.release(resources, owner))


async def _make(
    resources: ResourceTable, taps: Taps, wanted: Wanted, owner: str, places: VmPlaces, final: Path
) -> None:
    begun = time.perf_counter()
    config = wanted.config_of_maker(places, owner)
    identity = invent_identity(
        PLACEHOLDER,
        mac_of(config.link),
        placeholder_network(config.link),
        wanted.init,
        machine_id=machine_id_of(places.directory.name),
    )
    take_places(resources, owner, places)
    await wanted.driver.prepare(config)
    guest = await boot(resources, taps, owner, config, wanted.driver, wanted.boot_limit_s)
    try:
        await configure(
            guest.connection,
            identity,
            wanted.init,
            config.disk_bytes,
            wanted.boot_limit_s,
            will_be_frozen=True,
        )
        if wanted.init == "image" and not await wait_for_init(guest.connection, wanted.boot_limit_s):
            raise Error("unsupported", f"the init of {wanted.image.name} was not ready in time to be frozen")
        await rehearse(guest.connection)
        guest.connection.close()
        await guest.vm.capture(Frozen(places.directory))
        await guest.vm.quit()
    finally:
        await guest.let_go()
    await _end(guest.vm.process)
    boot_ms = (time.perf_counter() - begun) * 1000
    await in_thread(_publish, wanted, places.directory, final, boot_ms)


async def rehearse(connection: AgentConnection) -> None:
    """Run an empty command, so that agent and kernel do once what they do for each command: emulated code is three
    times as fast the second time."""
    try:
        process = await start_process(connection, Command(argv=["/bin/true"]))
    except CommandUnusable:
        process = await start_process(connection, Command(argv=["/"]), applet="stat")
    try:
        async with asyncio.timeout(_REHEARSAL_S):
            async for _ in process.outputs():
                pass
    except TimeoutError as exc:
        raise Error("timeout", f"{connection.machine} did not finish /bin/true") from exc
    await process.forget()


def _keep_console(console: Path, kept: Path) -> None:
    fd = open_foreign(console)
    try:
        copy_end(fd, kept, _CONSOLE_BYTES)
    finally:
        os.close(fd)


async def _end(process: ProcessRef) -> None:
    if not await wait_gone(process, _QUIT_S) and not await kill_and_wait(process):
        raise Error("vmm_failed", f"process {process.pid} does not end, even with SIGKILL")


def _publish(wanted: Wanted, directory: Path, final: Path, boot_ms: float) -> None:
    directory.chmod(0o700)
    for name in ("console.log", "vmm.log"):
        (directory / name).unlink(missing_ok=True)
    meta = TemplateMeta(
        image=wanted.image.name,
        kernel=wanted.kernel.name,
        shape=wanted.shape,
        created=now(),
        boot_ms=round(boot_ms, 1),
        sums=sum_files(directory, wanted.driver.frozen.parts(Frozen(directory))),
    )
    write_meta(directory, meta)
    remove_whole(final, "remove the directory by hand")  # an earlier template that is damaged
    # Published without a sync: to sync 100 MiB would delay the first run, and after a power failure the checksums tell
    # whether the template is complete. The sync of a clone's own disk (`guest.with_disk_synced`) includes what that
    # disk needs of the template.
    os.rename(directory, final)

"""The Firecracker driver: finds Firecracker, starts VMs with it, finds these VMs again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import stat
from pathlib import Path

from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host import cpu
from banger.host.foreign import foreign_size
from banger.host.fs import remove_tree
from banger.host.jail import Bound, Jail, look
from banger.host.proc import ProcessRef
from banger.host.run import find_tool, run
from banger.host.sparse import link_or_copy
from banger.host.spawn import spawn_detached
from banger.host.thread import in_thread
from banger.model.sizes import GIB, MIB
from banger.vmm import owners
from banger.vmm.base import Capabilities, DriverInfo, Lack, Vm, VmConfig, VmLimits, VmPlaces
from banger.vmm.disk import DiskKind
from banger.vmm.firecracker import jailer, names, probe, trial, versions
from banger.vmm.firecracker.configuration import plan_configuration
from banger.vmm.firecracker.disks import FirecrackerDisks, cannot_write, make_disk
from banger.vmm.firecracker.frozen_files import FirecrackerFrozenFiles
from banger.vmm.firecracker.metrics import make_pipe
from banger.vmm.firecracker.vm import FirecrackerVm
from banger.vmm.link import NoLink, Tap

KVM = Path("/dev/kvm")
# Firecracker's own heap, stacks and buffers, and the page cache of what its guest reads and writes at the moment.
_OWN_MIB = 64
# Its main loop, and the thread that answers requests.
_OWN_CPUS = 0.25
_OWN_THREADS = 16
_OWN_FILES = 256
# Address space that is reserved and hardly touched.
_UNTOUCHED_BYTES = 512 * MIB
# Beside the disk and the memory: logs, and the state of the devices.
_LEAST_FILE_BYTES = GIB


class FirecrackerDriver:
    """Stateless except for what it found out about this host's Firecracker. `program`: its name or path;
    `jailer_program`: that of its own jailer, empty for our jail."""

    name = "firecracker"
    disks = FirecrackerDisks()
    frozen = FirecrackerFrozenFiles()

    def __init__(self, program: str, jailer_program: str = "") -> None:
        self._program = program
        self._jailer = jailer_program
        self.capabilities = Capabilities(
            links=frozenset({NoLink, Tap}),
            freezes=True,
            limits_io=True,
            agent_by_vsock=True,
            capture_ends_session=True,
            jailed=True,
            kvm_only=True,
            own_jail=jailer.NAME if jailer_program else "",
            jail_without=jailer.WITHOUT if jailer_program else {},
        )
        self._info: DriverInfo | None = None
        self._why_no_restore = ""

    async def info(self) -> DriverInfo:
        if self._info is None or self._info.problem:
            self._info = await self._probe()
        return self._info

    async def try_machine(self, accel: str, timeout_s: float) -> str:
        if accel != "kvm":
            return "Firecracker runs machines with KVM only"
        return await trial.try_machine(find_program(self._program), timeout_s)

    async def lacks(self) -> list[Lack]:
        return [*(await self.info()).lacks]

    async def build_of(self, config: VmConfig) -> str:
        """A state holds what the processor offers, so it belongs to the model of the processor, too."""
        neutral = Path("/")
        link = Tap("") if isinstance(config.link, Tap) else config.link
        plain = dataclasses.replace(config, vmlinux=neutral, initramfs=neutral, link=link)
        told = json.dumps([plan_configuration(plain), cpu.model_name()], sort_keys=True)
        return f"{(await self.info()).build} {hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def needs(self, config: VmConfig) -> VmLimits:
        return VmLimits(
            memory_bytes=(config.memory_mib + _OWN_MIB) * MIB,
            cpus=config.cpus + _OWN_CPUS,
            pids=config.cpus + _OWN_THREADS,
        )

    def _bounds(self, config: VmConfig) -> dict[int, Bound]:
        """Limits that hold on every host, even without control groups."""
        return {
            resource.RLIMIT_NOFILE: _OWN_FILES,
            resource.RLIMIT_DATA: self.needs(config).memory_bytes + _UNTOUCHED_BYTES,
            resource.RLIMIT_FSIZE: longest_file(config),
        }

    async def prepare(self, config: VmConfig) -> DiskKind | None:
        if config.frozen is not None:
            await self._require_restores()
        try:
            return await in_thread(_prepare_files, config)
        except OSError as exc:
            raise cannot_write(config.places.directory, exc) from exc

    async def _require_restores(self) -> None:
        await self.info()
        if self._why_no_restore:
            hint = "install another version, or use another --driver"
            raise Error("unsupported", self._why_no_restore, hint)

    def start(self, config: VmConfig) -> Vm:
        program = find_program(self._program)
        if config.user is not None and not self._jailer and not users_reach(KVM):
            raise Error(
                "vmm_failed",
                f"a VMM runs as a user of its own, who cannot open {KVM}",
                f"chgrp kvm {KVM} && chmod 0660 {KVM}",
            )
        try:
            make_surroundings(config)
            jail = jailer.prepare_jail(program, config) if self._jailer else prepare_jail(config)
            hand_over(config, jail)
            if isinstance(config.link, Tap):
                os.set_blocking(config.link.fd, False)  # as Firecracker opens a tap
        except OSError as exc:
            raise cannot_write(config.places.directory, exc) from exc
        process = spawn_detached(
            self._plan_argv(program, config),
            marker=config.marker,
            output=config.places.vmm_log,
            console=config.places.console_log,
            cwd=Path("/") if self._jailer else config.places.directory,
            entrances=config.entrances,
            bounds=self._bounds(config),
            jail=jail,
        )
        return FirecrackerVm(config.places, process)

    def _plan_argv(self, program: str, config: VmConfig) -> list[str]:
        arguments = plan_arguments(config)
        if not self._jailer:
            return [program, "--id", "banger", *arguments]
        bounds = {"no-file": _OWN_FILES, "fsize": longest_file(config)}
        return jailer.plan_argv(find_program(self._jailer), program, config, bounds, arguments)

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        return FirecrackerVm(places, process)

    def forget_frozen(self, places: VmPlaces) -> None:
        for path in (names.memory(places.directory), names.state(places.directory)):
            remove_tree(path)

    async def _probe(self) -> DriverInfo:
        try:
            path = find_program(self._program)
            said = (await run([path, "--version"])).stdout.decode("utf-8", "replace")
        except Error as exc:
            return DriverInfo(self.name, "", "", "", (), f"{exc.message}: {exc.hint}")
        version = versions.read_version(said)
        if version is None:
            return DriverInfo(self.name, "", "", path, (), f"{path} does not print its version")
        file = os.stat(path)
        build = f"{version} {file.st_size} {file.st_mtime_ns}"
        accels = ("kvm",) if cpu.check_kvm().usable else ()
        problem = versions.problem_of(version) or await self._problem_of_jailer(path, version)
        unknown = [] if problem else await probe.find_unknown(path)
        no_copies = [
            f"Firecracker {version}: {each.lack.words}" for each in unknown if each.needed.is_of_copies
        ]
        self._why_no_restore = versions.why_no_restore(version) or next(iter(no_copies), "")
        lacks = (*versions.lacks_of(version), *(each.lack for each in unknown))
        deafens = versions.deafens(version)
        return DriverInfo(
            self.name,
            str(version),
            build,
            path,
            accels,
            problem,
            lacks,
            deafens,
            jail=self.capabilities.own_jail,
        )

    async def _problem_of_jailer(self, program: str, version: versions.Version) -> str:
        if not self._jailer:
            return ""
        try:
            said = (await run([find_program(self._jailer), "--version"])).stdout.decode("utf-8", "replace")
        except Error as exc:
            return f"{exc.message}: {exc.hint}"
        missing = dict((await in_thread(look)).missing)
        found = versions.read_version(said)
        return jailer.problem_of(program, version, found, missing, root=os.geteuid() == 0)


def find_program(name: str) -> str:
    """Its path. Debian has no package of it. Raises `tool_missing`."""
    try:
        return find_tool(name)
    except Error as exc:
        hint = "put it into PATH, or name its path in config.toml: docs/vmm.md"
        raise Error(exc.code, exc.message, hint) from exc


def longest_file(config: VmConfig) -> int:
    """Length in bytes of the longest file that Firecracker can write, also after a guest has taken it over. A disk does
    not grow beyond what its VM was configured with."""
    disk_bytes = max(config.disk_bytes, foreign_size(names.disk(config.places.directory)))
    return max(disk_bytes, config.memory_mib * MIB) + _LEAST_FILE_BYTES


def users_reach(device: Path) -> bool:
    """Whether the users that VMMs run as can open the device: by its group, which the jail gives them, or as any user.
    They never have the group of root."""
    try:
        found = device.stat()
    except OSError:
        return False
    return bool(found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0))


def plan_arguments(config: VmConfig) -> list[str]:
    """A clone waits for its state; another VM boots at once."""
    argv = ["--api-sock", names.CONTROL_SOCKET, "--level", "Error", "--metrics-path", names.METRICS]
    return argv if config.frozen is not None else [*argv, "--config-file", names.CONFIGURATION]


def prepare_jail(config: VmConfig) -> Jail:
    """What Firecracker needs of the host. To write: the disk, the files for a capture, the directory of its sockets."""
    return Jail(
        read=(config.vmlinux, config.initramfs, config.modules_disk, config.places.directory),
        write=names.written(config.places),
        sockets=(names.sockets(config.places),),
        devices=(KVM,),
        user=config.user,
        tap=config.link.fd if isinstance(config.link, Tap) else -1,
    )


def make_surroundings(config: VmConfig) -> None:
    """What Firecracker finds in the VM's directory. What an earlier process left is gone: it would not start where its
    sockets are."""
    directory, sockets = config.places.directory, names.sockets(config.places)
    remove_tree(sockets)
    ensure_private_directory(str(sockets))
    for path in names.only_while_it_runs(directory):
        remove_tree(path)
    (directory / names.SOCKETS_LINK).symlink_to(sockets.absolute())
    (directory / names.MODULES_LINK).symlink_to(config.modules_disk.absolute())
    if config.frozen is None:
        (directory / names.CONFIGURATION).write_text(json.dumps(plan_configuration(config)))
    for name in (names.WRITTEN_STATE, names.WRITTEN_MEMORY):
        (directory / name).touch(mode=0o600)
    make_pipe(names.metrics(config.places))


def hand_over(config: VmConfig, jail: Jail) -> None:
    """With a user of the VMM's own: give it what the VMM writes to, and let it read what the VMM reads. The daemon
    keeps the VM's directory: no VMM can make, rename or remove a file there."""
    if config.user is None:
        return
    directory = config.places.directory
    directory.chmod(0o711)
    for path in (names.sockets(config.places), *names.written(config.places)):
        owners.give(path, config.user)
    read = [names.state(directory), names.memory(directory), directory / names.CONFIGURATION]
    for path in (*(place for place in jail.read if place != directory), *filter(Path.exists, read)):
        owners.make_readable(path)


def _prepare_files(config: VmConfig) -> DiskKind | None:
    """Blocking: copies a disk. The memory of a clone is a link to that of the frozen VM, which it cannot write to, and
    which it maps when it is restored; from then on it does not need the name."""
    directory, frozen = config.places.directory, config.frozen
    for path in (names.memory(directory), names.state(directory)):
        remove_tree(path)
    if frozen is not None:
        link_or_copy(names.state(frozen.directory), names.state(directory))
        link_or_copy(names.memory(frozen.directory), names.memory(directory))
    if names.disk(directory).exists():
        return None
    source = names.disk(frozen.directory) if frozen is not None else config.image_disk
    return make_disk(source, directory, config.disk_bytes)

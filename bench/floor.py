"""The floor under a cold boot: the same QEMU, machine, memory and kernel, and an init that writes one byte.

The machine's flags and the kernel's command line are banger's own functions, so both sides stay alike.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from banger.agent.binary import agent_binary
from banger.host.cpu import architecture, check_kvm
from banger.host.run import find_tool
from banger.kernels.initramfs import Entry, gather_entries, write_cpio
from banger.model.machine import MachineSpec
from banger.vmm.base import VmConfig, VmPlaces
from banger.vmm.link import NoLink
from banger.vmm.qemu import argv, names
from banger.vmm.qemu.driver import measure_tsc_khz
from bench.place import BUILD, IMAGE, ROOT
from bench.static import compile_static

MODULES = ("virtio_ring", "virtio", "virtio_mmio", "virtio_console")
ANSWER_S = 60


class Floor:
    """`boot_ms` measures one boot, of the kernel that is in `kernels`. Files stay below build/bench."""

    def __init__(self, kernels: Path) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        self.binary = find_tool("qemu-system-x86_64")
        self.kernel = next(kernels.glob("*/vmlinux")).parent
        self.initramfs = BUILD / "floor.cpio"
        self.initramfs.write_bytes(write_cpio(self._entries()))
        self.tsc_khz = asyncio.run(measure_tsc_khz(agent_binary(architecture())))

    def boot_ms(self) -> float:
        """From the start of QEMU to the byte and the end of the killed process."""
        place = Path(tempfile.mkdtemp(prefix="floor-", dir="/tmp"))
        config = self._config(place)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as port:
            listener.bind(str(names.agent_socket(config.places)))
            listener.listen(1)
            port.settimeout(ANSWER_S)
            begun = time.perf_counter()
            with subprocess.Popen(
                self._argv(config, listener.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
            ) as process:
                try:
                    port.connect(str(names.agent_socket(config.places)))
                    heard = port.recv(1)
                finally:
                    process.kill()
                    process.wait()
            taken = (time.perf_counter() - begun) * 1000
        if heard != b"!":
            raise SystemExit(f"bench: the floor's guest said nothing, see {config.places.console_log}")
        shutil.rmtree(place)
        return taken

    def _argv(self, config: VmConfig, listener: int) -> list[str]:
        return [
            self.binary,
            *argv.plan_machine(config),
            *argv.plan_memory(config),
            *argv.plan_kernel(config, self.tsc_khz),
            *argv.plan_console(config),
            *argv.plan_agent_port(listener),
        ]

    def _config(self, place: Path) -> VmConfig:
        spec = MachineSpec(image=IMAGE)
        return VmConfig(
            places=VmPlaces(name="floor", directory=place, run_directory=place),
            marker="",
            vmlinux=self.kernel / "vmlinux",
            initramfs=self.initramfs,
            modules_disk=Path(),
            image_disk=Path(),
            disk_bytes=0,
            cpus=spec.cpus,
            memory_mib=spec.memory_mib,
            accel="kvm" if check_kvm().usable else "tcg",
            link=NoLink(),
        )

    def _entries(self) -> list[Entry]:
        init = BUILD / "floor-init"
        compile_static(ROOT / "bench" / "floor_init.c", init)
        present = (self.kernel / "order").read_text().split()
        names = [name for name in present if name.removesuffix(".ko").replace("-", "_") in MODULES]
        return gather_entries(self.kernel, names, init.read_bytes())

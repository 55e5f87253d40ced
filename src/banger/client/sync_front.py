# Written by `python -m banger.api.generate` from aio_front.py; not by hand.
# fmt: off
"""What people do most, as methods of the client itself: run a machine, pull an image, check this host (blocking)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from banger.client import calls, results
from banger.client.sync_methods import Carrier, entered
from banger.client.sync_vm import Vm
from banger.client.sync_waiting import watch_to_end
from banger.client.planning import Availability, find_availability, plan_options
from banger.client.results import Env, Heard, Text
from banger.errors import Error
from banger.model.sizes import parse_size

if TYPE_CHECKING:
    from typing import Unpack

    from banger.client.calls import SpecOptions
    from banger.model.image import Image, Pushed


class Front(Carrier):
    """Lives as long as its client."""

    @entered
    def run(
        self,
        image: str,
        argv: Sequence[Text] | Text = (),
        *,
        shell: bool = False,
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        memory: str = "",
        disk: str = "",
        progress: Heard | None = None,
        timeout_s: float | None = None,
        **options: Unpack[SpecOptions],
    ) -> Vm:
        """Make a machine and start it; the image is pulled if it is not here. In a `with`, the machine is
        deleted at the end of the block.

        `memory` and `disk` are sizes, such as "512MiB". `argv` is its main command: the machine ends with it. Without
        one, it runs until it is stopped. `timeout_s` limits the start. `options` are the other fields of `MachineSpec`.
        """
        spec = plan_options(memory, disk, options)
        command = None
        if argv or env or cwd or user:
            command = results.plan_command(argv, shell=shell, env=env, cwd=cwd, user=user)
        key = os.urandom(16).hex()  # a request that got no answer can be sent again
        call = calls.machines_create(image, command=command, idempotency_key=key, **spec)
        vm = Vm(self, self.perform(call))
        try:
            vm.ensure_started(progress, timeout_s)
        except BaseException:
            vm.discard()
            raise
        return vm

    def machine(self, name: str) -> Vm:
        """The machine of that name or id, which exists. Raises `machine_not_found`."""
        return Vm(self, self.perform(calls.machines_get(name)))

    def pull(
        self,
        ref: str,
        *,
        force: bool = False,
        platform: str = "",
        size: str = "",
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Image:
        """Fetch or build an image, and wait for it. `size` is the size of its disk, such as "10GiB"."""
        size_bytes = parse_size(size) if size else 0
        begun = self.perform(
            calls.images_pull(ref, force=force, platform=platform, size_bytes=size_bytes)
        )
        return results.made_by(watch_to_end(self, begun.id, progress, timeout_s), begun)

    def push(
        self,
        name: str,
        ref: str = "",
        *,
        insecure: bool = False,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Pushed:
        """Send an image to a registry, and wait for it. Without `ref` the image goes where its name says."""
        begun = self.perform(calls.images_push(name, ref=ref, insecure=insecure))
        return results.made_by(watch_to_end(self, begun.id, progress, timeout_s), begun)

    def local_availability(self) -> Availability:
        """Whether machines can run on this host. Starts a daemon if none runs; does not raise."""
        try:
            info = self.perform(calls.system_info())
        except Error as exc:
            return Availability(False, reason=exc.message)
        return find_availability(
            [(one.name, one.usable, one.reason) for one in info.accelerators],
            [(one.name, one.problem) for one in info.drivers],
        )

"""What a machine's image gives its commands, for machines whose record does not have it: made by an earlier version,
restored after its deletion, or from a snapshot of another image. Each start of a machine records it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from banger.errors import Error
from banger.images.records.library import ImageLibrary
from banger.machines.keep.registry import Registry
from banger.machines.life.live import LiveMachine
from banger.machines.life.main_command import surroundings_of


def complete_surroundings(registry: Registry, images: ImageLibrary) -> Callable[[LiveMachine], None]:
    """What hears of each machine that goes on. If the machine's image is gone, its commands get nothing of it."""

    def complete(live: LiveMachine) -> None:
        machine = live.machine
        if machine.surroundings is None and (image := images.find(machine.spec.image)) is not None:
            with contextlib.suppress(Error):  # the store cannot be written: the machine goes on
                signal = machine.stop_signal or image.config.stop_signal
                registry.change(machine, surroundings=surroundings_of(image.config), stop_signal=signal)

    return complete

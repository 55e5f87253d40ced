"""Bells of machines that sleep: descriptors of the keeper that become readable when a neighbour on a named network
sends something to the machine. One for each sleeping machine; a bell that has rung is taken down."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Bells:
    """Lives as long as the daemon; used from its event loop. Owns the descriptors."""

    def __init__(self) -> None:
        self._hung: dict[str, int] = {}

    def hang(self, machine: str, descriptor: int, ring: Callable[[], object]) -> None:
        """Call `ring` once when the descriptor becomes readable, unless the bell is taken down before."""
        self.take_down(machine)
        self._hung[machine] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._rung, machine, ring)

    def _rung(self, machine: str, ring: Callable[[], object]) -> None:
        self.take_down(machine)
        ring()

    def take_down(self, machine: str) -> None:
        descriptor = self._hung.pop(machine, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def take_all_down(self) -> None:
        for machine in tuple(self._hung):
            self.take_down(machine)

"""Clones that wait for the next machine: restored, with a placeholder's identity, rehearsed, their vCPUs stopped.

A start consists mostly of the restore, and emulated code runs slowly the first time: a clone that has answered once
already answers its user in a tenth of the time. A waiting clone costs memory and no CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from banger.errors import Error
from banger.guests.guest import Guest, clone, take_places, with_disk_synced
from banger.guests.identity import configure, invent_identity, machine_id_of
from banger.guests.links import likely_network
from banger.guests.taps import NO_TAPS, Taps
from banger.host import cpu
from banger.host.background import in_background, log_fault
from banger.host.paths import Paths
from banger.host.proc import is_alive
from banger.model.settings import PoolSettings
from banger.model.sizes import MIB
from banger.resources import teardown
from banger.store.resources import ResourceTable
from banger.templates.library import TemplateLibrary
from banger.templates.making import PLACEHOLDER, rehearse
from banger.templates.wanted import Wanted
from banger.vmm.base import VmPlaces
from banger.vmm.link import mac_of

log = logging.getLogger("banger.pool")

OWNER = "pool-"
_ANSWER_S = 30.0
# How long a machine that was a waiting clone has the processors to itself, most often until its command has ended.
_REST_S = 0.15
# The most memory that one more waiting clone takes.
_CLONE_BYTES = 128 * MIB
# Each size of each image has its own template.
_SHELVES_MAX = 64


@dataclass
class Shelf:
    """The waiting clones of one template. `used`: time of the last use, on the monotonic clock."""

    wanted: Wanted
    used: float
    waiting: deque[tuple[str, Guest]] = field(default_factory=deque)


class Pool:
    """Lives as long as the daemon; used from its event loop. Makes one clone at a time, only while no machine starts,
    and not at once when a clone was taken: the next one would take its time from the user who waits. When machines
    start that no clone waited for, it does not wait."""

    def __init__(
        self,
        paths: Paths,
        resources: ResourceTable,
        templates: TemplateLibrary,
        settings: PoolSettings,
        taps: Taps = NO_TAPS,
    ) -> None:
        self._taps = taps
        self._paths = paths
        self._resources = resources
        self._templates = templates
        self._settings = settings
        self._shelves: dict[str, Shelf] = {}
        self._starting = 0
        self._refilling: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._resting_until = 0.0
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False
        self._dropping: set[asyncio.Task[None]] = set()
        templates.ready_of = self.ready
        templates.on_discard = self._drop_soon

    @contextlib.contextmanager
    def machine_starts(self) -> Iterator[None]:
        """The block in which a machine starts; meanwhile the pool makes no clones."""
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1
            self._refill_soon()

    def ready(self, template_id: str) -> int:
        shelf = self._shelves.get(template_id)
        return len(shelf.waiting) if shelf else 0

    async def take(self, wanted: Wanted, heir: str, name: str) -> Guest | None:
        """A waiting clone, or None if there is none. From now on the clone belongs to `heir` and is called `name`. Its
        files stay in the directory in which it waited. Its vCPUs are stopped, and it has no machine's identity yet."""
        if not self._settings.per_template:
            return None
        shelf = self._shelf_of(wanted)
        shelf.wanted, shelf.used = wanted, time.monotonic()
        while shelf.waiting:
            owner, guest = shelf.waiting[0]
            if is_alive(guest.vm.process) and guest.connection.lost is None:
                self._hand_over(owner, guest, heir, name)
                self._resting_until = time.monotonic() + _REST_S
                shelf.waiting.popleft()
                return guest
            shelf.waiting.popleft()
            await self._drop(owner, guest)
        self._resting_until = 0.0
        return None

    def _shelf_of(self, wanted: Wanted) -> Shelf:
        """The shelf of a template. When there are too many shelves, a new shelf replaces the least recently used."""
        shelf = self._shelves.get(wanted.id)
        if shelf is None:
            while len(self._shelves) >= _SHELVES_MAX:
                self._drop_soon(min(self._shelves, key=lambda shelf_id: self._shelves[shelf_id].used))
            shelf = self._shelves[wanted.id] = Shelf(wanted, 0)
        return shelf

    async def drain(self, template_id: str | None = None) -> None:
        """Release the waiting clones of one template, or of all templates."""
        if template_id is None and self._refilling is not None:
            self._refilling.cancel()
            await asyncio.wait([self._refilling])
        for shelf_id in [template_id] if template_id else [*self._shelves]:
            await self._clear(self._shelves.pop(shelf_id, None))

    async def _clear(self, shelf: Shelf | None) -> None:
        while shelf and shelf.waiting:
            await self._drop(*shelf.waiting.popleft())

    async def close(self) -> None:
        self._closed = True
        for timer in (self._expiry, self._rest):
            if timer is not None:
                timer.cancel()
        await asyncio.gather(*self._dropping, self.drain())

    def _hand_over(self, owner: str, guest: Guest, heir: str, name: str) -> None:
        """One statement in the store: if the daemon dies at any moment, each resource has exactly one owner."""
        self._resources.hand_over(owner, heir)
        guest.places = dataclasses.replace(guest.places, name=name)
        guest.connection.machine = name

    async def _drop(self, owner: str, guest: Guest) -> None:
        await guest.let_go()
        await teardown.release(self._resources, owner)

    def _refill_soon(self) -> None:
        if self._refilling is not None or self._starting or self._closed or not self._lacking():
            return
        rest_s = self._resting_until - time.monotonic()
        if rest_s > 0:
            if self._rest is None:
                self._rest = asyncio.get_running_loop().call_later(rest_s, self._refill_after_rest)
        else:
            self._refilling = asyncio.create_task(self._refill(), name="refill the pool")
            self._refilling.add_done_callback(self._refilled)

    def _refill_after_rest(self) -> None:
        self._rest = None
        self._refill_soon()

    def _refilled(self, done: asyncio.Task[None]) -> None:
        self._refilling = None
        log_fault(done)
        if not done.cancelled() and done.exception() is None:
            self._refill_soon()
            self._expire_later()

    def _lacking(self) -> Shelf | None:
        """The most recently used shelf that has too few clones; None if there is none, or no memory for one more
        clone."""
        wanting = [s for s in self._shelves.values() if len(s.waiting) < self._settings.per_template]
        if not wanting or cpu.available_memory_bytes() < self._settings.reserve_bytes + _CLONE_BYTES:
            return None
        return max(wanting, key=lambda shelf: shelf.used)

    async def _refill(self) -> None:
        shelf = self._lacking()
        if shelf is None:
            return
        token = os.urandom(4).hex()
        owner = OWNER + token
        try:
            guest = await self._make(shelf.wanted, owner, token)
        except BaseException as exc:
            await asyncio.shield(teardown.release(self._resources, owner))
            if isinstance(exc, Error):
                log.warning("no clone of %s in waiting: %s", shelf.wanted.image.name, exc.message)
                await self.drain(shelf.wanted.id)
                return
            raise
        if guest is None:  # the template was deleted
            await self.drain(shelf.wanted.id)
        elif self._shelves.get(shelf.wanted.id) is shelf:
            shelf.waiting.append((owner, guest))
        else:  # the shelf was dropped meanwhile
            await self._drop(owner, guest)

    async def _make(self, wanted: Wanted, owner: str, token: str) -> Guest | None:
        frozen = await self._templates.find(wanted.id)
        if frozen is None:
            return None
        places = VmPlaces(
            name=f"pool-{token}",
            directory=self._paths.machines / token,
            run_directory=self._paths.sockets / token,
        )
        config = wanted.config_of_maker(places, owner)
        config = dataclasses.replace(config, frozen=frozen)
        take_places(self._resources, owner, places)
        root_disk = await wanted.driver.prepare(config)
        coming = clone(self._resources, self._taps, owner, config, wanted.driver)
        guest = await with_disk_synced(wanted.driver, places, coming)
        mac, network = mac_of(config.link), likely_network(config.link)
        identity = invent_identity(PLACEHOLDER, mac, network, wanted.init, machine_id=machine_id_of(token))
        try:
            await configure(guest.connection, identity, wanted.init, config.disk_bytes, _ANSWER_S)
            guest.has_ids, guest.mac, guest.address = True, mac, network.host_address
            guest.root_disk = root_disk
            await rehearse(guest.connection)
            await guest.vm.pause()
        except BaseException:
            await guest.let_go()
            raise
        return guest

    def _expire_later(self) -> None:
        """Start the timer once clones wait; a daemon without a pool never wakes for it."""
        if self._expiry is None and any(shelf.waiting for shelf in self._shelves.values()):
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self._settings.keep + 1, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        oldest = time.monotonic() - self._settings.keep
        old = [shelf_id for shelf_id, shelf in self._shelves.items() if shelf.used < oldest]
        for shelf_id in old:
            self._drop_soon(shelf_id)
        self._expire_later()

    def _drop_soon(self, template_id: str) -> None:
        """Remove the shelf at once, and release its clones in the background."""
        shelf = self._shelves.pop(template_id, None)
        if shelf is not None:
            task = in_background(self._clear(shelf), "drop waiting clones")
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

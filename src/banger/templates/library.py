"""The templates of this host: found by what they depend on, made once, removed when they are of no use.

The directory of a template is its only record: the directory gets its name when it is complete, and its modification
time says when the template was last used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from banger.agent.binary import agent_binary
from banger.errors import Error
from banger.guests.taps import NO_TAPS, Taps
from banger.host import cpu
from banger.host.bounded import Bounded
from banger.host.fs import disk_usage_bytes, remove_tree
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.images.records.library import ImageLibrary
from banger.kernels.initramfs import ensure_initramfs
from banger.kernels.library import KernelLibrary
from banger.model.event import Tell, tell_nobody
from banger.model.image import Pruned
from banger.model.operation import Report
from banger.model.template import Shape, Template
from banger.resources import teardown
from banger.store.resources import ResourceTable
from banger.templates.frozen import META, Checks, read_meta
from banger.templates.making import TemplateMeta, make_template
from banger.templates.wanted import Wanted
from banger.vmm.drivers import Drivers
from banger.vmm.frozen import Frozen

log = logging.getLogger("banger.templates")

UNUSED_S = 30 * 86400.0
_FIRST_RETRY_S = 10.0
_LONGEST_RETRY_S = 600.0
_LEAST_PREFIX = 4
_REMEMBERED = 256
# Tells one template from a later one with the same id; None: there is no template.
Stamp = tuple[int, int] | None
Templates = list[Template]  # below, `list` is the name of a method


class Failed(NamedTuple):
    """A template that could not be made. `retry_at`: time of the next attempt, on the monotonic clock."""

    retry_at: float
    pause_s: float
    why: str


class TemplateLibrary:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(
        self,
        paths: Paths,
        resources: ResourceTable,
        images: ImageLibrary,
        kernels: KernelLibrary,
        drivers: Drivers,
        taps: Taps = NO_TAPS,
    ) -> None:
        self._taps = taps
        self._paths = paths
        self._resources = resources
        self._images = images
        self._kernels = kernels
        self._drivers = drivers
        self._making: dict[str, asyncio.Task[None]] = {}
        self._checks: Bounded[str, tuple[Stamp, Checks]] = Bounded(_REMEMBERED)
        self._checking = asyncio.Lock()
        self._failed: Bounded[str, Failed] = Bounded(_REMEMBERED)
        self.ready_of: Callable[[str], int] = lambda _: 0  # how many clones wait; the pool knows
        self.on_discard: Callable[[str], None] = lambda _: None
        self.tell: Tell = tell_nobody

    async def find(self, template_id: str, report: Report | None = None) -> Frozen | None:
        """The template, if its files are what banger wrote. Checks the files before the template's first use in this
        daemon, and again after they have changed. Discards a damaged template and returns None."""
        directory = self._directory(template_id)
        if not directory.exists():
            return None
        stamp = _stamp(directory)
        try:
            known, checks = self._checks.get(template_id, (None, None))
            if checks is None or known != stamp:
                checks = Checks(directory, read_meta(directory, TemplateMeta).sums)
                self._checks[template_id] = stamp, checks
            if not checks.is_right():
                async with self._checking:  # another task may have checked it meanwhile
                    if not checks.is_right():
                        await in_thread(checks.check)
        except Error as exc:
            if _stamp(directory) == stamp:  # else it was discarded meanwhile
                await self._discard_damaged(template_id, exc.message, report)
            return None
        self._touch(directory)
        return Frozen(directory)

    async def ensure(self, wanted: Wanted, report: Report, name: str) -> Frozen:
        """The template of a shape, made now if there is none; other callers that want it meanwhile wait for the same.

        The caller that begins to make it gets the error if that fails. The other callers, and all callers for a while
        afterwards, get `unsupported`."""
        found = await self.find(wanted.id, report)
        if found is not None:
            return found
        failed = self._failed.get(wanted.id)
        if failed is not None and time.monotonic() < failed.retry_at:
            raise _no_template(wanted, failed)
        making = self._making.get(wanted.id)
        if making is None:
            report(
                "template", f"booting {wanted.image.name} once, to start machines from this template later"
            )
            making = asyncio.create_task(self._make(wanted, name), name=f"template {wanted.id[:12]}")
            making.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._making[wanted.id] = making
            await asyncio.shield(making)
        else:
            report("template", f"waiting for the template of {wanted.image.name}")
            await asyncio.wait([making])
        found = await self.find(wanted.id, report)
        if found is None:
            raise _no_template(wanted, self._failed.get(wanted.id))
        return found

    async def discard(self, template_id: str, reason: str) -> Error | None:
        """Remove the template. The next machine that wants it makes it again, even while the old files are being
        removed. Returns the error if files remain."""
        short = template_id[:12]
        self.tell("template.discarded", f"template/{short}", f"template {short} was discarded: {reason}")
        self._checks.pop(template_id, None)
        self.on_discard(template_id)
        directory = self._directory(template_id)
        try:
            with teardown.set_aside(self._resources, directory) as aside:
                await in_thread(remove_tree, aside)
        except FileNotFoundError:
            pass
        except Error as exc:
            return exc
        except OSError as exc:  # the directory still has its name
            return Error("not_released", f"cannot remove {directory}: {exc.strerror}", "try again")
        return None

    async def list(self) -> Templates:
        current = await self._inputs()
        found = await in_thread(self._describe_all, current)
        for template in found:
            template.ready = self.ready_of(template.id)
        return sorted(found, key=lambda t: t.used, reverse=True)

    async def get(self, prefix: str) -> Template:
        """The template with this id, or with an id that begins with `prefix`. Raises `template_not_found`."""
        everyone = await self.list()
        found = [t for t in everyone if t.id.startswith(prefix)] if len(prefix) >= _LEAST_PREFIX else []
        if len(found) != 1:
            raise Error(
                "template_not_found",
                f"{len(found)} templates have an id that begins with {prefix!r}"
                if found
                else f"no template {prefix!r}",
                "banger template list",
            )
        return found[0]

    async def delete(self, prefix: str) -> None:
        """Machines that were cloned from the template keep all that they need. Raises `template_not_found`,
        `not_released`."""
        template = await self.get(prefix)
        error = await self.discard(template.id, "on request")
        if error is not None:
            raise error

    async def prune(self, *, everything: bool, dry_run: bool) -> Pruned:
        """Remove templates that are stale or were not used for a month; with `everything` all templates."""
        limit = datetime.fromtimestamp(time.time() - UNUSED_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        doomed = [t for t in await self.list() if everything or t.stale or t.used < limit]
        kept = []
        for template in () if dry_run else doomed:
            if await self.discard(template.id, template.stale or "it was pruned") is not None:
                kept.append(template)
        return Pruned(
            count=len(doomed) - len(kept),
            freed_bytes=sum(template.size_bytes for template in doomed if template not in kept),
            directory=str(self._paths.templates),
            dry_run=dry_run,
            kept=[f"template {template.id[:12]}" for template in kept],
        )

    async def close(self) -> None:
        """Cancel the templates that are being made."""
        tasks = [*self._making.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=15)

    async def _make(self, wanted: Wanted, name: str) -> None:
        try:
            self._paths.templates.mkdir(parents=True, exist_ok=True, mode=0o700)
            final = self._directory(wanted.id)
            await make_template(self._paths, self._resources, self._taps, wanted, final, name)
            short, image = wanted.id[:12], wanted.image.name
            message = f"template {short} of {image} was made"
            self.tell("template.made", f"template/{short}", message, image=image)
            self._failed.pop(wanted.id, None)
        except Error as exc:
            failed = plan_retry(self._failed.get(wanted.id), time.monotonic(), exc.message)
            self._failed[wanted.id] = failed
            words = f"a template of {wanted.image.name} could not be made: {failed.why}"
            self.tell("template.failed", f"template/{wanted.id[:12]}", words, image=wanted.image.name)
            raise
        finally:
            del self._making[wanted.id]

    async def _discard_damaged(self, template_id: str, reason: str, report: Report | None) -> None:
        log.warning("template %s is discarded: %s", template_id[:12], reason)
        if report is not None:
            report("warning", f"a damaged template is made again: {reason}")
        await self.discard(template_id, reason)

    def _describe_all(self, current: _Inputs) -> Templates:
        """Blocking."""
        found = (self._describe(directory, current) for directory in self._directories())
        return [template for template in found if template is not None]

    def _describe(self, directory: Path, current: _Inputs) -> Template | None:
        try:
            meta = read_meta(directory, TemplateMeta)
            used = datetime.fromtimestamp(directory.stat().st_mtime, UTC)
            size_bytes = disk_usage_bytes(directory)
        except (Error, OSError):
            return None  # being removed, or damaged: `find` will see that
        return Template(
            id=directory.name,
            image=meta.image,
            kernel=meta.kernel,
            shape=meta.shape,
            created=meta.created,
            used=used.strftime("%Y-%m-%dT%H:%M:%SZ"),
            boot_ms=meta.boot_ms,
            size_bytes=size_bytes,
            ready=0,
            stale=current.why_stale(meta.shape),
        )

    async def _inputs(self) -> _Inputs:
        agent = agent_binary(cpu.architecture())
        kernels = self._kernels.list()
        initramfs = {
            (await in_thread(ensure_initramfs, self._paths, directory, agent)).stem
            for directory in map(self._kernels.directory, kernels)
            if directory.exists()
        }
        builds = {info.build for info in await self._drivers.infos()}
        return _Inputs(
            {image.digest for image in self._images.list()},
            {kernel.digest for kernel in kernels},
            initramfs,
            builds,
        )

    def _directories(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            yield from (p for p in self._paths.templates.iterdir() if not p.name.startswith("."))

    def _directory(self, template_id: str) -> Path:
        return self._paths.templates / template_id

    def _touch(self, directory: Path) -> None:
        with contextlib.suppress(OSError):
            os.utime(directory)


def plan_retry(before: Failed | None, now_s: float, why: str) -> Failed:
    """The next attempt after a failure. Pure. The host may have been slow for a moment only, so the first pause is
    short; each further pause is twice as long."""
    pause_s = min(_LONGEST_RETRY_S, 2 * before.pause_s) if before is not None else _FIRST_RETRY_S
    return Failed(now_s + pause_s, pause_s, why)


def _no_template(wanted: Wanted, failed: Failed | None) -> Error:
    why = f": {failed.why}; the next attempt is {failed.pause_s:g} s after that" if failed is not None else ""
    return Error("unsupported", f"a template of {wanted.image.name} could not be made a moment ago{why}")


class _Inputs:
    """The images, kernels, agents and VMM builds that new templates would be made from."""

    def __init__(self, images: set[str], kernels: set[str], initramfs: set[str], builds: set[str]) -> None:
        self._images = images
        self._kernels = kernels
        self._initramfs = initramfs
        self._builds = builds

    def why_stale(self, shape: Shape) -> str:
        """Why a template of this shape cannot be used any more; empty if it can."""
        if shape.image_digest not in self._images:
            return "its image has changed or is gone"
        if shape.kernel_digest not in self._kernels:
            return "its kernel has changed or is gone"
        if shape.initramfs not in self._initramfs:
            return "the agent has changed"
        if shape.driver_build.rpartition(" ")[0] not in self._builds:
            return f"{shape.driver} has changed"
        return "" if shape.host_cpu == cpu.model_name() else "the processor has changed"


def _stamp(directory: Path) -> Stamp:
    """Identifies `meta.json`. Not by its inode number alone, because file systems use numbers again."""
    try:
        meta = os.stat(directory / META)
    except FileNotFoundError:
        return None
    return meta.st_ino, meta.st_mtime_ns

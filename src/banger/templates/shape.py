"""A frozen machine's shape (all that the frozen machine depends on), and the id that the shape gives."""

from __future__ import annotations

import dataclasses
import hashlib

import msgspec

from banger.host import cpu
from banger.model.image import Image, Kernel
from banger.model.template import Shape
from banger.vmm.base import Driver, VmConfig
from banger.vmm.link import kind_of

# Version of what banger does before the freeze: a change of that must change the ids of templates.
_FORMAT = 1
# A root disk has this size at the freeze, so that clones of the usual size need not grow it.
USUAL_DISK_BYTES = 4 << 30


async def prepare_shape(image: Image, kernel: Kernel, config: VmConfig, driver: Driver, init: str) -> Shape:
    """The shape of the template for a machine of `config`. Machines of one shape differ in nothing but a larger
    disk."""
    disk_bytes = max(image.size_bytes, min(config.disk_bytes, USUAL_DISK_BYTES))
    usual = dataclasses.replace(config, disk_bytes=disk_bytes)
    return await prepare_machine_shape(image.digest, kernel, usual, driver, init)


async def prepare_machine_shape(
    image_digest: str, kernel: Kernel, config: VmConfig, driver: Driver, init: str
) -> Shape:
    """The shape of a running machine."""
    return Shape(
        format=_FORMAT,
        image_digest=image_digest,
        kernel_digest=kernel.digest,
        initramfs=config.initramfs.stem,
        driver=driver.name,
        driver_build=await driver.build_of(config),
        host_cpu=cpu.model_name(),
        accel=config.accel,
        cpus=config.cpus,
        memory_mib=config.memory_mib,
        init=init,
        disk_bytes=config.disk_bytes,
        link=kind_of(config.link),
    )


def shape_id(shape: Shape) -> str:
    """The id of a template with this shape: 64 hex digits."""
    return hashlib.sha256(msgspec.json.encode(shape)).hexdigest()


def shape_difference(shape: Shape, driver: str, driver_build: str) -> str:
    """Why a frozen machine of that shape cannot continue on this host; empty if it can."""
    if shape.driver != driver:
        return f"the VMM was {shape.driver}, not {driver}"
    if shape.driver_build != driver_build:
        return f"{driver} had another version or other arguments"
    if shape.host_cpu != cpu.model_name():
        return f"the processor was {shape.host_cpu or 'another'}"
    return ""

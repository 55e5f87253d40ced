"""A tree of files → a root disk: ext4 in a sparse file, sized by its contents, able to grow while mounted.

Made by mke2fs, which reads owners, modes, devices and extended attributes from the tree. Everything mke2fs could
take from the host's configuration, the clock or chance is said outright; UUID and hash seed come from the digest
of the contents.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from banger.errors import Error
from banger.host.fs import open_partial, require_free
from banger.host.run import run
from banger.images import survey as survey_program
from banger.images.namespace import open_work_directory, plan_as_root
from banger.model.sizes import MIB, TIB

BLOCK = 4096
_HEADROOM_BYTES = 64 * MIB
_STEP_BYTES = 4 * MIB
_GROWS_TO_BYTES = 4 * TIB
_BYTES_PER_INODE = 16384
_JOURNAL_MIB = 16
_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"
    "huge_file,dir_nlink,extra_isize,metadata_csum"
)


@dataclass(frozen=True)
class Survey:
    """What `images.survey` says of a tree."""

    digest: str
    blocks: int
    inodes: int


async def survey_tree(tree: Path, ranges: bool) -> Survey:
    """Raises `image_build_failed` when something in the tree cannot be read."""
    argv = [sys.executable, "-I", survey_program.__file__, str(tree)]
    try:
        result = await run(plan_as_root(argv, ranges), timeout_s=600)
    except Error as exc:
        if exc.code != "tool_failed":
            raise
        raise Error(
            "image_build_failed",
            f"cannot read {tree}: {exc.message}",
            "every file must be readable",
            exc.details,
        ) from exc
    return msgspec.json.decode(result.stdout, type=Survey)


async def make_disk(tree: Path, survey: Survey, final: Path, ranges: bool, epoch: int) -> None:
    """Write the disk of a surveyed tree, under its final name only when it is whole.

    Raises `insufficient_disk`, `image_build_failed`."""
    require_free(final.parent, survey.blocks * BLOCK + _HEADROOM_BYTES, "the root disk")
    async with open_work_directory(final.parent) as work:
        made = work / "disk"
        try:
            await run(
                plan_as_root(plan_mke2fs(tree, made, survey), ranges),
                env={"E2FSPROGS_FAKE_TIME": str(epoch), "MKE2FS_CONFIG": "/dev/null"},
                timeout_s=1800,
            )
        except Error as exc:
            if exc.code != "tool_failed":
                raise
            raise Error("image_build_failed", exc.message, exc.hint, exc.details) from exc
        await asyncio.to_thread(_publish, made, final)


def _publish(made: Path, final: Path) -> None:
    made.chmod(0o444)
    with open_partial(final) as partial:
        os.rename(made, partial)


def plan_size(survey: Survey) -> int:
    """Bytes: the contents, a quarter more, 64 MiB; whole steps of 4 MiB."""
    wanted = survey.blocks * BLOCK * 5 // 4 + _HEADROOM_BYTES
    return -(-wanted // _STEP_BYTES) * _STEP_BYTES


def plan_mke2fs(tree: Path, out: Path, survey: Survey) -> list[str]:
    size = plan_size(survey)
    inodes = max(size // _BYTES_PER_INODE, survey.inodes * 5 // 4 + 1024)
    identity = str(uuid.UUID(survey.digest[:32]))
    extended = (
        f"root_owner=0:0,hash_seed={identity},resize={_GROWS_TO_BYTES // BLOCK},"
        # A new sparse file reads as zeros, so the journal's need not be written.
        "lazy_itable_init=0,lazy_journal_init=1"
    )
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-m", "0"),
        *("-O", _FEATURES, "-J", f"size={_JOURNAL_MIB}", "-N", str(inodes), "-U", identity),
        *("-E", extended, "-d", str(tree), str(out), str(size // BLOCK)),
    ]

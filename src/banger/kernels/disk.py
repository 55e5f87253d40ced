"""The disk of modules: a read-only ext4 file system that holds `<release>/`, for the guest's /lib/modules."""

from __future__ import annotations

import os
from pathlib import Path

from banger.host.jail import Jail, bounds_of_helper
from banger.host.run import run
from banger.host.thread import in_thread
from banger.model.sizes import GIB

_BLOCK = 4096
_INODE_BYTES = 256
_DEFAULTS = Path("/etc/mke2fs.conf")
_MOUNTS = Path(
    "/proc/mounts"
)  # tune2fs looks there whether the disk is mounted; it sees the mounts of its jail


async def make_modules_disk(tree: Path, out: Path, uuid: str) -> None:
    """Make the disk from `tree`, which holds `<release>/` only. All its files belong to root, whichever user makes it.

    Raises `tool_failed`."""
    blocks, inodes = await in_thread(measure, tree)
    await in_thread(out.touch)
    jail = Jail(read=(tree, *filter(Path.exists, [_DEFAULTS])), write=(out,), bounds=bounds_of_helper(GIB))
    await run(
        plan_mke2fs(tree, out, uuid, blocks, inodes),
        # Files of an ordinary user have the user's ids; where the user is root, they belong to root.
        before=[] if os.geteuid() == 0 else ["unshare", "--map-root-user"],
        jail=jail,
        env={"E2FSPROGS_FAKE_TIME": "1"},
        timeout_s=300,
    )
    # With this flag no kernel mounts the disk for writing, so all VMs can share the one file.
    jail = Jail(read=(_MOUNTS,), write=(out,), bounds=bounds_of_helper(GIB))
    await run(["tune2fs", "-O", "read-only", str(out)], jail=jail)
    await in_thread(out.chmod, 0o444)


def measure(tree: Path) -> tuple[int, int]:
    """The number of blocks of contents, and of inodes, below `tree`. Blocking."""
    blocks, inodes = 1, 1
    for root, directories, files in os.walk(tree):
        for name in files:
            blocks += -(-os.lstat(os.path.join(root, name)).st_size // _BLOCK)
        inodes += len(directories) + len(files)
        blocks += len(directories)
    return blocks, inodes


def plan_mke2fs(tree: Path, out: Path, uuid: str, blocks: int, inodes: int) -> list[str]:
    """No journal, no reserved blocks, no space to grow: only the contents and their metadata."""
    total_inodes = inodes + 32
    inode_blocks = -(-total_inodes * _INODE_BYTES // _BLOCK)
    total_blocks = blocks + inode_blocks + (blocks >> 6) + 256
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(_BLOCK), "-m", "0", "-I", str(_INODE_BYTES)),
        *("-O", "^has_journal,^resize_inode,metadata_csum", "-N", str(total_inodes)),
        *("-U", uuid, "-E", f"root_owner=0:0,lazy_itable_init=0,hash_seed={uuid}"),
        *("-d", str(tree), str(out), f"{total_blocks}"),
    ]

"""The table of checks. docs/doctor.md has a row for each; a test compares the two."""

from __future__ import annotations

from banger.doctor import catalogs, daemons, disks, limits, memories, network, stores, tools, users, vmms
from banger.doctor.check import Check, blocking

CHECKS: tuple[Check, ...] = (
    Check("accelerator", "hint", "without KVM a machine computes two to ten times slower", vmms.look_at_accelerator),
    Check("vmm", "problem", "machines run in it", vmms.look_at_vmm),
    Check("trial", "problem", "no machine would run", vmms.look_at_trial),
    Check("agent", "problem", "it is the first program of every machine", vmms.look_at_agent),
    Check("firecracker", "hint", "matters to those who restore machines with it", vmms.look_at_firecracker),
    Check("qemu-img", "warning", "vm commit and snapshot export write disks with it", tools.tools(*tools.QEMU_IMG)),
    Check("e2fsprogs", "warning", "kernels' module disks and vm commit need it", tools.tools(*tools.E2FSPROGS)),
    Check("mmdebstrap", "warning", "the catalog's images are built with it", tools.tools(*tools.MMDEBSTRAP)),
    Check("unpacking", "warning", "kernels come as Debian's packages", tools.tools(*tools.UNPACKING)),
    Check("archive-keys", "warning", "packages are believed only if Debian signed them", tools.look_at_keys),
    Check("archive", "warning", "images and kernels of the catalog are made of its packages", network.look_at_archive),
    Check("catalogs", "warning", "names that only they know mean nothing", catalogs.look_at_catalogs),
    Check("namespaces", "warning", "the catalog's images are built in one", users.look_at_namespaces),
    Check("subuids", "warning", "files of an image that is built have many owners", users.look_at_subuids),
    Check("limits", "hint", "machines run without limits, and those that demand them are refused",
          blocking(limits.look_at_groups)),
    Check("network", "hint", "only what goes beyond user-mode networking would need it", network.look_at_links),
    Check("memory", "warning", "machines that do not fit are refused", blocking(limits.look_at_memory)),
    Check("disk-room", "warning", "machines stop when their disk's file has no room", blocking(disks.look_at_room)),
    Check("file-system", "warning", "clones and templates share files", blocking(disks.look_at_file_system)),
    Check("clock", "warning", "machines get their time from it, and signatures expire", blocking(disks.look_at_clock)),
    Check("process-memory", "warning", "forks and snapshots of machines that an earlier daemon started read it",
          memories.look_at_memory_of_others),
    Check("directories", "hint", "the daemon makes what is missing, with mode 0700",
          blocking(daemons.look_at_directories)),
    Check("sockets", "problem", "nobody could connect", blocking(daemons.look_at_sockets)),
    Check("config", "problem", "", blocking(stores.look_at_config)),
    Check("store", "problem", "it says which machines there are", blocking(stores.look_at_store)),
    Check("remains", "hint", "the next daemon removes them as well", blocking(daemons.look_at_remains)),
    Check("daemon", "hint", "commands wait for its start", blocking(daemons.look_at_daemon)),
    Check("image", "warning", "machines of it do not start", blocking(stores.look_at_image)),
    Check("kernel", "warning", "machines with it do not start", blocking(stores.look_at_kernel)),
    Check("leftovers", "warning", "they take memory and room", blocking(stores.look_at_leftovers)),
)  # fmt: skip

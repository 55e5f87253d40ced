"""The table of checks. docs/doctor.md has a row for each; a test compares the two."""

from __future__ import annotations

from banger.doctor import catalogs, daemons, disks, limits, memories, network, stores, tools, users, vmms
from banger.doctor.check import Check, blocking

CHECKS: tuple[Check, ...] = (
    Check("accelerator", "hint", "without KVM, machines are two to ten times slower", vmms.look_at_accelerator),
    Check("vmm", "problem", "the VMM runs the machines", vmms.look_at_vmm),
    Check("trial", "problem", "no machine can run", vmms.look_at_trial),
    Check("jail", "warning", "a VMM that its guest takes over reaches more of this host", blocking(vmms.look_at_jail)),
    Check("agent", "problem", "the agent is the first program of every machine", vmms.look_at_agent),
    Check("firecracker", "hint", "needed only to restore machines with it", vmms.look_at_firecracker),
    Check("qemu-img", "warning", "vm commit and snapshot export use it to write disks", tools.tools(*tools.QEMU_IMG)),
    Check("e2fsprogs", "warning", "kernels' module disks and vm commit need it", tools.tools(*tools.E2FSPROGS)),
    Check("mmdebstrap", "warning", "it builds the catalog's images", tools.tools(*tools.MMDEBSTRAP)),
    Check("unpacking", "warning", "kernels come as Debian packages", tools.tools(*tools.UNPACKING)),
    Check("archive-keys", "warning", "banger trusts only packages that Debian signed", tools.look_at_keys),
    Check("archive", "warning", "the catalog's images and kernels are made of its packages", network.look_at_archive),
    Check("catalogs", "warning", "names that only these catalogs have are unknown", catalogs.look_at_catalogs),
    Check("namespaces", "warning", "banger builds the catalog's images in a namespace", users.look_at_namespaces),
    Check("subuids", "warning", "the files of an image have many owners", users.look_at_subuids),
    Check("limits", "hint", "machines run without limits, and machines that require limits are refused",
          blocking(limits.look_at_groups)),
    Check("network", "warning", "machines reach all that this host reaches; policies and published ports are refused",
          network.look_at_taps),
    Check("ping", "hint", "machines get no answer when they ping the outside", blocking(network.look_at_pings)),
    Check("memory", "warning", "machines that do not fit are refused", blocking(limits.look_at_memory)),
    Check("disk-room", "warning", "machines halt when their disk cannot grow", blocking(disks.look_at_room)),
    Check("file-system", "warning", "clones and templates share files", blocking(disks.look_at_file_system)),
    Check("clock", "warning", "machines get their time from it, and signatures expire", blocking(disks.look_at_clock)),
    Check("process-memory", "warning", "the daemon reads it to fork and to snapshot machines of an earlier daemon",
          memories.look_at_memory_of_others),
    Check("directories", "hint", "the daemon makes what is missing, with mode 0700",
          blocking(daemons.look_at_directories)),
    Check("sockets", "problem", "clients cannot connect", blocking(daemons.look_at_sockets)),
    Check("config", "problem", "", blocking(stores.look_at_config)),
    Check("store", "problem", "the store knows which machines exist", blocking(stores.look_at_store)),
    Check("remains", "hint", "the next daemon removes them, too", blocking(daemons.look_at_remains)),
    Check("daemon", "hint", "the next command waits for the daemon's start", blocking(daemons.look_at_daemon)),
    Check("image", "warning", "machines of a missing image do not start", blocking(stores.look_at_image)),
    Check("kernel", "warning", "machines with a missing kernel do not start", blocking(stores.look_at_kernel)),
    Check("leftovers", "warning", "leftovers use memory and disk space", blocking(stores.look_at_leftovers)),
)  # fmt: skip

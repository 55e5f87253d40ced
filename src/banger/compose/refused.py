"""Keys of the Compose specification that banger knows and does not carry out, each with what to do about it."""

from __future__ import annotations

_ROOT = "root in a machine has a kernel of its own, and may do there what it wants: leave the key out"
_BUILD = "build the image first (`banger build -t NAME DIRECTORY`), and name it with `image:`"
_HOST = "a machine shares nothing with the host: leave the key out"
_LATER = "leave the key out"
_LIMITS = "use deploy.resources.limits, or mem_limit and cpus"
_PIDS = "processes of a machine are its own kernel's: call ulimit -u in the command"
_RESTART = "use `restart:`"
_FILES = "put the file into the image, or copy it with `banger vm cp`"
_LINKS = "services on one network find one another by name: leave the key out"
_LOGS = "`banger compose logs` has the output: leave the key out"
_INCLUDE = "write the services into one file; anchors and << share parts of it"

SERVICE = {
    "annotations": "use labels",
    "attach": _LATER,
    "blkio_config": "use x-banger: {io_limit: ..., iops_limit: ...}",
    "build": _BUILD,
    "cap_add": _ROOT,
    "cap_drop": "a command that needs less runs as `user:`; leave the key out",
    "cgroup": _HOST,
    "cgroup_parent": _HOST,
    "configs": _FILES,
    "cpu_count": "use cpus",
    "cpu_percent": "use cpus",
    "cpu_period": "use cpus",
    "cpu_quota": "use cpus",
    "cpu_rt_period": _LIMITS,
    "cpu_rt_runtime": _LIMITS,
    "cpu_shares": _LIMITS,
    "cpuset": _LIMITS,
    "credential_spec": _LATER,
    "develop": _LATER,
    "device_cgroup_rules": _ROOT,
    "devices": "a machine has no devices of the host: leave the key out",
    "dns_opt": "use dns",
    "dns_search": "use whole names",
    "domainname": "use hostname",
    "extends": _INCLUDE,
    "external_links": _LINKS,
    "gpus": "a machine has no devices of the host: leave the key out",
    "group_add": "write the group into user: USER:GROUP",
    "ipc": _HOST,
    "isolation": _LATER,
    "label_file": "use labels",
    "links": _LINKS,
    "logging": _LOGS,
    "mac_address": _LATER,
    "mem_reservation": _LIMITS,
    "mem_swappiness": _LIMITS,
    "memswap_limit": _LIMITS,
    "models": _LATER,
    "oom_kill_disable": _LATER,
    "oom_score_adj": _LATER,
    "pid": _HOST,
    "pids_limit": _PIDS,
    "platform": "pull the image for another platform with `banger image pull --platform`",
    "post_start": "use `banger compose exec`",
    "pre_stop": "use stop_signal",
    "privileged": _ROOT,
    "provider": _LATER,
    "read_only": "a machine has a disk of its own: leave the key out",
    "runtime": "every service is a machine: leave the key out",
    "security_opt": _ROOT,
    "shm_size": "mount it in the machine: /dev/shm takes half of its memory",
    "storage_opt": "use x-banger: {disk: 8g}",
    "sysctls": "call sysctl in the machine, whose kernel is its own",
    "tmpfs": "mount it in the machine",
    "ulimits": "call ulimit in the command",
    "use_api_socket": _HOST,
    "userns_mode": _HOST,
    "uts": _HOST,
    "volumes_from": "name the volume for each service, below volumes:",
}
PROJECT = {
    "configs": _FILES,
    "include": _INCLUDE,
    "models": _LATER,
}
NETWORK = {
    "driver_opts": "every network is the same kind of bridge: leave the key out",
    "enable_ipv4": "machines always have both kinds of addresses: leave the key out",
    "ipam": "banger chooses the addresses, and a machine keeps its own: leave the key out",
}
SECRET = {
    "driver": "banger keeps secrets itself: leave the key out",
    "driver_opts": "banger keeps secrets itself: leave the key out",
    "template_driver": "write the value into the file as it is: leave the key out",
}
JOINED = {
    "driver_opts": NETWORK["driver_opts"],
    "gw_priority": "leave the key out",
    "interface_name": "a machine has one interface for all its networks: leave the key out",
    "ipv4_address": NETWORK["ipam"],
    "ipv6_address": NETWORK["ipam"],
    "link_local_ips": NETWORK["ipam"],
    "mac_address": "leave the key out",
}
VOLUME: dict[str, str] = {}
DEPLOY = {
    "endpoint_mode": "names lead to all machines of a service: leave the key out",
    "placement": "there is one host: leave the key out",
    "restart_policy": _RESTART,
    "rollback_config": _LATER,
    "update_config": "`up` makes the changed machines of a service again, one service at a time: leave the key out",
}
RESOURCES = {"reservations": _LIMITS}
LIMITS = {"devices": SERVICE["devices"], "pids": _PIDS}
DEPENDENCY = {"restart": "use `banger compose restart` with both services"}
HEALTHCHECK: dict[str, str] = {}
BANGER: dict[str, str] = {}
PORT = {"name": "leave the key out", "app_protocol": "leave the key out"}
ENV_FILE: dict[str, str] = {}

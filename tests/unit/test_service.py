"""The systemd unit: limits that are as tight as what the daemon starts allows, and no tighter."""

from __future__ import annotations

from pathlib import Path

UNIT = Path(__file__).parents[2] / "packaging/bangerd.service"
LIMITS = {
    "UMask": "0077",
    "LimitCORE": "0",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "full",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RestrictRealtime": "yes",
    "LockPersonality": "yes",
    "KeyringMode": "private",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "DevicePolicy": "closed",
    "OOMPolicy": "continue",
    "KillMode": "process",
}
# Option -> what would stop working.
HARMFUL = {
    "RestrictNamespaces": "jail and keeper",
    "PrivateUsers": "users of VMMs",
    "PrivateNetwork": "the relay",
    "IPAddressDeny": "the relay",
    "PrivateDevices": "/dev/kvm, /dev/net/tun",
    "PrivateTmp": "paths in requests",
    "ProtectHome": "paths in requests",
    "ProtectControlGroups": "control groups of VMMs",
    "ProtectKernelTunables": "net.* in the keeper's namespace",
    "MemoryDenyWriteExecute": "QEMU without KVM",
    "RestrictSUIDSGID": "set-uid programs in images",
    "ProcSubset": "/proc/sys",
    "DynamicUser": "users of VMMs",
    "MemoryMax": "machines and helpers of the daemon's group",
}
# What each capability is for is said in the unit.
CAPABILITIES = {
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "setfcap", "mknod"),
    *("setuid", "setgid", "setpcap", "sys_admin", "sys_chroot", "kill"),
    *("sys_ptrace", "sys_resource", "net_admin", "net_bind_service", "net_raw"),
}


def read_unit() -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            options.setdefault(name, []).append(value)
    return options


def test_each_limit_is_there() -> None:
    options = read_unit()
    assert {name: options.get(name, [""])[-1] for name in LIMITS} == LIMITS


def test_no_limit_takes_what_machines_need() -> None:
    assert {name: HARMFUL[name] for name in HARMFUL if name in read_unit()} == {}


def test_the_daemon_has_the_capabilities_that_it_uses() -> None:
    words = " ".join(read_unit()["CapabilityBoundingSet"]).split()
    assert {word.removeprefix("CAP_").lower() for word in words} == CAPABILITIES


def test_devices_and_families_are_those_of_machines() -> None:
    options = read_unit()
    assert options["DeviceAllow"] == ["/dev/kvm rw", "/dev/net/tun rw"]
    assert options["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6 AF_NETLINK"]


def test_system_calls_of_the_jail_are_left() -> None:
    """Mounts, namespaces and filters are in groups that a list of what is allowed tends to forget."""
    (filters,) = read_unit()["SystemCallFilter"]
    assert filters.startswith("~"), "a list of what is refused"
    assert not {"@mount", "@privileged", "@process", "@setuid", "@sandbox", "@chown"} & set(
        filters.removeprefix("~").split()
    )


def test_directories_that_the_daemon_writes_to_are_the_services_own() -> None:
    options = read_unit()
    kinds = ("RuntimeDirectory", "StateDirectory", "CacheDirectory", "ConfigurationDirectory")
    assert [options[kind] for kind in kinds] == [["banger"]] * 4

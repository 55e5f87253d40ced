"""Options of containers that a machine cannot mean: some are accepted, and a line says why they mean nothing; some are
refused, because what the user relies on would be missing."""

from __future__ import annotations

_OWN_KERNEL = "a machine has its own kernel, and its root can do nothing to the host"
_NO_SHARING = "a machine shares no namespace with the host"
_WEIGHTS = "machines share the host evenly; --cpu-limit and --memory-limit limit one"
_LOGS = "banger keeps the last 16MiB of output, `banger logs` prints them"
_NAMED = "machines on a named network reach all ports of one another"
_DEVICES = "devices of the host are not passed to machines"
_ADDRESS = "banger assigns addresses; machines find one another by name: --network NAME"
_SHARE = "banger shares no files between machines: `banger cp` copies them"

# Option: whether a value follows, and why it means nothing.
ACCEPTED: dict[str, tuple[bool, str]] = {
    "--privileged": (False, _OWN_KERNEL),
    "--cap-add": (True, _OWN_KERNEL),
    "--cap-drop": (True, _OWN_KERNEL),
    "--security-opt": (True, _OWN_KERNEL),
    "--group-add": (True, "use -u USER:GROUP"),
    "--userns": (True, _NO_SHARING),
    "--pid": (True, _NO_SHARING),
    "--ipc": (True, _NO_SHARING),
    "--uts": (True, _NO_SHARING),
    "--cgroupns": (True, _NO_SHARING),
    "--cgroup-parent": (True, _NO_SHARING),
    "--shm-size": (True, "/dev/shm of a machine is as large as half of its --memory"),
    "--memory-swap": (True, "a machine has no swap"),
    "--memory-swappiness": (True, "a machine has no swap"),
    "--memory-reservation": (True, _WEIGHTS),
    "--kernel-memory": (True, "the guest's kernel is within --memory"),
    "--oom-kill-disable": (False, "the guest's own kernel decides which process it kills"),
    "--oom-score-adj": (True, "the guest's own kernel decides which process it kills"),
    "--cpu-shares": (True, _WEIGHTS),
    "--cpuset-cpus": (True, _WEIGHTS),
    "--cpuset-mems": (True, _WEIGHTS),
    "--blkio-weight": (True, _WEIGHTS),
    "--log-driver": (True, _LOGS),
    "--log-opt": (True, _LOGS),
    "--expose": (True, _NAMED),
    "--runtime": (True, "--driver and --accel choose what runs a machine"),
    "--isolation": (True, "every machine is isolated by hardware or emulation"),
    "--storage-opt": (True, "--disk sets the size of the root disk"),
    "--sig-proxy": (False, "without a terminal, banger always passes signals on"),
    "--no-healthcheck": (False, "a machine has a healthcheck only with --health-cmd"),
    "--disable-content-trust": (False, "banger verifies digests of all images"),
    "--attach": (True, "stdout and stderr are attached without -d, stdin with -i"),
    "-a": (True, "stdout and stderr are attached without -d, stdin with -i"),
    "--annotation": (True, "use --label"),
    "--domainname": (True, "use --hostname"),
    "--dns-option": (True, "the machine's resolver has no options"),
    "--dns-search": (True, "the machine's resolver has no search list"),
}
# Option: whether a value follows, and what to do instead.
REFUSED: dict[str, tuple[bool, str]] = {
    "--volumes-from": (True, _SHARE),
    "--volume-driver": (True, _SHARE),
    "--device": (True, _DEVICES),
    "--device-cgroup-rule": (True, _DEVICES),
    "--gpus": (True, _DEVICES),
    "--sysctl": (True, "set it in the machine: `banger exec NAME sysctl -w NAME=VALUE`"),
    "--ip": (True, _ADDRESS),
    "--ip6": (True, _ADDRESS),
    "--mac-address": (True, _ADDRESS),
    "--link": (True, "put both machines on one network: `banger network create shop`, then --network shop"),
    "--cpu-period": (True, "--cpu-limit sets processor time as a number of processors"),
    "--cpu-quota": (True, "--cpu-limit sets processor time as a number of processors"),
    "--device-read-bps": (True, "--io-limit limits bytes per second"),
    "--device-write-bps": (True, "--io-limit limits bytes per second"),
    "--device-read-iops": (True, "--iops-limit limits operations per second"),
    "--device-write-iops": (True, "--iops-limit limits operations per second"),
    "--label-file": (True, "give each label with --label"),
}
VALUED = frozenset(name for names in (ACCEPTED, REFUSED) for name, (valued, _) in names.items() if valued)


def take_out(own: list[str]) -> tuple[list[str], list[str], str]:
    """The words without foreign options, a line for each accepted one, and the first that is refused."""
    kept: list[str] = []
    lines: dict[str, str] = {}
    at = 0
    while at < len(own):
        word = own[at]
        name, equals, value = word.partition("=")
        if word == "--":
            return [*kept, *own[at:]], list(lines.values()), ""
        if name in REFUSED and value != "false":
            return kept, [], name
        if name not in ACCEPTED and name not in REFUSED:
            kept.append(word)
            at += 1
            continue
        if name in ACCEPTED and value != "false":
            lines[name] = f"{name} means nothing here: {ACCEPTED[name][1]}"
        at += 2 if name in VALUED and not equals else 1
    return kept, list(lines.values()), ""

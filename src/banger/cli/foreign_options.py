"""Options that other tools have and banger has not: some are accepted, and a line says why they mean nothing; some are
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

# Option: whether a value follows, and a reason.
Options = dict[str, tuple[bool, str]]


class Foreign:
    """The options of one verb: `accepted` with the reason why they mean nothing, `refused` with what to do instead."""

    def __init__(self, accepted: Options, refused: Options) -> None:
        self.accepted = accepted
        self.refused = refused


# Of `run` and `exec`.
ACCEPTED: Options = {
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
REFUSED: Options = {
    "--volumes-from": (True, "name the volume for each machine: -v NAME:TARGET"),
    "--volume-driver": (True, "banger has one kind of volumes: leave it out"),
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

_SIGNAL = (
    True,
    "`banger kill -s SIGNAL NAME` sends a signal; --stop-signal of `banger run` sets that of `banger stop`",
)
_CHANGE = (True, "a Dockerfile with `FROM IMAGE` changes CMD, ENV and the like: `banger build`")
_NO_MESSAGE = (True, "an image of banger has neither author nor message")
_VERIFIED = (False, "banger verifies digests of all images")
_FILTER = (True, "choose by name: `banger rm $(banger ps -aq --filter label=...)`")
_FILTER_VOLUMES = (True, "choose by name: `banger volume rm NAME`")
_FORMAT = (True, "--quiet prints names, --json prints JSON")
_ONE_TAG = (False, "name each tag")
_SUBNET = (True, _ADDRESS)
_ATTACH = (False, "`banger start NAME`, then `banger attach NAME`")
# Of the other verbs.
FOREIGN: dict[str, Foreign] = {
    "banger vm list": Foreign(
        dict.fromkeys(("-s", "--size"), (False, "`banger stats` shows what a machine takes of the disk")), {}
    ),
    "banger vm logs": Foreign({"--details": (False, "the log has no attributes")}, {}),
    "banger vm stop": Foreign({}, dict.fromkeys(("-s", "--signal"), _SIGNAL)),
    "banger vm restart": Foreign({}, dict.fromkeys(("-s", "--signal"), _SIGNAL)),
    "banger vm start": Foreign({}, dict.fromkeys(("-a", "--attach", "-i", "--interactive", "-ai"), _ATTACH)),
    "banger vm attach": Foreign(
        {"--sig-proxy": (False, "without a terminal, banger always passes signals on")}, {}
    ),
    "banger vm delete": Foreign(dict.fromkeys(("-l", "--link"), (False, "machines have no links")), {}),
    "banger vm commit": Foreign(
        {
            **dict.fromkeys(("-m", "--message", "-a", "--author"), _NO_MESSAGE),
            **dict.fromkeys(("-p", "--pause"), (False, "the machine stands still for a moment, and goes on")),
        },
        dict.fromkeys(("-c", "--change"), _CHANGE),
    ),
    "banger vm prune": Foreign({}, {"--filter": _FILTER}),
    "banger network prune": Foreign({}, {"--filter": _FILTER}),
    "banger image prune": Foreign(
        {},
        {
            "--filter": _FILTER,
            **dict.fromkeys(
                ("-a", "--all"), (False, "an image with a name stays: `banger rmi NAME` deletes it")
            ),
        },
    ),
    "banger system prune": Foreign({}, {"--filter": _FILTER}),
    "banger volume list": Foreign({}, {"--filter": _FILTER_VOLUMES, "--format": _FORMAT}),
    "banger volume prune": Foreign({}, {"--filter": _FILTER_VOLUMES}),
    "banger image list": Foreign(
        {
            "--digests": (False, "`banger inspect IMAGE` shows the digest"),
            "--tree": (False, "an image is one disk"),
        },
        {},
    ),
    "banger image pull": Foreign(
        {"--disable-content-trust": _VERIFIED}, dict.fromkeys(("-a", "--all-tags"), _ONE_TAG)
    ),
    "banger image push": Foreign(
        {"--disable-content-trust": _VERIFIED}, dict.fromkeys(("-a", "--all-tags"), _ONE_TAG)
    ),
    "banger image delete": Foreign({"--no-prune": (False, "an image has no untagged parents")}, {}),
    "banger image import": Foreign(
        dict.fromkeys(("-m", "--message"), _NO_MESSAGE), dict.fromkeys(("-c", "--change"), _CHANGE)
    ),
    "banger image login": Foreign(
        {}, dict.fromkeys(("-p", "--password"), (True, "all users of this host see it: use --password-stdin"))
    ),
    "banger network create": Foreign(
        {
            **dict.fromkeys(
                ("-d", "--driver", "-o", "--opt"), (True, "a network is routed, and has no drivers")
            ),
            "--attachable": (False, "machines join any network: `banger network connect`"),
            "--label": (True, "networks have no labels"),
        },
        dict.fromkeys(("--subnet", "--gateway", "--ip-range", "--aux-address", "--ipam-driver"), _SUBNET),
    ),
    "banger system events": Foreign(
        {},
        {
            "--filter": (True, "--machine NAME prints the events of one machine"),
            "--format": (True, "--json prints JSON"),
        },
    ),
}


def foreign_to(verb: str) -> Foreign:
    """Of a verb, such as "banger vm stop"."""
    return FOREIGN.get(verb, Foreign({}, {}))


def take_out(own: list[str], foreign: Foreign) -> tuple[list[str], list[str], str]:
    """The words without foreign options, a line for each accepted one, and the first that is refused."""
    known = {**foreign.accepted, **foreign.refused}
    kept: list[str] = []
    lines: dict[str, str] = {}
    at = 0
    while at < len(own):
        word = own[at]
        name, equals, value = word.partition("=")
        if word == "--":
            return [*kept, *own[at:]], list(lines.values()), ""
        if name in foreign.refused and value != "false":
            return kept, [], name
        if name not in known:
            kept.append(word)
            at += 1
            continue
        if value != "false":
            lines[name] = f"{name} means nothing here: {known[name][1]}"
        at += 2 if known[name][0] and not equals else 1
    return kept, list(lines.values()), ""

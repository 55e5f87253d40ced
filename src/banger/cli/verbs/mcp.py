"""`banger mcp`: sandboxes for agents, within limits that the operator sets."""

from __future__ import annotations

import os

from banger.cli.parser import Arguments, Parser, Verb, at_least, mebibytes, seconds, size

_TOKEN = "BANGER_MCP_TOKEN"
_POLICIES = ("none", "internet", "lan", "host")


def _options(parser: Parser) -> None:
    parser.flag(
        "--http",
        type=at_least(0),
        metavar="PORT",
        help="serve HTTP on this port of 127.0.0.1 instead of stdin and stdout; 0 takes a free port. "
        f"Requests need the token that is printed, or the one in {_TOKEN}",
    )
    parser.flag(
        "--scope",
        metavar="NAME",
        default="",
        help="share sandboxes with the servers of the same scope, and leave them at the end "
        "(default: sandboxes of this server alone, deleted at its end)",
    )
    for name, kind, metavar, words in (
        ("--max-sandboxes", at_least(1), "N", "how many sandboxes there may be at a time (default: 8)"),
        ("--max-snapshots", at_least(0), "N", "how many snapshots there may be at a time (default: 8)"),
        ("--max-ttl", seconds, "TIME", "how long a sandbox may live (default: 1h)"),
        ("--max-exec", seconds, "TIME", "how long a command may run (default: 10m)"),
        ("--cpus", at_least(1), "N", "processors of a sandbox, at most (default: 2)"),
        ("--memory", mebibytes, "SIZE", "memory of a sandbox, at most (default: 1GiB)"),
        ("--disk", size, "SIZE", "size of a sandbox's disk (default: 8GiB)"),
    ):
        parser.flag(name, type=kind, metavar=metavar, help=words)
    parser.flag(
        "--image",
        action="append",
        default=[],
        metavar="PATTERN",
        help='images that may be pulled, such as "python:*"; may be repeated (default: only images that are here)',
    )
    parser.flag(
        "--default-image", metavar="REF", help="image of a sandbox without one (default: debian-bookworm)"
    )
    parser.flag(
        "--network",
        metavar="POLICY",
        choices=_POLICIES,
        help="the widest policy that a sandbox may have: none, internet, lan or host (default: internet)",
    )


def _mcp(arguments: Arguments) -> int:
    from banger.mcp.limits import Limits
    from banger.mcp.serving import serve

    given = {
        "sandboxes": arguments.max_sandboxes,
        "snapshots": arguments.max_snapshots,
        "ttl_s": arguments.max_ttl,
        "exec_s": arguments.max_exec,
        "cpus": arguments.cpus,
        "memory_mib": arguments.memory,
        "disk_bytes": arguments.disk,
        "default_image": arguments.default_image,
        "network": arguments.network,
        "images": tuple(arguments.image) or None,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    serve(limits, arguments.scope, arguments.http, os.environ.get(_TOKEN, ""))
    return 0


_EXAMPLES = """\
banger mcp
banger mcp --image "python:*" --network none --max-ttl 30m
banger mcp --http 8808"""

MCP = Verb(_options, _mcp, _EXAMPLES)

"""`image build`: an image from a Dockerfile."""

from __future__ import annotations

import os
import sys

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, UsageError, Verb, at_least, json_flag, mebibytes
from banger.cli.terminal import is_terminal
from banger.cli.verbs.logs import Cleaner
from banger.errors import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.messages import Json
    from banger.client.stream import Stream
    from banger.client.transport import Answer

_POLICIES = ("default", "none", "internet", "lan", "host")


def _build_arguments(parser: Parser) -> None:
    parser.flag(
        "-t",
        "--tag",
        action="append",
        default=[],
        metavar="NAME",
        help="name for the image (repeatable; default: a generated name)",
    )
    parser.flag(
        "-f",
        "--file",
        default="",
        metavar="FILE",
        help="Dockerfile, - for stdin (default: Dockerfile or Containerfile in the context)",
    )
    parser.flag(
        "--build-arg",
        action="append",
        default=[],
        metavar="K[=V]",
        help="value of an ARG, or pass on the value of the variable from here (repeatable)",
    )
    parser.flag("--target", default="", metavar="STAGE", help="build this stage (default: the last one)")
    parser.flag(
        "--network",
        choices=_POLICIES,
        default="default",
        help="what RUN can reach, as for `run` (default: internet)",
    )
    parser.flag("--pull", action="store_true", help="pull the images of FROM again even if they are here")
    parser.flag(
        "--no-cache", action="store_true", help="forget the cache of this context, and build all steps"
    )
    parser.flag(
        "--platform", metavar="OS/ARCH", help="platform of the image, which has to be that of this host"
    )
    parser.flag(
        "-c",
        "--cpus",
        type=at_least(1),
        default=1,
        metavar="N",
        help="processors of the builder (default: 1)",
    )
    parser.flag(
        "-m",
        "--memory",
        type=mebibytes,
        default=1024,
        metavar="SIZE",
        help="memory of the builder (default: 1GiB)",
    )
    parser.flag(
        "--progress", metavar="KIND", help="accepted as in Docker: the output of the build is always plain"
    )
    parser.flag(
        "--label",
        action="append",
        default=[],
        metavar="K=V",
        help="accepted as in Docker: banger keeps no labels of images",
    )
    parser.flag("--prune", action="store_true", help="build nothing; delete the caches of all contexts")
    parser.flag("-q", "--quiet", action="store_true", help="print the name of the image alone")
    json_flag(parser)
    parser.positional(
        "context",
        metavar="CONTEXT",
        nargs="?",
        default="",
        help="directory with the Dockerfile and its files; - for a Dockerfile on stdin alone",
    )


class _Hands:
    """Carries out calls for the room `builds`, and tells on stderr what happens."""

    def __init__(self, quiet: bool) -> None:
        self._daemon = Daemon()
        self._quiet = quiet
        self._cleaner = Cleaner() if is_terminal(2) else None

    def call(self, call: Call[object]) -> object:
        return self._daemon.call(call)

    def open(self, call: Call[object]) -> Answer:
        return self._daemon.open(call)

    def stream(self, target: str, request: Json) -> Stream:
        return self._daemon.stream(target, request)

    def finish(self, call: Call[object]) -> Json:
        from banger.cli.watching import finish_operation

        return finish_operation(self._daemon, self._daemon.record(call), self._quiet)

    def show(self, output: bytes | memoryview) -> None:
        if not self._quiet:
            sys.stderr.buffer.write(self._cleaner.feed(bytes(output)) if self._cleaner else output)
            sys.stderr.buffer.flush()

    def say(self, what: str) -> None:
        if not self._quiet:
            print(printable(what), file=sys.stderr, flush=True)

    def warn(self, what: str) -> None:
        from banger.cli.failure import warn

        warn(what)


def _build(arguments: Arguments) -> int:
    hands = _Hands(arguments.quiet)
    if arguments.prune:
        return _prune(hands, arguments.json)
    if not arguments.context:
        raise UsageError("the directory of the context is missing", "banger image build", "banger build .")
    from banger.builds.builder import Size
    from banger.builds.building import Wish, build
    from banger.builds.context import read_context
    from banger.cli.command import collect_environment
    from banger.cli.preparing import settle_platform

    settle_platform(arguments.platform)
    if arguments.label and not arguments.quiet:
        hands.warn("--label means nothing here: banger keeps no labels of images")
    network = "" if arguments.network == "default" else arguments.network
    wish = Wish(
        context=read_context(arguments.context, arguments.file, sys.stdin.buffer),
        names=arguments.tag,
        arguments=collect_environment([], arguments.build_arg, os.environ),
        target=arguments.target,
        size=Size(cpus=arguments.cpus, memory_mib=arguments.memory, network=network),
        fresh=arguments.no_cache,
        pull=arguments.pull,
    )
    try:
        image = build(hands, wish)
    except BuildFailed as exc:
        lines = exc.details.get("output")
        for line in lines if arguments.quiet and isinstance(lines, list) else ():
            print(printable(str(line)), file=sys.stderr)
        raise
    print_json(image) if arguments.json else print(printable(str(image.get("name", ""))))
    return 0


def _prune(hands: _Hands, as_json: bool) -> int:
    from banger.builds.builder import prune

    gone = prune(hands)
    if as_json:
        print_json({"machines": gone})
    else:
        for name in gone:
            print(printable(name))
    return 0


BUILD = Verb(
    _build_arguments,
    _build,
    "banger build -t box .\nbanger build -t app --build-arg VERSION=3 --target release src\nbanger build --prune",
)

"""`vm ssh`, `vm ssh-config` and `vm ssh-proxy`."""

from __future__ import annotations

import os

from banger.cli.daemon import Daemon
from banger.cli.output import printable
from banger.cli.parser import Arguments, Parser, Verb
from banger.client.calls import machines_get
from banger.errors import Error

# As ssh ends when it could not do what was asked.
_FAILED = 255


def _ssh_arguments(parser: Parser) -> None:
    parser.positional(
        "name", metavar="[USER@]NAME", help="name or id of the machine; USER is root if left out"
    )
    parser.positional(
        "command",
        metavar="ARG",
        nargs="*",
        default=[],
        help="options of ssh, and the command to run (default: a shell)",
    )


def _ssh(arguments: Arguments) -> int:
    from banger.cli.failure import report
    from banger.client.start import become_program
    from banger.ssh.config import DOMAIN, plan_command
    from banger.ssh.identity import ensure_identity

    try:
        name = arguments.name.rpartition("@")[2].removesuffix(DOMAIN)
        Daemon().record(machines_get(name))
        become_program(plan_command(ensure_identity(), os.environ, arguments.name, arguments.command))
    except FileNotFoundError:
        report(Error("tool_missing", "ssh is not installed", "apt install openssh-client"), arguments.json)
    except Error as exc:
        report(exc, arguments.json)
    return _FAILED


def _config_arguments(parser: Parser) -> None:
    parser.flag("--install", action="store_true", help="include the configuration into yours")
    parser.flag("--uninstall", action="store_true", help="take it out of yours again")
    parser.flag("--print", action="store_true", help="print the configuration (the default)")
    parser.flag("--file", metavar="FILE", help="your configuration of OpenSSH (default: ~/.ssh/config)")


def _config(arguments: Arguments) -> int:
    from banger.cli.parser import UsageError
    from banger.ssh import config
    from banger.ssh.identity import ensure_identity

    if arguments.install + arguments.uninstall + arguments.print > 1:
        raise UsageError("--install, --uninstall and --print exclude one another", "banger vm ssh-config")
    identity = ensure_identity()
    if not (arguments.install or arguments.uninstall):
        print(config.plan_config(identity, os.environ), end="")
        return 0
    path = arguments.file or config.usual_config()
    if arguments.install:
        changed = config.install(identity, os.environ, path)
        said = "now knows machines: ssh NAME.banger" if changed else "knows machines already: ssh NAME.banger"
    else:
        changed = config.uninstall(identity, path)
        said = "does not know machines any more" if changed else "did not know machines"
    print(printable(f"{path} {said}"))
    return 0


def _proxy_arguments(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name or id of the machine, also with .banger at its end")


def _proxy(arguments: Arguments) -> int:
    from banger.cli.failure import report
    from banger.ssh.library import load_library

    load_library()
    from banger.ssh.serving import serve

    try:
        return serve(arguments.name)
    except Error as exc:
        report(exc, arguments.json)
        return _FAILED


SSH = Verb(
    _ssh_arguments,
    _ssh,
    "banger ssh dev\nbanger ssh dev uname -a\nbanger ssh alice@dev -L 8080:localhost:80",
    command_after=1,
)
SSH_CONFIG = Verb(_config_arguments, _config, "banger ssh-config --install\nbanger ssh-config --print")
SSH_PROXY = Verb(_proxy_arguments, _proxy, "banger ssh-proxy dev.banger")

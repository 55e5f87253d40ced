"""Passwords of registries: `image login` and `image logout`."""

from __future__ import annotations

import sys

from banger.cli.daemon import Daemon
from banger.cli.output import printable
from banger.cli.parser import Arguments, Parser, Verb
from banger.client import calls


def _login_arguments(parser: Parser) -> None:
    parser.flag("-u", "--username", required=True, metavar="USER", help="name of the user at the registry")
    parser.flag("--password-stdin", action="store_true", help="read the password from stdin")
    parser.flag(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates that cannot be verified"
    )
    parser.positional("registry", metavar="REGISTRY", help="host or host:port")


def _login(arguments: Arguments) -> int:
    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        from getpass import getpass

        password = getpass(f"password of {arguments.username} at {arguments.registry}: ")
    call = calls.images_log_in(arguments.registry, arguments.username, password, arguments.insecure)
    print(printable(f"logged in; kept in {Daemon().record(call).get('kept_in', '')}"))
    return 0


def _logout_arguments(parser: Parser) -> None:
    parser.positional("registry", metavar="REGISTRY", help="host or host:port")


def _logout(arguments: Arguments) -> int:
    done = Daemon().record(calls.images_log_out(arguments.registry))
    print("logged out" if done.get("removed") else "no password was kept")
    elsewhere = done.get("elsewhere")
    for path in elsewhere if isinstance(elsewhere, list) else []:
        print(printable(f"{path} still has a password for this registry"))
    return 0


LOGIN = Verb(_login_arguments, _login, "banger image login -u me registry.lan:5000")
LOGOUT = Verb(_logout_arguments, _logout, "banger image logout registry.lan:5000")

"""Secrets: `secret set|create|list|show|delete`. No word of a command line is a value, and none is printed."""

from __future__ import annotations

import argparse
import os
import sys

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_fields, print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import print_list, text_of
from banger.cli.verbs.run import label_flag
from banger.client import calls
from banger.errors import Error
from banger.model.sizes import SECRET_MAX_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("name", "age", "changed", "machines")
_NOT_HERE = "other users see command lines: give it on stdin, by --from-file or by --from-env"


def _set_arguments(parser: Parser) -> None:
    parser.flag("--from-file", metavar="FILE", help="the value is what this file contains")
    parser.flag("--from-env", metavar="VARIABLE", help="the value is that of this variable here")
    label_flag(parser, "secret")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the secret")
    parser.positional("more", nargs="*", default=[], help=argparse.SUPPRESS)  # refused without a word of it


def _set(arguments: Arguments) -> int:
    if arguments.more:
        raise Error("bad_request", "a value does not belong on a command line", _NOT_HERE)
    if arguments.from_file is not None and arguments.from_env is not None:
        raise Error("bad_request", "a secret has one value", "give either --from-file or --from-env")
    if arguments.from_file is not None:
        value = _read_file(arguments.from_file)
    elif arguments.from_env is not None:
        value = _read_variable(arguments.from_env)
    else:
        value = _read_stdin(arguments.name)
    return _put(arguments, value, create=False)


def _create_arguments(parser: Parser) -> None:
    label_flag(parser, "secret")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the secret, which must be new")
    parser.positional(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="the value is what this file contains; -: what comes on stdin",
    )


def _create(arguments: Arguments) -> int:
    value = _read_stdin(arguments.name) if arguments.file == "-" else _read_file(arguments.file)
    return _put(arguments, value, create=True)


def _put(arguments: Arguments, value: bytes, *, create: bool) -> int:
    words = [f"{name}={said}" for name, said in arguments.label]
    secret = Daemon().record(calls.secrets_put(arguments.name, [value], create, words))
    print_json(secret) if arguments.json else print(printable(text_of(secret, "name")))
    return 0


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _checked(file.read(SECRET_MAX_BYTES + 1))
    except OSError as exc:
        raise Error("bad_request", f"cannot read {path}: {exc.strerror}") from exc


def _read_variable(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise Error("bad_request", f"the variable {name[:64]} is not set here", f"export {name[:64]}")
    return _checked(value)


def _read_stdin(name: str) -> bytes:
    """What comes on stdin, to its end; at a terminal one line, which is not shown, without its end."""
    if sys.stdin.isatty():
        from getpass import getpass

        return _checked(os.fsencode(getpass(f"value of {printable(name)}, which is not shown: ")))
    return _checked(sys.stdin.buffer.read(SECRET_MAX_BYTES + 1))


def _checked(value: bytes) -> bytes:
    if len(value) > SECRET_MAX_BYTES:
        hint = "share large files as a directory: -v ./files:/files:ro"
        raise Error("payload_too_large", f"a secret may have at most {SECRET_MAX_BYTES // 1024} KiB", hint)
    return value


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(calls.secrets_list()), _HEADINGS, _row)


def _row(secret: Json) -> tuple[str, ...]:
    machines = secret.get("machines")
    return (
        text_of(secret, "name"),
        age(text_of(secret, "created")),
        f"{age(text_of(secret, 'changed'))} ago",
        " ".join(map(str, machines)) if isinstance(machines, list) else "",
    )


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the secret")


def _show(arguments: Arguments) -> int:
    secret = Daemon().record(calls.secrets_get(arguments.name))
    print_json(secret) if arguments.json else print_fields(secret)
    return 0


def _delete_arguments(parser: Parser) -> None:
    parser.flag(
        "-f", "--force", action="store_true", help="also delete what machines use: they will not start then"
    )
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names of secrets")


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        daemon.call(calls.secrets_delete(name, arguments.force))
        print_json(name) if arguments.json else print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


SET = Verb(
    _set_arguments,
    _set,
    "banger secret set db-password <password.txt\nbanger secret set token --from-env GITHUB_TOKEN",
)
CREATE = Verb(_create_arguments, _create, "banger secret create db-password password.txt")
LIST = Verb(_list_arguments, _list, "banger secret list")
SHOW = Verb(_show_arguments, _show, "banger secret show db-password")
DELETE = Verb(_delete_arguments, _delete, "banger secret delete db-password")

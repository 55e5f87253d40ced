"""`config show|set|unset|edit`: the settings of config.toml. They need no daemon, which reads them when it starts."""

from __future__ import annotations

import os

from banger.cli.output import print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.errors import Error
from banger.places import config_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tomlkit import TOMLDocument

    from banger.model.settings import Key

_RESTART = "`banger system restart` makes it effective; machines keep running"
_NEW = "# Settings of banger. `banger config show` lists all; docs/configuration.md explains them.\n"


def _which(parser: Parser) -> None:
    parser.flag("--system", action="store_true", help="of the system's daemon: /etc/banger/config.toml")


def _show_arguments(parser: Parser) -> None:
    _which(parser)
    json_flag(parser)
    parser.positional("keys", metavar="KEY", nargs="*", help="only these, such as pool.keep (default: all)")


def _show(arguments: Arguments) -> int:
    """Values as they are now; a daemon that runs has those of its start."""
    from pathlib import Path

    from banger.model.settings import explain_settings, find_key

    wanted = {find_key(path).path for path in arguments.keys}
    environ = {} if arguments.system else dict(os.environ)
    found = explain_settings(Path(config_directory(arguments.system)), environ)
    shown = [one for one in found if not wanted or one.key.path in wanted]
    if arguments.json:
        print_json(
            [
                {
                    "key": one.key.path,
                    "value": one.value,
                    "default": one.key.default,
                    "source": one.source,
                    "place": one.place,
                    "meaning": one.key.meaning,
                }
                for one in shown
            ]
        )
        return 0
    rows = [(one.key.path, _in_toml(one.value), one.place or "default", one.key.meaning) for one in shown]
    print_table(("key", "value", "from", "meaning"), rows)
    return 0


def _set_arguments(parser: Parser) -> None:
    _which(parser)
    parser.positional("key", metavar="KEY", help="setting, such as pool.keep")
    parser.positional("value", metavar="VALUE", help="its value, without quotes; a list has commas")


def _set(arguments: Arguments) -> int:
    from banger.model.settings import check_value, parse_text

    def change(document: TOMLDocument) -> None:
        key, name = _key_of(arguments.key)
        if key.is_table:
            section = _table(_table(document, key.section), key.name)
            section[name] = arguments.value
        else:
            _table(document, key.section)[key.name] = check_value(key, parse_text(key, arguments.value))

    return _change(arguments.system, change)


def _unset_arguments(parser: Parser) -> None:
    _which(parser)
    parser.positional("keys", metavar="KEY", nargs="+", help="settings, such as pool.keep")


def _unset(arguments: Arguments) -> int:
    def change(document: TOMLDocument) -> None:
        for path in arguments.keys:
            key, name = _key_of(path)
            place = _table(document, key.section)
            if key.is_table:
                place = _table(place, key.name)
            place.pop(name or key.name, None)

    return _change(arguments.system, change)


def _edit(arguments: Arguments) -> int:
    """The editor gets a copy, which takes the place of the file if it is right."""
    import shlex
    from shutil import which
    from tempfile import NamedTemporaryFile

    from banger.client.start import run_program

    before = _read(arguments.system) or _NEW
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not editor or which(editor[0]) is None:
        raise Error(
            "tool_missing", f"there is no editor {' '.join(editor)}", "set EDITOR to an installed editor"
        )
    with NamedTemporaryFile("w", suffix=".toml", prefix="banger-config-", delete=False) as copy:
        copy.write(before)
    code = run_program([*editor, copy.name])
    with open(copy.name, encoding="utf-8", errors="replace") as file:
        after = file.read()
    is_changed = code == 0 and after != before
    if is_changed:
        try:
            _write(arguments.system, after)
        except Error as exc:
            hint = f"config.toml was not changed; your text is in {copy.name}"
            raise Error(exc.code, exc.message, hint) from exc
    os.unlink(copy.name)
    print(_RESTART if is_changed else "nothing was changed")
    return 0


def _change(system: bool, change: Callable[[TOMLDocument], None]) -> int:
    """Change the file, keep its comments and its order."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from banger.model.settings import bad

    try:
        document = tomlkit.parse(_read(system) or _NEW)
    except TOMLKitError as exc:
        raise bad(f"{_file(system)}: {exc}", "`banger config edit` opens it") from exc
    change(document)
    _write(system, tomlkit.dumps(document))
    print(_RESTART)
    return 0


def _key_of(path: str) -> tuple[Key, str]:
    """The setting, and the name in it if the setting is a table: `vmm.programs.firecracker`. Raises `bad_config`."""
    from banger.model.settings import bad, find_key

    section, _, rest = path.partition(".")
    name, _, inner = rest.partition(".")
    key = find_key(f"{section}.{name}" if name else path)
    if key.is_table != bool(inner):
        raise bad(
            f"{path} is no setting", f"write it like {key.path}.firecracker" if key.is_table else key.path
        )
    return key, inner


def _table(parent: TOMLDocument, name: str) -> TOMLDocument:
    import tomlkit

    from banger.model.settings import bad

    if name not in parent:
        parent[name] = tomlkit.table()
    found = parent[name]
    if not isinstance(found, dict):
        raise bad(f"{name} must be a section, [{name}]", "`banger config edit` opens the file")
    return found  # type: ignore[return-value]  # a table has the same methods


def _file(system: bool) -> str:
    return os.path.join(config_directory(system), "config.toml")


def _read(system: bool) -> str:
    """The text of the file, "" if there is none. Raises `bad_config`."""
    from banger.model.settings import bad

    path = _file(system)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise bad(f"{path}: {exc}") from exc


def _write(system: bool, text: str) -> None:
    """Check the text, and write it in one step. Raises `bad_config`, `not_permitted`."""
    from banger.client.whole_file import write_beside
    from banger.model.settings import combine

    path = os.path.realpath(_file(system))
    combine(text, _file(system), {})
    try:
        os.makedirs(os.path.dirname(path), mode=0o755 if system else 0o700, exist_ok=True)
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else (0o644 if system else 0o600)
        write_beside(path, [text.encode()], mode=mode)
    except OSError as exc:
        hint = "only root may change the settings of the system's daemon" if system else "check who owns it"
        raise Error("not_permitted", f"cannot write {path}: {exc.strerror}", hint) from exc


def _in_toml(value: object) -> str:
    """The value as the file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{printable(name)} = {_in_toml(one)}' for name, one in value.items())}}}"
    return str(value)


SHOW = Verb(_show_arguments, _show, "banger config show pool.keep")
SET = Verb(_set_arguments, _set, "banger config set pool.keep 600")
UNSET = Verb(_unset_arguments, _unset, "banger config unset pool.keep")
EDIT = Verb(_which, _edit, "EDITOR=nano banger config edit")

"""Parsers of single verbs, on argparse, which never sees the guest's command.

After `command_after` positionals all words belong to the guest, options, too, so argparse cannot misread them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from banger.cli.table import NOUNS
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from banger.cli.foreign_options import Foreign

    Value = TypeVar("Value")

Arguments = argparse.Namespace
WIDTH = 96
_NARROWEST = 40
# More of them make a line with the usage that is too long to read.
_MANY_OPTIONS = 15


class UsageError(Exception):
    """Invalid arguments. `usage` is the verb whose --help explains them; `hint` may say more."""

    def __init__(self, message: str, usage: str, hint: str = "") -> None:
        super().__init__(message)
        self.usage = usage
        self.hint = hint


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Has one width unless help is printed, so that the reference is the same on every terminal (and `shutil` is not
    loaded)."""

    def __init__(self, prog: str, width: int = WIDTH) -> None:
        super().__init__(prog, max_help_position=28, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """ "-p, --publish PORT": the value once, not after each name."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


class Parser(argparse.ArgumentParser):
    """The parser of one verb. Exits only for --help."""

    def __init__(self, name: str, summary: str, example: str, help_names: tuple[str, ...]) -> None:
        super().__init__(
            prog=name,
            description=summary[:1].upper() + summary[1:] + ".",
            epilog="example:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self._group: argparse._ActionsContainer = self
        self._words: list[str] = []
        self.options: list[argparse.Action] = []
        self.positionals: list[argparse.Action] = []
        self.flag(*help_names, action="help", help="show this help and exit")
        self.flag("--debug", action="store_true", help="show the traceback of an error")

    def flag(self, *names: str, **settings: Any) -> None:
        """Add an option, and remember it for `split_command`, completion and the reference."""
        self.options.append(self._group.add_argument(*names, **settings))

    def group(self, title: str) -> None:
        """The options that follow stand below this title in the help."""
        self._group = self.add_argument_group(title)

    @property
    def names(self) -> list[str]:
        """All spellings of the options."""
        return [name for option in self.options for name in option.option_strings]

    def positional(self, name: str, **settings: Any) -> None:
        """Add a word without a name, and remember it as `flag` does."""
        self.positionals.append(self.add_argument(name, **settings))

    def parse(self, words: list[str]) -> Arguments:
        """As `parse_args`, with an error that names the first word that was not expected."""
        self._words = words
        arguments, unexpected = self.parse_known_args(words)
        if unexpected:
            self.error(f"unexpected argument {unexpected[0]!r}")
        return arguments

    def print_help(self, file: Any = None) -> None:
        """The help, fitted to the terminal."""
        from banger.cli.terminal import fold, output_width

        width = max(_NARROWEST, min(WIDTH, (output_width() or WIDTH) - 1))
        self.description = fold(self.description or "", width)
        self.formatter_class = lambda prog: _Formatter(prog, width)
        super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """Raise a usage error: of an option that does not exist, if there is one, since it explains all others."""
        unknown = self._unknown_option()
        if not unknown:
            raise UsageError(message, self.prog)
        from banger.cli.suggestions import suggest_option

        hint = suggest_option(unknown, self.names, self.prog)
        raise UsageError(f"unknown option {unknown}", self.prog, hint)

    def _unknown_option(self) -> str:
        """The first word that looks like an option and is none; empty if there is none."""
        names = self.names
        for word in self._words:
            if word == "--":
                break
            name = word.partition("=")[0]
            if name.startswith("--") and name not in names:
                return name
            if name[:1] == "-" and name[1:2].isalpha() and name[:2] not in names:
                return name[:2]
        return ""


class Verb:
    """A verb of the command line: its arguments, its action, an example. `foreign`: options of containers are accepted
    or refused by name. Without "-h" among `help_names`, it asks for help only where it stands alone."""

    def __init__(
        self,
        arguments: Callable[[Parser], None],
        action: Callable[[Arguments], int],
        example: str,
        command_after: int = -1,
        *,
        help_names: tuple[str, ...] = ("-h", "--help"),
        foreign: bool = False,
    ) -> None:
        self.arguments = arguments
        self.action = action
        self.example = example
        self.command_after = command_after
        self.help_names = help_names
        self.foreign = foreign

    def parser(self, name: str, summary: str) -> Parser:
        parser = Parser(name, summary, self.example, self.help_names)
        self.arguments(parser)
        if "--json" not in parser.names:
            parser.flag("--json", action="store_true", help="print errors as JSON")
        if len(parser.options) > _MANY_OPTIONS:
            parser.usage = " ".join([name, "[OPTIONS]", *map(_form, parser.positionals)])
        return parser

    def parse(self, parser: Parser, words: list[str]) -> Arguments:
        """The arguments; `command` is the guest's command, if the verb takes one."""
        if self.command_after < 0:
            return self._parse_own(parser, words)
        own, command = self._split(parser, ["--help"] if words == ["-h"] else words)
        if self.foreign:
            from banger.cli.foreign_options import ACCEPTED, REFUSED, Foreign

            arguments = parser.parse(_without_foreign(parser, own, Foreign(ACCEPTED, REFUSED)))
        else:
            arguments = self._parse_own(parser, own)
        arguments.command = command
        return arguments

    def _parse_own(self, parser: Parser, own: list[str]) -> Arguments:
        """Foreign options are looked for only where the words are wrong otherwise, so that usual lines start as
        fast as they can."""
        try:
            return parser.parse(own)
        except UsageError:
            from banger.cli.foreign_options import foreign_to

            kept = _without_foreign(parser, own, foreign_to(parser.prog))
            if kept == own:
                raise
        return parser.parse(kept)

    def _split(self, parser: Parser, words: list[str]) -> tuple[list[str], list[str]]:
        if not self.foreign:
            return split_command(words, parser.options, self.command_after)
        from banger.cli.foreign_options import VALUED

        return split_command(words, parser.options, self.command_after, VALUED)

    def own_words(self, parser: Parser, words: list[str]) -> list[str]:
        """The words that are not the guest's."""
        return words if self.command_after < 0 else self._split(parser, words)[0]


def _without_foreign(parser: Parser, own: list[str], foreign: Foreign) -> list[str]:
    """The words that are left, after a line for each option that is accepted. Raises `UsageError` for an option that is
    refused."""
    from banger.cli.failure import warn
    from banger.cli.foreign_options import take_out

    kept, lines, refused = take_out(own, foreign)
    if refused:
        raise UsageError(f"banger has no {refused}", parser.prog, foreign.refused[refused][1])
    for line in [] if "-q" in own or "--quiet" in own else lines:
        warn(line)
    return kept


def _form(positional: argparse.Action) -> str:
    """A positional, as the line with the usage has it."""
    word = str(positional.metavar)
    return {"?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} [{word} ...]"}.get(
        str(positional.nargs), word
    )


def load_verb(noun: str, name: str) -> Verb:
    """Import the module of a verb, and no other verb's."""
    module, attribute, _ = NOUNS[noun][name]
    full = f"banger.cli.verbs.{module}"
    __import__(full)
    verb: Verb = getattr(sys.modules[full], attribute)
    return verb


def split_command(
    words: list[str], options: list[argparse.Action], positionals: int, valued: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Banger's words, and the guest's: all words after this many `positionals`, without a `--` before them. `valued`
    are names of further options with a value."""
    takes_value = {
        name for option in options if option.nargs not in (0, "?") for name in option.option_strings
    }
    takes_value |= valued
    choices = {
        name: option.choices or ()
        for option in options
        if option.nargs == "?"
        for name in option.option_strings
    }
    switches = {name for option in options if option.nargs == 0 for name in option.option_strings}
    own: list[str] = []
    at = 0
    while at < len(words) and positionals:
        word = words[at]
        if word == "--":
            own += words[at : at + 1 + positionals]
            at += 1 + positionals
            positionals = 0
        elif word in choices:
            follows = words[at + 1] if at + 1 < len(words) and words[at + 1] in choices[word] else ""
            own.append(f"{word}={follows}" if follows else word + "=")
            at += 2 if follows else 1
        elif word.startswith("-") and word != "-":
            taken = words[at : at + 1 + _value_follows(word, takes_value)]
            own += _switched(taken, switches)
            at += len(taken)
        else:
            own.append(word)
            at += 1
            positionals -= 1
    command = words[at:]
    return own, command[1:] if command[:1] == ["--"] else command


def _switched(words: list[str], switches: set[str]) -> list[str]:
    """`--rm=true` is `--rm`, and `--rm=false` is nothing."""
    name, equals, value = words[0].partition("=")
    if equals and name in switches and value in ("true", "false", "1", "0"):
        return [name] if value in ("true", "1") else []
    return words


def _value_follows(word: str, takes_value: set[str]) -> bool:
    """Whether the next word is the value of this option: `--name x`, `-e x`, `-ite x`."""
    if word.startswith("--"):
        return word in takes_value
    letters = word[1:]
    for index, letter in enumerate(letters):
        if f"-{letter}" in takes_value:
            return index == len(letters) - 1
    return False


def json_flag(parser: Parser) -> None:
    parser.flag("--json", action="store_true", help="print output and errors as JSON")


def exec_flag(parser: Parser, help_: str) -> None:
    """Add an option for the number of a command in a machine."""
    parser.flag("--exec", type=at_least(1), metavar="ID", help=help_)


def worded(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A `type` for argparse from a function that raises ValueError, whose message argparse would replace."""

    def value(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return value


def seconds(text: str) -> float:
    """A `type` for argparse: a duration in seconds."""
    from banger.cli.durations import parse_duration

    try:
        return parse_duration(text)
    except Error as exc:
        raise _unusable(exc) from exc


def size(text: str) -> int:
    """A `type` for argparse: a size in bytes."""
    from banger.model.sizes import parse_size

    try:
        return parse_size(text)
    except Error as exc:
        raise _unusable(exc) from exc


def mebibytes(text: str) -> int:
    """A `type` for argparse: a size in whole MiB."""
    size_bytes = size(text)
    if size_bytes % (1024 * 1024):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of MiB")
    return size_bytes // (1024 * 1024)


def at_least(lowest: int) -> Callable[[str], int]:
    """A `type` for argparse: a whole number, at least `lowest`."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {lowest}")
        return int(text)

    return number


def above_zero(text: str) -> float:
    """A `type` for argparse: a number above zero, whole or not."""
    whole, _, fraction = text.partition(".")
    if not (text.isascii() and (whole + fraction).isdigit() and float(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")
    return float(text)


def _unusable(error: Error) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{error.message}; {error.hint}")

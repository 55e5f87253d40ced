"""All verbs with their options, as data, for completion, the reference and tests."""

from __future__ import annotations

from argparse import Action
from collections.abc import Iterator

from banger.cli.parser import Parser, load_verb
from banger.cli.table import NOUNS


class Surveyed:
    """One verb. `parser` is what parses it."""

    def __init__(self, noun: str, name: str, summary: str) -> None:
        verb = load_verb(noun, name)
        self.noun = noun
        self.name = name
        self.summary = summary
        self.example = verb.example
        self.takes_command = verb.command_after >= 0
        self.parser: Parser = verb.parser(f"banger {noun} {name}", summary)

    @property
    def key(self) -> str:
        return f"{self.noun} {self.name}"

    @property
    def options(self) -> list[Action]:
        return self.parser.options

    @property
    def valued_options(self) -> list[Action]:
        return [option for option in self.options if option.nargs != 0]

    @property
    def positionals(self) -> list[Action]:
        """The positionals without the guest's command."""
        return [action for action in self.parser.positionals if action.dest != "command"]


def survey() -> Iterator[Surveyed]:
    """Every verb, in the order of the table."""
    for noun, verbs in NOUNS.items():
        for name, (_, _, summary) in verbs.items():
            yield Surveyed(noun, name, summary)

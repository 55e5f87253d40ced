"""Manual pages, made from the parsers: `python -m banger.cli.manual DIRECTORY` writes banger.1, and a page for each
verb, such as banger-vm-run.1. Only for packagers: the command line never loads this."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from banger import __version__
from banger.cli.table import NOUN_SUMMARIES, NOUNS, SHORT_FORMS
from banger.cli.verbs.survey import Surveyed, survey

_OTHER = "options"


def pages() -> Iterator[tuple[str, str]]:
    """The file name and the text of each page."""
    yield "banger.1", "\n".join(_overview()) + "\n"
    for verb in survey():
        yield f"banger-{verb.noun}-{verb.name}.1", "\n".join(_page(verb)) + "\n"


def _overview() -> Iterator[str]:
    yield _heading("banger")
    yield from (".SH NAME", r"banger \- microVMs as easily as containers")
    yield from (".SH SYNOPSIS", r"\fBbanger\fR \fINOUN VERB\fR [\fIOPTIONS\fR] ...")
    for noun, verbs in NOUNS.items():
        yield f".SH {roff(noun.upper())}"
        yield roff(f"{NOUN_SUMMARIES[noun].capitalize()}.")
        for name, entry in verbs.items():
            yield from (
                ".TP",
                rf"\fBbanger\-{roff(noun)}\-{roff(name)}\fR(1)",
                roff(f"{entry[2].capitalize()}."),
            )
    yield ".SH SHORT FORMS"
    for short, (noun, name) in SHORT_FORMS.items():
        yield from (".TP", rf"\fB{roff(short)}\fR", roff(f"{noun} {name}"))


def _page(verb: Surveyed) -> Iterator[str]:
    words = verb.parser.format_usage().partition(":")[2].split()
    yield _heading(f"banger-{verb.noun}-{verb.name}")
    yield from (".SH NAME", rf"banger\-{roff(verb.noun)}\-{roff(verb.name)} \- {roff(verb.summary)}")
    yield from (".SH SYNOPSIS", roff(" ".join(words)))
    shorts = [short for short, meant in SHORT_FORMS.items() if meant == (verb.noun, verb.name)]
    if shorts:
        yield from (".SH DESCRIPTION", roff(f"Short form: banger {', banger '.join(shorts)}."))
    for group in verb.parser._action_groups:
        if group._group_actions:
            yield f".SH {roff((group.title or _OTHER).upper())}"
            for action in group._group_actions:
                yield from (".TP", _term(action), roff(action.help or ""))
    yield from (".SH EXAMPLES", ".nf", *map(roff, verb.example.splitlines()), ".fi")
    yield from (".SH SEE ALSO", r"\fBbanger\fR(1)")


def _term(action: argparse.Action) -> str:
    value = action.metavar or (
        f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
    )
    names = ", ".join(rf"\fB{roff(name)}\fR" for name in action.option_strings)
    if action.option_strings and action.nargs == 0:
        return names
    return f"{names} \\fI{roff(str(value))}\\fR".strip()


def _heading(name: str) -> str:
    return f'.TH {roff(name.upper())} 1 "" "banger {roff(__version__)}" "banger"'


def roff(text: str) -> str:
    """Text that means only itself: no escapes, no requests at the begin of a line, and dashes that can be copied."""
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + plain if plain[:1] in (".", "'") else plain


def write(directory: Path) -> int:
    """Write all pages; return their number."""
    directory.mkdir(parents=True, exist_ok=True)
    written = 0
    for name, text in pages():
        (directory / name).write_text(text, encoding="utf-8")
        written += 1
    return written


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]))} pages in {sys.argv[1]}")

"""docs/cli.md, made from the parsers: `python -m banger.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

from banger.cli.table import NOUN_ALIASES, NOUN_SUMMARIES, SHORT_FORMS, VERB_ALIASES
from banger.cli.verbs.survey import Surveyed, survey

_HEAD = """\
# The command line

Made by `python -m banger.cli.reference` from the parsers; a test says whether it is current.

    banger NOUN VERB [OPTIONS] ...

Sizes are written like `512MiB`, `4GiB` or `4G`, a bare number is MiB; durations like `500ms`, `30s`, `5m` or `1h`, a
bare number is seconds. `--debug` shows the traceback of an error, `--json` prints what the API says.
"""

_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | all is well |
| 1 | `vm health`: something is not ok; `vm cp`: no such file; `doctor --strict`: a warning |
| 2 | arguments that make no sense; `doctor`: something keeps machines from running |
| 124 | `--timeout` ended the command |
| 125 | banger failed: no such machine, no daemon, … |
| 126, 127 | the command cannot be run; was not found |
| 128+N | the command was ended by signal N |
| 130 | Ctrl-C ended banger itself |
| 141 | the reader of the output closed it |

`run`, `exec` and `attach` otherwise end with the exit code of the guest's command.
"""

_KEYS = """\
## Keys and signals

With `-it` every key goes to the guest, Ctrl-C and Ctrl-Z too. Ctrl-^ and then Ctrl-Q leave the command running and give
the terminal back. `--detach-keys` names other keys, in Docker's words (`ctrl-p,ctrl-q`), and `""` none; the variable
`BANGER_DETACH_KEYS` does so for every command. A key that begins like them reaches the guest half a second later if the
rest does not follow. `vm attach` comes back to a main command, `vm attach --exec ID` to any other; `vm execs` lists
both. Several terminals may attach to one command: each shows its output. `run` and `exec` without a command, at a
terminal, imply `-it`.

Without a terminal SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command: to its process
alone, as with `vm kill --signal` and the stop signal of `vm stop`. A second Ctrl-C within a second, or a third one,
gives up: the command of an `exec` and all that it started in its session get SIGHUP, a `run --rm` is removed, any
other `run` goes on.

Without `-i`, stdin is not read.
"""


def reference() -> Iterator[str]:
    yield _HEAD
    yield _short_forms()
    noun = ""
    for verb in survey():
        if verb.noun != noun:
            noun = verb.noun
            yield f"## {noun}: {NOUN_SUMMARIES[noun]}\n"
        yield _section(verb)
    yield _KEYS
    yield _CODES


def _short_forms() -> str:
    shorts = ", ".join(f"`{short}` is `{noun} {verb}`" for short, (noun, verb) in SHORT_FORMS.items())
    aliases = ", ".join(f"`{word}` is `{full}`" for word, full in {**VERB_ALIASES, **NOUN_ALIASES}.items())
    return f"Short forms: {shorts}.\n\nOther names: {aliases}.\n"


def _section(verb: Surveyed) -> str:
    return f"### banger {verb.key}\n\n```\n{verb.parser.format_help().rstrip()}\n```\n"


if __name__ == "__main__":
    print("\n".join(reference()), end="")

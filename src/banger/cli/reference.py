"""docs/cli.md, made from the parsers: `python -m banger.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

from banger.cli.table import NOUN_ALIASES, NOUN_SUMMARIES, SHORT_FORMS, VERB_ALIASES
from banger.cli.verbs.survey import Surveyed, survey

_HEAD = """\
# The command line

`python -m banger.cli.reference` writes this page from the parsers; a test fails when the page is not current.

    banger NOUN VERB [OPTIONS] ...

Write a size as `512MiB`, `4GiB` or `4G`; a number without a unit is in MiB. Write a duration as `500ms`, `30s`, `5m`
or `1h`; a number without a unit is in seconds. `--debug` shows the traceback of an error. `--json` prints the answer
of the API. `banger -H HOST ...` (`--host HOST`, `BANGER_HOST`) uses a daemon of another host
([security.md](security.md#a-daemon-of-another-host)).
"""

_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | success |
| 1 | `vm health`: something is not ok; `vm cp`: the file does not exist; `doctor --strict`: a warning |
| 2 | wrong arguments; `doctor`: a problem that keeps machines from running |
| 124 | `--timeout` ended the command |
| 125 | banger failed: the machine does not exist, the daemon does not answer, … |
| 126, 127 | the command cannot be executed; the command was not found |
| 128+N | signal N ended the command |
| 130 | Ctrl-C ended banger itself |
| 141 | the reader of the output closed it |

Otherwise `run`, `exec` and `attach` end with the exit code of the command in the guest.
"""

_KEYS = """\
## Keys and signals

With `-it`, every key goes to the guest, Ctrl-C and Ctrl-Z included. Ctrl-^ followed by Ctrl-Q detaches: the command
keeps running and the terminal is yours again. `--detach-keys` sets other keys, written as in Docker (`ctrl-p,ctrl-q`),
and `""` sets none; the variable `BANGER_DETACH_KEYS` sets the keys for every command. When you type only the beginning
of the detach keys, it reaches the guest after half a second. `vm attach` attaches to the main command again, and `vm
attach --exec ID` to any other command; `vm execs` lists all commands. Several terminals may attach to one command;
each shows its output. `run` and `exec` without a command imply `-it` when stdin and stdout are a terminal.

Without a terminal, banger passes SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 on to the command. Only the
process of the command gets the signal, as with `vm kill --signal` and with the stop signal of `vm stop`. A second
Ctrl-C within a second, or a third one at any time, gives up: banger sends SIGHUP to the command of an `exec` and to
everything that the command started in its session, deletes the machine of a `run --rm`, and leaves any other `run`
running.

Without `-i`, banger does not read stdin.
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

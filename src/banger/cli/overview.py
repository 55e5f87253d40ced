"""The output of `banger`, `banger help` and `banger vm`."""

from __future__ import annotations

from banger.cli.table import NOUN_SUMMARIES, NOUNS, SHORT_FORMS, find_noun

_ASKS = ("help", "-h", "--help")
_COMMON = {
    "run": "run a command in a new machine",
    "exec": "run a command in a running machine",
    "ps": "list machines",
    "logs": "print what a machine's command wrote",
    "cp": "copy files into a machine or out of it",
    "stop": "shut machines down",
    "start": "start machines again",
    "rm": "delete machines and their disks",
    "pull": "fetch an image",
    "images": "list images",
    "fork": "make running copies of a running machine",
    "snapshot": "save a machine's memory and disk",
    "up": "start the machines of a Compose file",
    "doctor": "check this host, and say how to fix problems",
}
_WIDTH = 80
_FIRST = """
This host has no machines yet. Next:
  banger doctor                      checks whether it can run them
  banger run -it debian-bookworm     fetches an image and starts a shell in a machine"""


def show_overview(words: list[str]) -> int:
    """Answer `help`, a noun alone, or unknown words."""
    as_json = "--json" in words
    asked = [word for word in words if word not in (*_ASKS, "--json")]
    if not asked:
        print(overview(_width()))
        if not words and _is_fresh():
            print(_FIRST)
        return 0
    noun = find_noun(asked[0])
    if noun is None:
        return _unknown(asked[0], "", as_json)
    if len(asked) == 1:
        print(noun_overview(noun, _width()))
        return 0
    return _unknown(asked[1], noun, as_json)


def overview(width: int = _WIDTH) -> str:
    """The common commands with a line each, all nouns with their verbs, and the other short forms."""
    lines = ["banger: microVMs as easily as containers", "", "usage: banger COMMAND ...", ""]
    lines += ["common commands:"]
    lines += [f"  {short:<11}{summary}" for short, summary in _COMMON.items()]
    lines += ["", "all commands (`banger NOUN VERB`):"]
    for noun, verbs in NOUNS.items():
        lines += [f"  {noun:<11}{NOUN_SUMMARIES[noun]}", *_wrap(list(verbs), width)]
    lines += [
        "",
        "more short forms:",
        *_wrap([short for short in SHORT_FORMS if short not in _COMMON], width),
    ]
    lines += ["", "options: --version, --debug (show tracebacks),"]
    lines += ["         -H, --host HOST (a daemon of another host)"]
    lines += ["`banger help COMMAND` explains a command,", "`banger NOUN` lists its verbs.", ""]
    return "\n".join([*lines, "example:", "  banger run --rm debian-bookworm -- uname -a"])


def noun_overview(noun: str, width: int = _WIDTH) -> str:
    """The verbs of one noun."""
    lines = [f"banger {noun}: {NOUN_SUMMARIES[noun]}", "", f"usage: banger {noun} VERB ...", ""]
    for name, entry in NOUNS[noun].items():
        first, *more = _wrap(entry[2].split(), width)
        lines += [f"  {name:<11}{first.strip()}", *more]
    return "\n".join([*lines, "", f"`banger {noun} VERB --help` explains one."])


def _width() -> int:
    from banger.cli.terminal import output_width

    return min(_WIDTH, output_width() or _WIDTH)


def _is_fresh() -> bool:
    """Whether no daemon has ever run for this user."""
    import os

    from banger.errors import Error
    from banger.places import state_directory

    try:
        named = os.environ.get("BANGER_SOCKET") or os.environ.get("BANGER_HOST")
        return not named and not os.path.exists(state_directory())
    except Error:
        return False


def _wrap(words: list[str], width: int) -> list[str]:
    """Lines of words, indented."""
    indent, lines = " " * 13, [""]
    for word in words:
        if len(indent) + len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += word + " "
    return [indent + line.rstrip() for line in lines]


def _unknown(word: str, noun: str, as_json: bool) -> int:
    from banger.cli.failure import report_usage
    from banger.cli.suggestions import suggest_command

    where = f"banger {noun}".rstrip()
    return report_usage(f"there is no command `{where} {word}`", where, as_json, suggest_command(word, noun))

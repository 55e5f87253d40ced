"""What a word that is no command or option may have meant: a near one, or the word of another tool. Loaded only for
errors."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from banger.cli.table import NOUN_ALIASES, NOUNS, SHORT_FORMS, VERB_ALIASES, find_verb

# Words of other tools, and what to do instead.
OTHERS = {
    "buildx": "banger build -t NAME DIRECTORY",
    "clone": "banger fork NAME makes a running copy",
    "shell": "banger exec -it NAME sh",
    "console": "banger logs --console NAME; `banger attach NAME` connects to the command",
    "launch": "banger run -d IMAGE",
    "up": "banger compose up",
    "ls": "banger ps",
    "destroy": "banger rm -f NAME",
    "remove": "banger rm NAME",
    "mount": "banger run -v ./src:/src IMAGE gives a machine a directory of this host",
    "transfer": "banger cp SRC NAME:DST",
    "context": "BANGER_HOST, or `banger -H HOST`, names another daemon",
    "swarm": "one daemon manages the machines of one host",
    "service": "`banger up` makes the machines of a Compose file",
    "stack": "`banger up` makes the machines of a Compose file",
    "plugin": "banger has no plugins",
    "builder": "`banger build --prune` deletes the caches of builds",
    "manifest": "`banger image show NAME` says what an image was made of",
    "serve": "the daemon starts by itself; `banger system start` starts it now",
    "daemon": "banger system start",
}
# Options of other tools, and what to do instead.
OTHER_OPTIONS = {
    "--ttl": "--timeout ends the command after a time",
    "--mem": "--memory",
    "--ram": "--memory",
    "--vcpus": "--cpus",
    "--cpu": "--cpus",
    "--tags": "--label",
    "--remove": "--rm",
    "--background": "--detach",
    "--daemon": "--detach",
}
_CUTOFF = 0.6


def suggest_command(word: str, noun: str = "") -> str:
    """What `banger WORD`, or `banger NOUN WORD`, may have meant; empty if nothing is near."""
    if noun:
        near = get_close_matches(word, [*NOUNS[noun], *_aliases_of(noun)], 1, _CUTOFF)
        found = [f"banger {noun} {near[0]}"] if near else list(_elsewhere(word))
    elif word in OTHERS:
        return OTHERS[word]
    else:
        found = list(_elsewhere(word))
        first = [*SHORT_FORMS, *NOUNS, *NOUN_ALIASES, "help"]
        verbs = sorted({verb for verbs in NOUNS.values() for verb in verbs if verb not in first})
        closest = "".join(get_close_matches(word, [*verbs, *first], 1, _CUTOFF))
        if not found and closest:
            found = [f"banger {closest}"] if closest in first else list(_elsewhere(closest))
    if found:
        return f"did you mean {' or '.join(f'`{one}`' for one in found)}?"
    return OTHERS.get(word, "")


def suggest_option(option: str, names: Iterable[str], usage: str) -> str:
    """What an unknown option may have meant, and where all options are explained."""
    known = list(names)
    where = f"`{usage} --help` lists all options"
    if option in OTHER_OPTIONS:
        return f"{OTHER_OPTIONS[option]}; {where}"
    near = get_close_matches(option, [name for name in known if name.startswith("--")], 1, _CUTOFF)
    if option.startswith("--") and near:
        return f"did you mean `{near[0]}`? {where}"
    return where


def _elsewhere(word: str) -> Iterable[str]:
    """Where this is a verb: its short form, or its nouns."""
    if word in SHORT_FORMS:
        return [f"banger {word}"]
    return [f"banger {noun} {word}" for noun in NOUNS if word and find_verb(noun, word)][:3]


def _aliases_of(noun: str) -> list[str]:
    return [alias for alias, verb in VERB_ALIASES.items() if verb in NOUNS[noun]]

"""Completion scripts for shells, made from the parsers. zsh can run the script of bash, and fish asks it.

Names of machines, images and so on come from `banger ... list -q`, which does not start a daemon for completion.
"""

from __future__ import annotations

from argparse import Action
from collections.abc import Iterable, Iterator

from banger.cli.parser import Arguments, Parser, Verb
from banger.cli.table import NOUN_ALIASES, NOUNS, SHORT_FORMS, VERB_ALIASES
from banger.cli.verbs.survey import Surveyed, survey

_BASH = """\
# bash completion for banger. Load it with: source <(banger completion bash)
_banger_names() {
    BANGER_COMPLETING=1 command "${COMP_WORDS[0]}" "$1" list -q 2>/dev/null </dev/null
}
# The machines that have snapshots, or the tags of one.
_banger_snapshots() {
    local machine tag
    _banger_names snapshot | while read -r machine tag; do
        if (($# == 0)); then
            printf '%s\\n' "$machine"
        elif [[ $machine == "$1" ]]; then
            printf '%s\\n' "$tag"
        fi
    done | sort -u
}
# The kind of the positional at a place: the rest are all kinds, a + repeats the last one.
_banger_kind() {
    local place=$1
    shift
    while ((place > 0 && $# > 1)); do
        shift
        ((place -= 1))
    done
    if ((place == 0)) || [[ ${1-} == *+ ]]; then
        set -- "${1-}"
        printf %s "${1%+}"
    fi
}
_banger() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]-}
    local noun=${COMP_WORDS[1]-} verb=${COMP_WORDS[2]-} first=3
    local words='' flags='' valued='' kinds='' kind='' named='' ends=99 place=0 i
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '@FIRST@' -- "$cur"))
        return
    fi
    case $noun in
@SHORTS@
    esac
    if ((first == 3 && COMP_CWORD == 2)); then
        case $noun in
@VERBS@
        esac
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        return
    fi
    case "$noun $verb" in
@ALIASES@
    esac
    case "$noun $verb" in
@FACTS@
    esac
    case "$noun $verb $prev" in
@VALUES@
    *)
        for ((i = first; i < COMP_CWORD; i++)); do
            if [[ " $valued " == *" ${COMP_WORDS[i]} "* ]]; then
                ((i += 1))
            elif [[ ${COMP_WORDS[i]} != -* ]]; then
                ((place += 1))
                named=${named:-${COMP_WORDS[i]}}
            fi
        done
        if ((place >= ends)); then
            return
        elif [[ $cur == -* ]]; then
            words=$flags
        else
            kind=$(_banger_kind "$place" $kinds)
        fi
        ;;
    esac
    case $kind in
    vm | image | kernel | catalog | template | network | compose | operation) words=$(_banger_names "$kind") ;;
    snapshot) words=$(_banger_snapshots) ;;
    tag) words=$(_banger_snapshots "$named") ;;
    place)
        compopt -o nospace 2>/dev/null || :
        for i in $(_banger_names vm); do words+=" $i:"; done
        ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _banger banger
"""

_ZSH = """\
#compdef banger
# zsh completion for banger. Load it with: source <(banger completion zsh)
(( $+functions[compdef] )) || { autoload -U +X compinit && compinit }
autoload -U +X bashcompinit && bashcompinit
"""
# A file of this name in fpath is the body of a function: zsh runs it at the first Tab, which wants words, too.
_ZSH_FIRST_TAB = """\
if [[ ${funcstack[1]-} == _banger ]]; then
    _bash_complete -o default -F _banger
fi
"""

_FISH = """\
# fish completion for banger. Load it with: banger completion fish | source
# The script of bash, which knows all words, answers.
set -g __banger_bash '@BASH@'
function __banger_complete
    set -l found (bash -c "$__banger_bash"'
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _banger; printf "%s\\n" "${COMPREPLY[@]}"' \
        bash (commandline -opc) (commandline -ct) 2>/dev/null)
    if test -n "$found"
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c banger -f -a '(__banger_complete)'
"""

_KINDS = {
    "image": "image",
    "id": "operation",
    "source": "place",
    "target": "place",
    "machine": "snapshot",
    "tag": "tag",
    "tags": "tag+",
    "vm": "vm",
}
_VALUE_KINDS = {"kernel": "kernel", "machine": "vm", "project": "compose"}


def bash_script() -> str:
    verbs = list(survey())
    parts = {
        "@FIRST@": " ".join([*NOUNS, *SHORT_FORMS, "help", "--version"]),
        "@SHORTS@": _cases(_noun_cases()),
        "@VERBS@": _cases((noun, f"words='{' '.join(names)}'") for noun, names in NOUNS.items()),
        "@ALIASES@": _cases(_verb_cases()),
        "@FACTS@": _cases((f"'{verb.key}'", _facts(verb)) for verb in verbs),
        "@VALUES@": _cases(case for verb in verbs for case in _value_cases(verb)),
    }
    script = _BASH
    for mark, text in parts.items():
        script = script.replace(mark, text)
    return script


def zsh_script() -> str:
    return _ZSH + bash_script().partition("\n")[2] + _ZSH_FIRST_TAB


def fish_script() -> str:
    quoted = bash_script().replace("\\", "\\\\").replace("'", "\\'")
    return _FISH.replace("@BASH@", quoted)


def _cases(cases: Iterable[tuple[str, str]]) -> str:
    """The branches of a `case`; long ones on lines of their own."""
    return "\n".join(f"    {pattern}) {action} ;;" for pattern, action in cases)


def _noun_cases() -> Iterator[tuple[str, str]]:
    for short, (noun, verb) in SHORT_FORMS.items():
        yield short, f"noun={noun} verb={verb} first=2"
    for alias, noun in NOUN_ALIASES.items():
        yield alias, f"noun={noun}"


def _verb_cases() -> Iterator[tuple[str, str]]:
    """Other names of verbs, except where a noun has a verb of that name."""
    for noun, verbs in NOUNS.items():
        yield from ((f"'{noun} {short}'", ":") for short in VERB_ALIASES if short in verbs)
    for short, verb in VERB_ALIASES.items():
        yield f"*' {short}'", f"verb={verb}"


def _facts(verb: Surveyed) -> str:
    flags = " ".join(name for option in verb.options for name in option.option_strings)
    valued = " ".join(name for option in verb.valued_options for name in option.option_strings)
    kinds = " ".join(_kind(verb.noun, action) for action in verb.positionals)
    ends = f" ends={len(verb.positionals)}" if verb.takes_command else ""
    return f"flags='{flags}' valued='{valued}' kinds='{kinds}'{ends}"


def _kind(noun: str, action: Action) -> str:
    """The kind of names that a positional takes; "none" for an unknown kind."""
    if action.dest in ("name", "names"):
        return noun + ("+" if action.dest == "names" else "")
    return _KINDS.get(action.dest, "none")


def _value_cases(verb: Surveyed) -> Iterator[tuple[str, str]]:
    for option in verb.valued_options:
        pattern = " | ".join(f"'{verb.key} {name}'" for name in option.option_strings)
        if option.choices:
            yield pattern, f"words='{' '.join(option.choices)}'"
        else:
            kind = _VALUE_KINDS.get(option.dest)
            yield pattern, f"kind={kind}" if kind else "return"


def _nothing(parser: Parser) -> None:
    """The verb has no options of its own."""


def _bash(arguments: Arguments) -> int:
    print(bash_script(), end="")
    return 0


def _zsh(arguments: Arguments) -> int:
    print(zsh_script(), end="")
    return 0


def _fish(arguments: Arguments) -> int:
    print(fish_script(), end="")
    return 0


BASH = Verb(_nothing, _bash, "source <(banger completion bash)")
ZSH = Verb(_nothing, _zsh, "source <(banger completion zsh)")
FISH = Verb(_nothing, _fish, "banger completion fish | source")

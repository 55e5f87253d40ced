"""The output of `banger`, `banger help` and `banger vm`."""

from __future__ import annotations

from banger.cli.table import NOUN_SUMMARIES, NOUNS, SHORT_FORMS, find_noun

_ASKS = ("help", "-h", "--help")


def show_overview(words: list[str]) -> int:
    """Answer `help`, a noun alone, or unknown words."""
    asked = [word for word in words if word not in _ASKS]
    if not asked:
        print(overview())
        return 0
    noun = find_noun(asked[0])
    if noun is None:
        return _unknown(asked[0], "banger")
    if len(asked) == 1:
        print(noun_overview(noun))
        return 0
    return _unknown(asked[1], f"banger {noun}")


def overview() -> str:
    """All nouns with their verbs, and the short forms."""
    lines = ["banger: microVMs as easily as containers", "", "usage: banger NOUN VERB ...", ""]
    for noun, verbs in NOUNS.items():
        lines += [f"  {noun:<11}{NOUN_SUMMARIES[noun]}", f"  {'':<11}{_wrap(list(verbs))}"]
    shorts = " ".join(SHORT_FORMS)
    lines += ["", f"short forms: {shorts}", "", "options: --version, --debug (show tracebacks)"]
    lines += ["", "`banger NOUN` lists its verbs, `banger NOUN VERB --help` explains one.", ""]
    return "\n".join([*lines, "example:", "  banger run --rm debian-bookworm -- uname -a"])


def noun_overview(noun: str) -> str:
    """The verbs of one noun."""
    lines = [f"banger {noun}: {NOUN_SUMMARIES[noun]}", "", f"usage: banger {noun} VERB ...", ""]
    lines += [f"  {name:<9}{entry[2]}" for name, entry in NOUNS[noun].items()]
    return "\n".join([*lines, "", f"`banger {noun} VERB --help` explains one."])


def _wrap(words: list[str], width: int = 66) -> str:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word + " "
    return ("\n" + " " * 13).join(line.rstrip() for line in lines)


def _unknown(word: str, where: str) -> int:
    from banger.cli.failure import report_usage

    return report_usage(f"there is no command `{where} {word}`", where)

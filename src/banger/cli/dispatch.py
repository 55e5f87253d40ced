"""From words to a verb: find it, parse the rest, run it, turn errors into an exit code."""

from __future__ import annotations

import sys

from banger.cli.table import NOUNS, SHORT_FORMS, find_noun, find_short_form, find_verb, split_leading


def dispatch(words: list[str]) -> int:
    """Run `banger WORDS`. Returns its exit code."""
    from banger.cli.pipes import ensure_standard_files

    ensure_standard_files()
    words, debug, host = _split_own(words)
    if host is not None and not _name_host(host):
        return _usage("--host needs the place of a daemon, such as https://10.0.0.7:8040")
    if words[:1] == ["help"]:
        words = _asked_about(words[1:])
    try:
        return _run(words, debug)
    except BrokenPipeError:
        return _ended_pipe()
    except KeyboardInterrupt:
        from banger.cli.failure import INTERRUPTED

        return INTERRUPTED


def _split_own(words: list[str]) -> tuple[list[str], bool, str | None]:
    """The words after our own options, whether there is --debug, and the value of --host, if it is there."""
    debug, host = False, None
    while words:
        name, equals, value = words[0].partition("=")
        if words[0] == "--debug":
            debug, words = True, words[1:]
        elif name in ("-H", "--host"):
            host, words = (value, words[1:]) if equals else ("".join(words[1:2]), words[2:])
        else:
            break
    return words, debug, host


def _name_host(host: str) -> bool:
    """Let `host` be the daemon of this process, and of programs that it becomes. False for nothing at all."""
    import os

    os.environ["BANGER_HOST"] = host
    return bool(host)


def _usage(message: str) -> int:
    from banger.cli.failure import report_usage

    return report_usage(message, "banger", False)


def _run(words: list[str], debug: bool) -> int:
    found = _find(words)
    if found is None:
        return _overview(words)
    from banger.cli.parser import UsageError, load_verb

    noun, name, rest = found
    verb = load_verb(noun, name)
    parser = verb.parser(f"banger {noun} {name}", NOUNS[noun][name][2])
    try:
        arguments = verb.parse(parser, rest)
    except UsageError as exc:
        from banger.cli.failure import report_usage

        return report_usage(str(exc), exc.usage, "--json" in verb.own_words(parser, rest), exc.hint)
    except SystemExit as exc:
        return int(exc.code or 0)
    return _act(verb.action, arguments, debug or arguments.debug)


def _asked_about(words: list[str]) -> list[str]:
    """The words of `banger help WORDS` in their usual order: `--help` last."""
    if not words or (len(words) == 1 and words[0] not in SHORT_FORMS):
        return ["help", *words]
    return [*words[: 1 if find_short_form(words) else 2], "--help"]


def _act(action: object, arguments: object, debug: bool) -> int:
    from banger.cli.parser import UsageError
    from banger.errors import Error

    assert callable(action)
    as_json = bool(getattr(arguments, "json", False))
    try:
        return int(action(arguments))
    except BrokenPipeError:
        raise
    except UsageError as exc:
        from banger.cli.failure import report_usage

        return report_usage(str(exc), exc.usage, as_json, exc.hint)
    except Exception as exc:
        from banger.cli.failure import report, report_unexpected

        if debug:
            _print_traceback()
        return report(exc, as_json) if isinstance(exc, Error) else report_unexpected(exc, as_json)


def _print_traceback() -> None:
    from traceback import print_exc

    print_exc()


def _find(words: list[str]) -> tuple[str, str, list[str]] | None:
    """Noun, verb and the other words; None if an overview is to be shown."""
    if not words:
        return None
    if short := find_short_form(words):
        return *short, words[1:]
    noun = find_noun(words[0])
    if noun is None:
        return None
    leading, rest = split_leading(noun, words[1:])
    verb = find_verb(noun, rest[0]) if rest else None
    return (noun, verb, [*leading, *rest[1:]]) if verb else None


def _overview(words: list[str]) -> int:
    from banger.cli.overview import show_overview

    return show_overview(words)


def _ended_pipe() -> int:
    """The reader of our output is gone: end as quietly as a program that SIGPIPE ends."""
    import os

    from banger.cli.failure import BROKEN_PIPE

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    return BROKEN_PIPE

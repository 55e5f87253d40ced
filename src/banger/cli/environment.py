"""Environment variables for a guest: `-e K=V`, `-e K`, `--env-file F`, with Docker's meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from banger.errors import Error


def collect_environment(files: Iterable[str], pairs: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Files first, then pairs, later ones win. A name alone takes the value from `own`, if it has one."""
    result: dict[str, str] = {}
    for path in files:
        for line in _read_lines(path):
            _add(result, line, own)
    for pair in pairs:
        _add(result, pair, own)
    return result


def _add(result: dict[str, str], pair: str, own: Mapping[str, str]) -> None:
    name, equals, value = pair.partition("=")
    if not name or "\0" in pair:
        raise Error("bad_request", f"bad environment variable {pair!r}", "write it like NAME=value")
    if equals:
        result[name] = value
    elif name in own:
        result[name] = own[name]


def _read_lines(path: str) -> list[str]:
    """Lines that are neither empty nor comments; blanks before a name don't count."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\r\n").lstrip() for line in file]
    except OSError as exc:
        raise Error("bad_request", f"cannot read {path}: {exc.strerror}") from exc
    return [line for line in lines if line and not line.startswith("#")]

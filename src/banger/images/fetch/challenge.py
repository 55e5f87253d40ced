"""WWW-Authenticate headers, read as RFC 9110, section 11.6.1 (formerly RFC 7235) has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MAX_HEADER = 8192
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[ \t,]*({_TOKEN})(?:[ \t]+|$|(?=,))")
_PARAMETER = re.compile(rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[ \t]*(?:,|$))')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Challenge:
    """`scheme` and the parameters' names are lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges that can be parsed. A malformed challenge ends its header."""
    return [found for header in headers for found in _parse(header[:MAX_HEADER])]


def find_challenge(challenges: list[Challenge], scheme: str) -> Challenge | None:
    return next((found for found in challenges if found.scheme == scheme), None)


def _parse(header: str) -> Iterator[Challenge]:
    position = 0
    while match := _SCHEME.match(header, position):
        scheme, position = match[1].lower(), match.end()
        parameters: dict[str, str] = {}
        if not _PARAMETER.match(header, position) and (token := _TOKEN68.match(header, position)):
            position = token.end()
        while found := _PARAMETER.match(header, position):
            quoted, plain = found[2], found[3]
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(found[1].lower(), value)
            position = found.end()
        yield Challenge(scheme, parameters)

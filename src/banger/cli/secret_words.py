"""What `--secret` says: NAME[=env[:VARIABLE]] or NAME[=file[:PATH]], and the form of other tools, with commas.

What does not fit is not repeated in an error: it may be a value in the wrong place.
"""

from __future__ import annotations

import re

from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from banger.client.call import Facts

_FORM = "write NAME, NAME=file:/etc/app/key, NAME=env or NAME=env:VARIABLE; `banger secret set NAME` sets the value"
_KEYS = {"src": "source", "dst": "target", "destination": "target"}
_TYPES = {"mount": "file", "file": "file", "env": "env"}
_MODE = re.compile(r"0?[0-7]{3}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_secrets(words: Iterable[str]) -> list[Facts]:
    """Uses of secrets. Raises `bad_spec`."""
    return [_read_options(word) if "," in word else _read(word) for word in words]


def _read(word: str) -> Facts:
    name, equals, how = word.partition("=")
    kind, colon, target = how.partition(":")
    if not name:
        raise Error("bad_spec", "--secret without the name of a secret", _FORM)
    if not equals:
        return {"name": name}
    if kind not in ("env", "file") or bool(colon) != bool(target):
        raise Error("bad_spec", f"--secret {name}=... does not say env or file", _FORM)
    return {"name": name, "kind": kind} | ({"target": target} if target else {})


def _read_options(word: str) -> Facts:
    given: dict[str, str] = {}
    for number, part in enumerate(word.split(",")):
        key, equals, value = part.partition("=")
        if not number and not equals:
            key, value = "source", part
        given[_KEYS.get(key, key)] = value
    name = given.pop("source", "")
    kind = _TYPES.get(given.pop("type", "mount"))
    if not name or kind is None or given.keys() - {"target", "uid", "gid", "mode"}:
        raise Error("bad_spec", "a --secret with commas has an option that banger does not know", _FORM)
    use: Facts = {"name": name, "kind": kind}
    if target := given.get("target"):
        use["target"] = target
    for key in ("uid", "gid"):
        if key in given:
            use[key] = _number(given[key], name, _NUMBER, 10)
    if "mode" in given:
        use["mode"] = _number(given["mode"], name, _MODE, 8)
    return use


def _number(text: str, name: str, form: re.Pattern[str], base: int) -> int:
    if not form.fullmatch(text):
        raise Error("bad_spec", f"--secret {name},...: uid and gid are numbers, mode is like 0400", _FORM)
    return int(text, base)

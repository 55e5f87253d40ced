"""Names of machines: what is allowed, and made-up ones."""

from __future__ import annotations

import secrets

from banger.errors import Error

MAX_LENGTH = 63
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_FIRST = (
    "amber brave brisk calm clear clever cosy crisp eager early fair fleet fond fresh gentle glad "
    "golden grand happy keen kind light lively lucky mellow merry mild neat noble plain proud quick "
    "quiet rapid ready sharp silver smooth snug solid sound steady still sunny swift tidy true vivid "
    "warm wise"
).split()
_SECOND = (
    "alder ash aspen beech birch cedar cherry elm fir hazel holly larch linden maple oak olive pine "
    "plum poplar rowan spruce walnut willow yew badger bear crane dove eagle falcon finch fox hare "
    "hawk heron kite lark lynx marten otter owl plover raven robin salmon seal sparrow stork swan "
    "swift trout wren"
).split()


def check_name(name: str) -> str:
    """The name itself when it can be a host name and a file name. Raises `bad_name`."""
    if not name:
        raise _refuse(name, "it is empty")
    if len(name) > MAX_LENGTH:
        raise _refuse(name[:70], f"it is longer than {MAX_LENGTH} characters")
    if not _ALLOWED.issuperset(name):
        raise _refuse(name, "only a-z, 0-9 and - are allowed")
    if name[0] == "-" or name[-1] == "-":
        raise _refuse(name, "it begins or ends with -")
    return name


def invent_name() -> str:
    """A name for a machine that was given none, such as "quiet-otter-3f"."""
    return f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}-{secrets.token_hex(1)}"


def _refuse(name: str, reason: str) -> Error:
    return Error("bad_name", f"bad name {name!r}: {reason}", "use something like dev-1")

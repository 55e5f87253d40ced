"""Tokens: made, listed, revoked, and recognised in requests."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import msgspec

from banger.access.secret import digest_of, new_secret
from banger.errors import Error
from banger.host.times import now
from banger.model.access import NewToken, Token
from banger.model.principal import Principal, Rights
from banger.store.tokens import TokenTable

TOKENS_MAX = 1000
_PREFIX = "banger_"
# The time of the last use is written at most this often: a write to the store for each request would be dear.
_USE_S = 60.0


class Tokens:
    """All tokens of the store. A token that was revoked or has expired is worth nothing from that moment on."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table

    def create(self, name: str, rights: Rights, lasts_s: float | None) -> NewToken:
        """Raises `name_taken`, `too_many_tokens`."""
        if len(self._table.all()) >= TOKENS_MAX:
            hint = "banger token list shows them, banger token revoke NAME removes one"
            raise Error("too_many_tokens", f"there are {TOKENS_MAX} tokens, and no more are allowed", hint)
        secret = new_secret(_PREFIX)
        token = Token(name=name, rights=rights, made=now(), expires=_moment(lasts_s) if lasts_s else "")
        self._table.add(token, digest_of(secret))
        return NewToken(**msgspec.structs.asdict(token), secret=secret)

    def all(self) -> list[Token]:
        return self._table.all()

    def revoke(self, name: str) -> None:
        """Raises `token_not_found`."""
        if not self._table.delete(name):
            raise Error("token_not_found", f"no token named {name!r}", "banger token list")

    def find(self, secret: str) -> Token | None:
        """The token with this secret, if it is valid; notes its use."""
        digest = digest_of(secret)
        token = self._table.find(digest) if digest else None
        moment = now()
        if token is None or _has_expired(token, moment):
            return None
        if not token.used or token.used <= _moment(-_USE_S):
            self._table.note_use(token, moment)
        return token

    def is_valid(self, name: str) -> bool:
        """Whether the token of this name is still there, and has not expired."""
        token = self._table.named(name)
        return token is not None and not _has_expired(token, now())


def _has_expired(token: Token, moment: str) -> bool:
    return bool(token.expires) and token.expires <= moment


def label_of_token(name: str) -> str:
    return f"token {name}"


def principal_of_token(token: Token) -> Principal:
    return Principal(uid=os.geteuid(), way="token", rights=token.rights, label=label_of_token(token.name))


def _moment(in_s: float) -> str:
    """A time from now on, as `now` writes it. Raises `bad_request` for a time beyond all calendars."""
    try:
        moment = datetime.now(UTC) + timedelta(seconds=in_s)
    except OverflowError as exc:
        raise Error("bad_request", f"{in_s} s from now is too late", "choose a shorter time") from exc
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

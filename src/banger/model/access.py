"""Access over TCP: tokens, the web page, and who a caller is."""

from __future__ import annotations

from msgspec import Struct

from banger.model.principal import Rights, Way


class Token(Struct, kw_only=True):
    """A token without its secret, of which the store has only the SHA-256. Times are as in RFC 3339; `expires` is empty
    for a token that never expires, `used` for a token that was never used."""

    name: str
    rights: Rights = "write"
    made: str
    expires: str = ""
    used: str = ""


class NewToken(Token, kw_only=True):
    """A token with its `secret`, which banger shows only once."""

    secret: str


class Doorway(Struct, kw_only=True):
    """Where the daemon listens on TCP. `link` logs one browser in, once, until `link_expires`; on the loopback it names
    banger.localhost, where no guest sees the browser's cookie. `fingerprint` is the SHA-256 of the certificate, if
    there is one. `has_page` is false where the web page was not built, and only the API answers."""

    url: str
    link: str
    link_expires: str
    fingerprint: str = ""
    has_page: bool = True


class Caller(Struct, kw_only=True):
    """Who asks: the name of the principal, the way by which it came, and what it may do. `expires` is the end of a
    browser's session or of a token, as in RFC 3339, or empty."""

    principal: str
    way: Way
    rights: Rights
    version: str
    expires: str = ""

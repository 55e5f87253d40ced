"""Which names and pages may speak to the daemon. Pure.

A browser carries out requests for any page. `Host` is the name that the page used: a stranger's name that leads to this
address (DNS rebinding) is refused. `Origin` and `Sec-Fetch-Site` say which page asks: only banger's own page may.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from banger.errors import Error
from banger.places import PAGE_NAME

Headers = Iterable[tuple[bytes, bytes]]
# Names that no name server decides about: browsers lead them to the loopback.
_OURS = frozenset({"localhost", PAGE_NAME})
_SAME = frozenset({"same-origin", "none"})


def values_of(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def one_of(headers: Headers, name: bytes) -> str:
    """The value of a header that may be there once; empty if it is not there. Raises `bad_request`."""
    found = values_of(headers, name)
    if len(found) > 1:
        raise Error("bad_request", f"the header {name.decode()} is there more than once")
    return found[0].strip() if found else ""


def check_host(host: str, names: Iterable[str] = ()) -> None:
    """Raises `origin_refused`, unless `host` is an address, the loopback's name, or one of `names`."""
    name = _name_of(host)
    if not (name and (name in _OURS or name in {*names} or _is_address(name))):
        raise Error(
            "origin_refused",
            f"this daemon is not called {host[:100]!r}",
            "use its address, or list the name in `hosts` below [web] of config.toml",
        )


def check_origin(headers: Headers, scheme: str, host: str, *, required: bool = False) -> None:
    """Raises `origin_refused` for a request from another page than our own; also for a request without `Origin`, where
    a browser would send one (`required`)."""
    origin, site = one_of(headers, b"origin"), one_of(headers, b"sec-fetch-site")
    if (origin or required) and origin.lower() != f"{scheme}://{host}".lower():
        raise _foreign(origin)
    if site and site not in _SAME:
        raise _foreign(site)


def refuse_pages(headers: Headers) -> None:
    """Raises `origin_refused` for a request of any web page: none is served on the socket."""
    if origin := one_of(headers, b"origin"):
        raise _foreign(origin)


def _foreign(origin: str) -> Error:
    text = f"a request of another web page ({origin[:100]!r})" if origin else "a request that names no page"
    return Error("origin_refused", text, "open the page that `banger ui` names")


def _name_of(host: str) -> str:
    """The host without its port; empty if it is neither a name nor an address."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        good = bool(bracket) and (not port or port.startswith(":")) and ":" in name
        port = port[1:]
    else:
        name, _, port = host.partition(":")
        good = True
    return name.lower() if good and (not port or (port.isascii() and port.isdigit())) else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

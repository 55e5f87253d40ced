"""The proxy for a host, from the environment, with the rules of other programs.

`NO_PROXY` has commas or blanks between its rules: `*`; a name, for itself and all names below it (`lan`, `.lan`,
`*.lan` mean the same); an address, with or without brackets; a network (`10.0.0.0/8`, `fd00::/8`). A rule with a port
applies to that port only. There is no standard. These rules are what Go's and Python's libraries and curl agree on;
where they differ, no proxy is used.
"""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.request

from banger.images.fetch.settings import hostname, is_loopback

_RULE = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")
_HTTPS_PORT = "443"


def find_proxy(host: str) -> str | None:
    """The URL of the proxy for host or host:port; None to connect directly, which is always so for this host itself."""
    if is_loopback(host) or is_exempt(host, os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")):
        return None
    proxies = urllib.request.getproxies_environment()
    found = proxies.get("https") or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"


def is_exempt(host: str, rules: str) -> bool:
    """Whether a rule of NO_PROXY applies to `host`."""
    name = hostname(host).lower().rstrip(".")
    port = host.rpartition(":")[2] if re.search(r"[^:\[]+:[0-9]+$|\]:[0-9]+$", host) else _HTTPS_PORT
    return any(_is_about(rule.lower(), name, port) for rule in re.split(r"[,\s]+", rules) if rule)


def _is_about(rule: str, name: str, port: str) -> bool:
    if rule == "*":
        return True
    address = _address(name)
    if "/" in rule:
        return address is not None and _is_in(address, rule)
    bare = _address(rule)
    if bare is not None:
        return address == bare
    match = _RULE.fullmatch(rule)
    if match is None or match[3] not in (None, port):
        return False
    known = (match[1] or match[2] or "").rstrip(".")
    bare = _address(known)
    if bare is not None or address is not None:
        return address == bare
    domain = known.removeprefix("*").lstrip(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None) or found


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, rule: str) -> bool:
    try:
        return address in ipaddress.ip_network(rule.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False

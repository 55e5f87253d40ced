"""What fails on the way to a registry, as errors that tell users what to do.

Messages name hosts and repositories, never the query of a URL, a header or a body, which may contain a secret.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from banger.errors import Error


class Kind(enum.Enum):
    """`REFUSED`: no server listens. `NOT_TLS`: a server listens, but does not speak TLS. `CLOSED`: the server closed
    the connection before TLS was agreed on, as servers without TLS may do. `UNTRUSTED`: the certificate is not
    accepted. `BROKEN`: any other failure that another attempt may cure."""

    REFUSED = "refused"
    NOT_TLS = "not TLS"
    CLOSED = "closed"
    UNTRUSTED = "untrusted"
    BROKEN = "broken"


class NetworkFailure(Exception):
    """No answer, an incomplete answer, or a request to wait. Never leaves this room; its `error` does. `wait_s` is how
    long the registry asked to wait, 0 if it did not."""

    def __init__(self, kind: Kind, error: Error, wait_s: float = 0) -> None:
        super().__init__(error.message)
        self.kind = kind
        self.error = error
        self.wait_s = wait_s


def broken(host: str, reason: str) -> NetworkFailure:
    error = Error(
        "download_failed",
        f"{host}: {reason}",
        "check the network and the name of the registry, then try again",
    )
    return NetworkFailure(Kind.BROKEN, error)


def refused(host: str, reason: str) -> NetworkFailure:
    return NetworkFailure(Kind.REFUSED, broken(host, reason).error)


def not_tls(host: str) -> NetworkFailure:
    error = Error(
        "tls_failed",
        f"{host} does not speak TLS",
        "use --insecure if it is a registry of your own on a network that you trust",
    )
    return NetworkFailure(Kind.NOT_TLS, error)


def in_clear(host: str) -> Error:
    """The error for a secret that would go over plain HTTP."""
    return Error(
        "tls_failed",
        f"{host} asks for a log-in, but does not speak TLS: banger does not send passwords and tokens in the clear",
        f"use its https:// address, or add {host} to `insecure` in registries.toml if you trust the network",
        {"host": host},
    )


def closed(host: str) -> NetworkFailure:
    return NetworkFailure(Kind.CLOSED, broken(host, "it closed the connection before TLS was set up").error)


def untrusted(host: str, reason: str) -> NetworkFailure:
    error = Error(
        "tls_failed",
        f"{host}: the certificate is not accepted: {reason}",
        f"put the CA's certificate into certs.d/{host}/ca.crt in banger's configuration directory",
    )
    return NetworkFailure(Kind.UNTRUSTED, error)


def late(host: str) -> NetworkFailure:
    return broken(host, "the answer took too long")


def nonsense(host: str, what: str) -> Error:
    """The error for an answer that the protocol does not allow."""
    return Error(
        "registry_error", f"{host}: {what}", "check that this is the address of a registry", {"host": host}
    )


def denied(host: str, what: str) -> Error:
    return Error(
        "registry_denied",
        f"{host} does not allow access to {what}",
        f"check the name, or log in: banger image login {host}",
        {"host": host},
    )


def with_earlier(last: Error, earlier: Sequence[tuple[str, Error]]) -> Error:
    """The error of the last place, with the errors of the places before it in its message."""
    if not earlier:
        return last
    before = "; ".join(
        failure.message if host in failure.message else f"{host}: {failure.message}"
        for host, failure in earlier
    )
    return Error(last.code, f"{last.message} (asked before: {before})", last.hint, last.details)


def for_status(host: str, what: str, status: int) -> Error:
    """The error of an answer that is not a success."""
    if status in (401, 403):
        return denied(host, what)
    if status == 404:
        return Error("image_not_found", f"{host} has no {what}", "check the name and the tag", {"host": host})
    if status == 429:
        hint = f"wait a while; logging in may raise the limit: banger image login {host}"
        return Error("registry_busy", f"{host} accepts no more requests for now", hint, {"host": host})
    if status >= 500 or status == 408:
        return Error("download_failed", f"{host} failed with status {status} for {what}", "try again later")
    return nonsense(host, f"unexpected status {status} for {what}")


def not_taken(host: str, what: str, status: int) -> Error:
    """The error of an answer to a push that is not a success."""
    refusals = {
        404: (f"has no repository for {what}", "create the repository there first, or check the name"),
        405: (f"takes no image for {what}", "push to the registry itself, not to a mirror or cache of it"),
        413: (
            f"does not take {what}: it is too large there",
            "raise the limit of the registry, or of the proxy in front of it",
        ),
    }
    if status not in refusals:
        return for_status(host, what, status)
    message, hint = refusals[status]
    return Error("registry_error", f"{host} {message}", hint, {"host": host})


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in (408, 429) or status >= 500

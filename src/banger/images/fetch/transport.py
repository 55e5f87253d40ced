"""HTTP exchanges with registries and the hosts to which they send us: redirects, limits, time-outs, trust.

Blocking; runs in threads under a lifeline. A host may redirect a few times. A redirect never takes the Authorization
header to another origin, never leads to plain HTTP unless the user allows that for the new host, and never to addresses
that the host may not use (`ranges`). Passwords and tokens go over TLS, to hosts that users named as insecure, or to
loopback.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import SplitResult, urljoin, urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, Timeout

from banger import __version__
from banger.errors import Error
from banger.host.thread import Crew
from banger.images.fetch.connections import TROUBLE, make_pool, translate
from banger.images.fetch.failures import Kind, NetworkFailure, in_clear, nonsense, not_tls
from banger.images.fetch.lifeline import Lifeline
from banger.images.fetch.proxies import find_proxy
from banger.images.fetch.ranges import Gate, Range, Ranges, range_of, written_range
from banger.images.fetch.settings import RegistrySettings

MAX_REDIRECTS = 5
CHUNK_BYTES = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_THREADS = 8
_MAYBE_PLAIN = (Kind.NOT_TLS, Kind.CLOSED, Kind.REFUSED)


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `head`: from a request, with its redirects, to the headers; `small`: until a manifest or token is read;
    `pace`: for each `pace_bytes` of a blob; `taken`: until the registry has stored a blob that it has got."""

    connect: float = 15
    read: float = 30
    head: float = 60
    small: float = 60
    pace: float = 60
    pace_bytes: int = 64 * 1024
    taken: float = 300


@dataclass(frozen=True)
class Request:
    """`url` as https; the transport knows which hosts do not speak TLS. A `body` makes it a posted form that contains a
    secret. `sender` is the host whose text named the URL; "" for the user. A request with another `method` sends the
    pieces of `content`, whose length is among its headers, and is never redirected. `answer_s` is how long its answer
    may take, 0 for the usual time."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sender: str = ""
    method: str = "GET"
    content: Callable[[], Iterator[bytes]] | None = None
    answer_s: float = 0

    @property
    def is_secret(self) -> bool:
        return self.body is not None or "Authorization" in self.headers


class Answer:
    """Status and headers have arrived, the body has not. The caller closes the answer; after the end of the body, the
    connection is used again."""

    def __init__(self, response: BaseHTTPResponse, host: str) -> None:
        self._response = response
        self.host = host
        self.status = response.status

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")[:8192]

    def headers(self, name: str) -> list[str]:
        """The values of a header, one for each time it was sent."""
        return self._response.headers.getlist(name)

    def length(self) -> int | None:
        """The announced length of the body in bytes."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, in its transfer encoding. Raises `NetworkFailure`."""
        try:
            while chunk := self._response.read1(CHUNK_BYTES, decode_content=False):
                yield chunk
        except TROUBLE as exc:
            raise translate(self.host, exc) from exc

    def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises `registry_error` if it is longer than the limit, `NetworkFailure`."""
        if (self.length() or 0) > limit_bytes:
            raise nonsense(self.host, f"the answer is longer than {limit_bytes} bytes")
        data = bytearray()
        for chunk in self.chunks():
            data += chunk
            if len(data) > limit_bytes:
                raise nonsense(self.host, f"the answer is longer than {limit_bytes} bytes")
        return bytes(data)

    def close(self) -> None:
        """Close the answer. If the body was not read to its end, the connection is closed, too."""
        self._response.close()


class Transport:
    """Lives as long as a pull or log-in. Used from several threads; closed by the event loop."""

    def __init__(self, settings: RegistrySettings, timeouts: Timeouts | None = None) -> None:
        self.settings = settings
        self.timeouts = timeouts or Timeouts()
        # Threads of its own: downloads must not use up the daemon's.
        self.crew = Crew("registry", _THREADS)
        self._lock = Lock()
        self._pools: dict[tuple[str, str], PoolManager] = {}
        self.ranges = Ranges(settings)
        self._plain: set[str] = set()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    def open(self, request: Request, line: Lifeline) -> Answer:
        """Send a request, follow its redirects. Raises `NetworkFailure`, `registry_error`, `Cut`."""
        line.allow(self.timeouts.head)
        for _ in range(MAX_REDIRECTS + 1):
            line.check()
            self._check_written(request)
            answer = self._try_schemes(request)
            target = answer.header("Location") if answer.status in _REDIRECTS else ""
            if not target:
                return answer
            answer.close()
            request = self._redirected(request, target)
        raise nonsense(answer.host, f"it redirects more than {MAX_REDIRECTS} times")

    def _try_schemes(self, request: Request) -> Answer:
        """TLS first; then plain HTTP, if it is allowed and the host does not speak TLS."""
        parts = split_url(request.url)
        host = parts.netloc
        if parts.scheme == "http" or host in self._plain:
            return self._send(parts._replace(scheme="http"), request)
        try:
            return self._send(parts, request)
        except NetworkFailure as failure:
            if failure.kind not in _MAYBE_PLAIN or not self.settings.may_be_plain(host):
                raise
            answer = self._send_instead(parts, request, failure)
        self._plain.add(host)
        return answer

    def _send_instead(self, parts: SplitResult, request: Request, failure: NetworkFailure) -> Answer:
        """Try plain HTTP after `failure` of TLS."""
        try:
            return self._send(parts._replace(scheme="http"), request)
        except NetworkFailure as second:
            raise (failure if failure.kind is Kind.REFUSED else second) from second

    def _send(self, parts: SplitResult, request: Request) -> Answer:
        host = parts.netloc
        if parts.scheme == "http" and request.is_secret and not self.settings.may_be_plain(host):
            raise in_clear(host)
        headers = {"User-Agent": f"banger/{__version__}", "Accept-Encoding": "identity", **request.headers}
        times = self.timeouts
        try:
            response = self._pool(host, request.sender).urlopen(
                request.method if request.body is None else "POST",
                parts.geturl(),
                body=request.content() if request.content is not None else request.body,
                headers=headers,
                timeout=Timeout(connect=times.connect, read=request.answer_s or times.read),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except TROUBLE as exc:
            raise translate(host, exc) from exc
        return Answer(response, host)

    def _redirected(self, request: Request, location: str) -> Request:
        """The request for a redirect. Raises `registry_error` for a place to which a redirect may not lead."""
        here = split_url(request.url)
        try:
            there = split_url(urljoin(request.url, location))
        except ValueError as exc:
            raise nonsense(here.netloc, "it redirects to something that is not a URL") from exc
        if request.body is not None:
            raise nonsense(here.netloc, "it redirects a log-in")
        if request.method not in ("GET", "HEAD"):
            raise nonsense(here.netloc, "it redirects an upload")
        self.check_way(here.netloc, there)
        kept = dict(request.headers)
        if self._origin(there) != self._origin(here):
            kept.pop("Authorization", None)
        return Request(there.geturl(), kept, sender=request.sender or here.netloc, method=request.method)

    def check_way(self, here: str, there: SplitResult) -> None:
        """Check that `here` may send us to `there`. Raises `registry_error`, `NetworkFailure`."""
        if there.scheme == "http" and not self.settings.may_be_plain(there.netloc):
            raise not_tls(there.netloc)
        self._check_written(Request(there.geturl(), sender=here))

    def _check_written(self, request: Request) -> None:
        """Check a host before any connection. Names are judged by the gate, once they are resolved."""
        host = split_url(request.url).netloc
        if request.sender and not self.ranges.may_write(request.sender, host):
            raise _astray(request.sender, host, written_range(host) or Range.HOST)

    def _gate(self, host: str, sender: str) -> Gate:
        def forbids(address: str) -> Error | None:
            if not sender or self.ranges.may_reach(sender, host, address):
                return None
            return _astray(sender, host, range_of(address))

        return Gate(forbids, lambda address, tls: self.ranges.prove(host, address, tls))

    def _origin(self, parts: SplitResult) -> tuple[str, str, int]:
        """The origin of a URL (RFC 6454), with the scheme that the host really speaks."""
        plain = parts.scheme == "http" or parts.netloc in self._plain
        return "http" if plain else "https", parts.hostname or "", parts.port or (80 if plain else 443)

    def is_own(self, host: str, parts: SplitResult) -> bool:
        """Whether a URL has the origin at which `host` (or host:port) is asked."""
        return self._origin(parts) == self._origin(parts._replace(netloc=host))

    def _pool(self, host: str, sender: str) -> PoolManager:
        """The connections for a host and a sender. They are not shared with other senders: they were judged for this
        one."""
        with self._lock:
            if (host, sender) not in self._pools:
                self._pools[host, sender] = make_pool(
                    self._context(host), find_proxy(host), self.timeouts.pace, self._gate(host, sender)
                )
            return self._pools[host, sender]

    def _context(self, host: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        directory = self.settings.certificates(host)
        try:
            for path in sorted(directory.glob("*.crt")) if directory else []:
                context.load_verify_locations(path)
            for path in sorted(directory.glob("*.cert")) if directory else []:
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as exc:
            raise nonsense(host, f"the certificates in {directory} cannot be read: {exc}") from exc
        if self.settings.is_insecure(host):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _astray(sender: str, host: str, found: Range) -> Error:
    return Error(
        "registry_error",
        f"{sender}: it redirects to {host}, which is {found.value}",
        f"if that is intended, add {host} to `reachable` in registries.toml",
        {"host": sender},
    )


def split_url(url: str) -> SplitResult:
    """Raises ValueError unless it is an absolute http(s) URL without a user name."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a URL that can be asked")
    _ = parts.port  # raises ValueError for an invalid port
    return parts._replace(fragment="")

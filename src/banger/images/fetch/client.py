"""Requests to a registry: documents by tag or digest, blobs for downloads, checks of log-ins.

The event loop decides (which endpoint, which token, whether to try again); threads under lifelines do each exchange.
Source: OCI distribution-spec, "Pull".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from banger.errors import Error, RegistryDenied
from banger.images.fetch.challenge import Challenge, parse_challenges
from banger.images.fetch.credentials import Credentials, find_credentials
from banger.images.fetch.failures import (
    denied,
    for_status,
    late,
    may_pass,
    nonsense,
    with_earlier,
)
from banger.images.fetch.grants import Grant, Grants
from banger.images.fetch.lifeline import Cut, Lifeline, on_lifeline
from banger.images.fetch.retries import FOR_DOCUMENTS, passing, with_retries
from banger.images.fetch.settings import Endpoint
from banger.images.fetch.tokens import FindCredentials, answer_challenge
from banger.images.fetch.transport import Answer, Request, Transport
from banger.images.reference.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    digest_of,
    parse_document,
)
from banger.images.reference.reference import DEFAULT_REGISTRY, DEFAULT_REGISTRY_API, Reference
from banger.model.operation import Report

log = logging.getLogger("banger.registry")
T = TypeVar("T")
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))


@dataclass(frozen=True)
class Place:
    """A repository at an endpoint. `sender`: the host whose text named the endpoint, "" for the user. `actions` is what
    we want to do there, `source` another repository there that we want to read, too."""

    endpoint: Endpoint
    repository: str
    sender: str = field(default="", kw_only=True)
    actions: str = field(default="pull", kw_only=True)
    source: str = field(default="", kw_only=True)

    @property
    def host(self) -> str:
        return self.endpoint.host

    @property
    def registry(self) -> str:
        """The name under which credentials are kept."""
        return DEFAULT_REGISTRY if self.host == DEFAULT_REGISTRY_API else self.host

    @property
    def name(self) -> str:
        return self.endpoint.prefix + self.repository

    @property
    def scope(self) -> str:
        """What a token is asked for: one scope, or two with a space between them."""
        own = f"repository:{self.name}:{self.actions}" if self.repository else ""
        return f"{own} repository:{self.source}:pull" if self.source else own

    @property
    def tokens_elsewhere(self) -> bool:
        """Whether a token server of another origin may get the credentials, as the protocol of registries says."""
        return True

    def url(self, kind: str, version: str) -> str:
        return f"https://{self.host}/v2/{self.name}/{kind}/{version}"

    def request(self, kind: str, version: str, headers: Mapping[str, str] | None = None) -> Request:
        return Request(self.url(kind, version), headers or {}, sender=self.sender)


@dataclass(frozen=True)
class Document:
    """A manifest or index, and the place that it came from."""

    data: bytes
    digest: str
    place: Place


def tell_log(
    phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
) -> None:
    """A `Report` that only writes to the log."""
    log.log(logging.WARNING if phase == "warning" else logging.INFO, "%s", message)


class Unauthorized(Exception):
    """A registry's 401. Never leaves this room."""

    def __init__(self, challenges: list[Challenge]) -> None:
        super().__init__("unauthorized")
        self.challenges = challenges


class RegistryClient:
    """Lives as long as its transport, which it does not close."""

    def __init__(
        self,
        transport: Transport,
        grants: Grants | None = None,
        find: FindCredentials = find_credentials,
        report: Report = tell_log,
    ) -> None:
        """`report` gets warnings and long waits."""
        self.transport = transport
        self._grants = grants or Grants()
        self._find = find
        self._faults: dict[str, Error] = {}
        self.report = report

    def wait(self, message: str) -> None:
        self.report("wait", message)

    def places(self, reference: Reference, sender: str = "") -> list[Place]:
        """Where to ask for a reference. `sender` named the reference; mirrors were named by the user."""
        *mirrors, own = self.transport.settings.endpoints(reference)
        places = [Place(endpoint, reference.repository) for endpoint in mirrors]
        return [*places, Place(own, reference.repository, sender=sender)]

    async def fetch_document(
        self, places: Sequence[Place], version: str, size: int | None = None
    ) -> Document:
        """A manifest or index with the right digest, from the first place that has one. If none has, the last place's
        error counts, and its message has what each place answered. Raises `image_not_found`, `registry_denied`,
        `registry_busy`, `registry_error`, `download_failed`, `tls_failed`, `credentials_error`, `image_invalid`."""
        *others, last = places
        failures = []
        for place in others:
            try:
                return await self.fetch_from(place, version, size)
            except Error as exc:
                failures.append((place.host, exc))
        try:
            return await self.fetch_from(last, version, size)
        except Error as exc:
            raise with_earlier(exc, failures) from exc

    async def fetch_from(self, place: Place, version: str, size: int | None = None) -> Document:
        """As `fetch_document`, from one place. `version`: a tag or digest; `size`: in bytes, if a descriptor gave
        it."""

        def work(answer: Answer) -> Document:
            data = answer.read(MAX_MANIFEST_BYTES if size is None else size)
            document = _check_document(Document(data, digest_of(data), place), version, answer)
            parse_document(data)  # a log-in page is no document, whatever its status
            return document

        request = place.request("manifests", version, {"Accept": _ACCEPT})
        what = f"{place.name}{'@' if ':' in version else ':'}{version}"
        return await with_retries(lambda: self.ask(place, request, what, work), FOR_DOCUMENTS, tell=self.wait)

    async def check_login(self, registry_host: str, credentials: Credentials) -> None:
        """Raises `registry_denied` if the registry refuses the credentials, and the errors of any request."""

        async def only_these(registry: str, repository: str, faults: list[Error]) -> Credentials:
            return credentials

        asking = RegistryClient(self.transport, Grants(), only_these)
        place = Place(Endpoint(registry_host), "")
        request = Request(f"https://{registry_host}/v2/")
        await with_retries(
            lambda: asking.ask(place, request, "the registry", lambda answer: None), FOR_DOCUMENTS
        )

    async def ask(self, place: Place, request: Request, what: str, work: Callable[[Answer], T]) -> T:
        """One exchange of limited length; a second time with a log-in if the registry wants one."""

        def exchange(line: Lifeline, grant: Grant | None) -> T:
            with self.transport.open(authorized(request, grant), line) as answer:
                line.allow(self.transport.timeouts.small)
                check_status(answer, what, (200,))
                return work(answer)

        return await self.run(place, what, exchange)

    async def run(self, place: Place, what: str, exchange: Callable[[Lifeline, Grant | None], T]) -> T:
        """An exchange in a thread, with an Authorization header if the registry needs one. Raises `NetworkFailure`."""
        grant = self._grants.find(place.host, place.scope)
        try:
            return await self._in_thread(place, lambda line: exchange(line, grant))
        except Unauthorized as exc:
            challenges = exc.challenges
        try:
            grant = await self._authorize(place, challenges, grant)
            return await self._in_thread(place, lambda line: exchange(line, grant))
        except Unauthorized as exc:
            self._grants.forget(place.host)
            raise self._denied(place, denied(place.host, what)) from exc
        except RegistryDenied as exc:
            raise self._denied(place, exc) from exc

    def _denied(self, place: Place, error: Error) -> Error:
        """The error, with the reason why there was no password, if there is one: it helps more than the refusal."""
        fault = self._faults.get(place.registry)
        if fault is None:
            return error
        return Error(error.code, f"{error.message}; {fault.message}", fault.hint, error.details)

    async def _find_credentials(self, place: Place) -> Credentials | None:
        faults: list[Error] = []
        credentials = await self._find(place.registry, place.name, faults)
        self._faults.pop(place.registry, None)
        if faults and credentials is None:
            self._faults[place.registry] = faults[0]
        for fault in faults:
            self.report(
                "warning", fault.message if credentials else f"{fault.message}; asking without a log-in"
            )
        return credentials

    async def _authorize(self, place: Place, challenges: list[Challenge], tried: Grant | None) -> Grant:
        """A grant other than `tried`. Exchanges that need the same grant fetch it once."""
        async with self._grants.locks[place.host, place.scope]:
            known = self._grants.find(place.host, place.scope)
            if known is not None and known != tried:
                return known
            credentials = await self._find_credentials(place)
            grant = await self._in_thread(
                place,
                lambda line: answer_challenge(
                    self.transport,
                    place.host,
                    challenges,
                    place.scope,
                    credentials,
                    line,
                    place.tokens_elsewhere,
                ),
            )
            self._grants.put(place.host, place.scope, grant)
            return grant

    async def _in_thread(self, place: Place, work: Callable[[Lifeline], T]) -> T:
        try:
            return await on_lifeline(work, self.transport.crew)
        except Cut as exc:
            raise late(place.host) from exc


def authorized(request: Request, grant: Grant | None) -> Request:
    if grant is None:
        return request
    return replace(request, headers={**request.headers, "Authorization": grant.header})


def check_status(answer: Answer, what: str, good: tuple[int, ...]) -> None:
    """Raises `Unauthorized`, `NetworkFailure` for a status that may change, and the error of any other status."""
    if answer.status in good:
        return
    if answer.status == 401:
        raise Unauthorized(parse_challenges(answer.headers("WWW-Authenticate")))
    if may_pass(answer.status):
        raise passing(answer, what)
    raise for_status(answer.host, what, answer.status)


def _check_document(document: Document, version: str, answer: Answer) -> Document:
    """Check a document by the requested digest, or else by the digest that the registry announced."""
    claimed = version if ":" in version else answer.header("Docker-Content-Digest")
    if claimed.startswith("sha256:") and claimed != document.digest:
        raise nonsense(answer.host, f"it sent a manifest that is not {claimed[:80]}")
    return document

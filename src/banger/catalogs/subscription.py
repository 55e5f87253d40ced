"""A catalog that was added: its key, and the newest index that was accepted.

It is one file, `<state>/catalogs/<name>.json`, which is replaced as a whole, so that a power failure cannot separate
the highest accepted version from its index. The index is kept as it was signed, and each load checks its signature
again. All calls block, for one small file.
"""

from __future__ import annotations

import errno
import hashlib
from calendar import timegm
from pathlib import Path
from time import gmtime, strftime, strptime

import msgspec
from msgspec import Struct

from banger.catalogs.index import invalid, parse_index
from banger.catalogs.minisign import parse_public_key, verify
from banger.errors import Error
from banger.host.fs import write_file
from banger.model.catalog import Catalog, Index

_AHEAD_S = 86400.0  # a publisher's clock may be ahead by this much


class Record(Struct, kw_only=True):
    """`publisher` is the name in the index. `version` and `sum` belong to the newest accepted index, `index` and
    `signature` are its bytes. `refreshed` is when that index was last fetched, in seconds since 1970."""

    url: str
    key: str
    position: int
    publisher: str = ""
    version: int = 0
    sum: str = ""
    refreshed: float = 0
    index: bytes = b""
    signature: bytes = b""


class Subscription:
    """Lives as long as the daemon, or until the catalog is removed."""

    def __init__(self, file: Path, record: Record) -> None:
        self.file = file
        self.record = record
        self.problem = ""
        self.failed = float("-inf")  # when its index could last not be fetched, in seconds since 1970
        self._index: Index | None = None

    @property
    def name(self) -> str:
        return self.file.stem

    @classmethod
    def load(cls, file: Path) -> Subscription:
        """Read the file of a catalog. An index that cannot be trusted any more is reported in `problem`. Raises
        `catalog_invalid` if the file cannot be read."""
        try:
            record = msgspec.json.decode(file.read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError) as exc:
            raise invalid(f"{file} cannot be read: {exc}", f"banger catalog remove {file.stem}") from exc
        found = cls(file, record)
        try:
            found.check_signature(record.index, record.signature)
            found._index = found._check(record.index)
        except Error as exc:
            found.problem = exc.message
        return found

    @property
    def index(self) -> Index | None:
        """The newest accepted index, expired or not."""
        return self._index

    def check_signature(self, data: bytes, signature: bytes) -> None:
        """Raises `catalog_untrusted`."""
        verify(parse_public_key(self.record.key), data, signature)

    def believe(self, data: bytes, signature: bytes, now: float) -> Index:
        """Check an index, keep nothing, and return it. Raises as `accept`."""
        self.check_signature(data, signature)
        index = self._check(data)
        check_times(index, now)
        return index

    def accept(self, data: bytes, signature: bytes, now: float) -> None:
        """Check an index and keep it. After an error the earlier index stays: `catalog_untrusted`,
        `catalog_rolled_back`, `catalog_expired`, `catalog_invalid`, `unsupported`, `insufficient_disk`."""
        index = self.believe(data, signature, now)
        record = msgspec.structs.replace(
            self.record,
            publisher=index.name,
            version=index.version,
            sum=_sum(data),
            refreshed=now,
            index=data,
            signature=signature,
        )
        _write(self.file, record)
        self.record, self._index, self.problem = record, index, ""

    def describe(self, now: float) -> Catalog:
        index = self._index
        problem = self.problem or ("it has expired" if self.has_expired(now) else "")
        return Catalog(
            name=self.name,
            url=self.record.url,
            key=self.record.key,
            position=self.record.position,
            version=self.record.version,
            created=index.created if index else "",
            expires=index.expires if index else "",
            refreshed=format_moment(self.record.refreshed) if self.record.refreshed else "",
            images=len(index.images) if index else 0,
            kernels=len(index.kernels) if index else 0,
            problem=problem,
        )

    def has_expired(self, now: float) -> bool:
        return self._index is not None and parse_moment(self._index.expires) <= now

    def _check(self, data: bytes) -> Index:
        """Check an index with a right signature, which may still belong to another catalog, or be older than the
        accepted one."""
        index, record = parse_index(data), self.record
        if record.publisher and index.name != record.publisher:
            raise _untrusted(f"it is the index of {index.name}, not of {record.publisher}")
        if index.version < record.version:
            raise Error(
                "catalog_rolled_back",
                f"catalog {self.name} offers version {index.version}, but offered version {record.version} before",
                "the newer index may be withheld on the way; ask its publisher",
            )
        if index.version == record.version and record.sum and record.sum != _sum(data):
            raise _untrusted(f"two different indexes have version {index.version}")
        return index


def check_times(index: Index, now: float) -> None:
    """Raises `catalog_expired`, `catalog_invalid`."""
    if not index.expires:
        raise invalid(f"the index of {index.name} never expires, but a published index has to expire")
    if parse_moment(index.expires) <= parse_moment(index.created):
        raise invalid(f"the index of {index.name} expires before it was made")
    if parse_moment(index.created) > now + _AHEAD_S:
        raise invalid(
            f"the index of {index.name} was made in the future ({index.created})", "check this host's clock"
        )
    if parse_moment(index.expires) <= now:
        raise expired(index.name, index.expires)


def expired(name: str, moment: str) -> Error:
    return Error(
        "catalog_expired",
        f"the index of catalog {name} was valid until {moment}, and there is no newer index",
        "run banger catalog refresh, check this host's clock, or ask the publisher of the catalog",
    )


def parse_moment(text: str) -> float:
    """Seconds since 1970. Raises `catalog_invalid` for a text that is not a time."""
    try:
        return float(timegm(strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError as exc:
        raise invalid(f"{text[:40]!r} is not a time") from exc


def format_moment(seconds: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def _write(file: Path, record: Record) -> None:
    try:
        write_file(file, msgspec.json.encode(record))
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Error("insufficient_disk", f"no space for {file}: {exc.strerror}", "free space there") from exc


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _untrusted(reason: str) -> Error:
    return Error(
        "catalog_untrusted", f"the index cannot be trusted: {reason}", "ask the publisher of the catalog"
    )

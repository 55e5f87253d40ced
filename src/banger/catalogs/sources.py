"""The sources of an entry, tried in their order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from banger.catalogs.index import check_usable
from banger.errors import Error
from banger.model.catalog import BundleSource, DebianSource, ImageEntry, KernelEntry, OciSource, Source
from banger.model.operation import Report

T = TypeVar("T")
_DIGEST_SHOWN = len("sha256:") + 12


async def pull_first(
    entry: ImageEntry | KernelEntry,
    pull: Callable[[Source], Awaitable[T]],
    report: Report,
    hopeless: tuple[type[Error], ...],
) -> T:
    """What `pull` returns for the first source that works. A warning tells why a source failed.

    Raises the error of the only source; for several sources, an error that names each of them, with the code of the
    last. An error of one of the types `hopeless` is raised at once, since no other source would help."""
    check_usable(entry)
    failures: list[Error] = []
    for source in entry.sources:
        try:
            return await pull(source)
        except hopeless:
            raise
        except Error as exc:
            failures.append(exc)
            if len(failures) < len(entry.sources):
                report("warning", f"{entry.name}: {_label(source)}: {exc.message}; trying another source")
    if len(failures) == 1:
        raise failures[0]
    raise _all_in_one(entry, failures) from failures[-1]


def _all_in_one(entry: ImageEntry | KernelEntry, failures: Sequence[Error]) -> Error:
    """The errors of all sources as one; `details` has an entry for each, for programs."""
    tried = list(zip(entry.sources, failures, strict=True))
    return Error(
        failures[-1].code,
        f"cannot fetch {entry.name} from any of its {len(tried)} sources: "
        + "; ".join(f"{_label(source)}: {failure.message}" for source, failure in tried),
        "check the network; if it is fine, tell the publisher of the catalog",
        {"sources": [{"type": _kind(source), **failure.as_dict()} for source, failure in tried]},
    )


def _kind(source: Source) -> str:
    return str(source.__struct_config__.tag)


def _label(source: Source) -> str:
    """The source in a message. Errors of registries name the registry already; errors of files and archives do not."""
    match source:
        case BundleSource():
            return f"{_kind(source)} {source.digest[:_DIGEST_SHOWN]}"
        case DebianSource():
            return f"{_kind(source)} {source.suite}"
        case OciSource():
            return _kind(source)

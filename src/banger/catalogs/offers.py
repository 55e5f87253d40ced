"""The entries of all catalogs, as people see them in a list. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from banger.catalogs.builtin import NAME as BUILTIN
from banger.catalogs.shelf import PREFIX, Listed
from banger.host import cpu
from banger.model.catalog import Entry, Offer

# For a name on this host: the catalog that it came from, "" if that was not recorded; None if nothing has the name.
CatalogOf = Callable[[str], str | None]


def make_offers(listed: Iterable[Listed[Entry]], catalog_of: CatalogOf, search: str = "") -> list[Offer]:
    """The entries that contain every word of `search` in name, alias, description or architecture; those for this
    host's architecture come first."""
    words = search.lower().split()
    found = [_offer(each, catalog_of) for each in listed if _has_all(each.entry, words)]
    return sorted(found, key=lambda offer: offer.architecture != cpu.architecture())


def _has_all(entry: Entry, words: list[str]) -> bool:
    text = " ".join([entry.name, *entry.aliases, entry.description, entry.architecture]).lower()
    return all(word in text for word in words)


def _offer(listed: Listed[Entry], catalog_of: CatalogOf) -> Offer:
    entry, catalog = listed.entry, listed.catalog
    ref = f"{PREFIX}{catalog}/{entry.name}" if listed.hidden_by else entry.name
    local = ref if entry.architecture == cpu.architecture() else f"{ref}-{entry.architecture}"
    return Offer(
        name=entry.name,
        ref=ref,
        catalog=catalog,
        architecture=entry.architecture,
        description=entry.description,
        aliases=[*entry.aliases],
        sources=[str(source.__struct_config__.tag) for source in entry.sources],
        size_bytes=entry.size_bytes,
        digest=entry.digest,
        created=entry.created,
        provenance=entry.provenance,
        min_banger=entry.min_banger,
        here=catalog_of(local) in (catalog, "" if catalog == BUILTIN else catalog),
        hidden_by=listed.hidden_by,
        kernel=getattr(entry, "kernel", ""),
    )

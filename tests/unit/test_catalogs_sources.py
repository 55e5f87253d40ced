"""Of an entry's sources the first that works, and what is said of the others."""

from __future__ import annotations

import asyncio

import pytest

from banger.catalogs.sources import pull_first
from banger.errors import Error, NoSpace
from banger.model.catalog import BundleSource, DebianSource, ImageEntry, OciSource, Source
from tests.support.catalogs import DIGEST
from tests.support.reports import Reports

BUNDLE = BundleSource(digest=DIGEST, size_bytes=1)
OCI = OciSource(reference=f"registry.example.org/app@{DIGEST}")
DEBIAN = DebianSource(suite="bookworm", packages=())
FAILURES = {
    "bundle": Error("download_failed", "no such file"),
    "oci": Error("registry_denied", "not for you"),
    "debian": Error("insufficient_disk", "no room"),
}


def kind(source: Source) -> str:
    return str(source.__struct_config__.tag)


def pull(reports: Reports, *sources: Source, works: str = "") -> str:
    async def one(source: Source) -> str:
        if kind(source) == works:
            return works
        raise FAILURES[kind(source)]

    entry = ImageEntry(name="app", architecture="amd64", sources=sources)
    return asyncio.run(pull_first(entry, one, reports, (NoSpace,)))


def test_the_first_that_works_is_taken_and_those_before_are_told() -> None:
    reports = Reports()
    assert pull(reports, BUNDLE, OCI, DEBIAN, works="oci") == "oci"
    assert reports.warnings == ["app: bundle sha256:abababababab: no such file; trying another source"]


def test_where_none_works_each_is_named() -> None:
    reports = Reports()
    with pytest.raises(Error) as caught:
        pull(reports, BUNDLE, OCI)
    error = caught.value
    assert error.code == "registry_denied"
    assert error.message == (
        "cannot fetch app from any of its 2 sources: bundle sha256:abababababab: no such file; oci: not for you"
    )
    assert error.details["sources"] == [
        {"type": name, **FAILURES[name].as_dict()} for name in ("bundle", "oci")
    ]
    assert len(reports.warnings) == 1  # nothing is tried after the last


def test_the_only_source_speaks_for_itself() -> None:
    with pytest.raises(Error) as caught:
        pull(Reports(), OCI)
    assert caught.value is FAILURES["oci"]


def test_what_no_other_source_would_cure_is_told_at_once() -> None:
    reports = Reports()
    with pytest.raises(Error) as caught:
        pull(reports, DEBIAN, BUNDLE, works="bundle")
    assert caught.value is FAILURES["debian"] and reports.warnings == []

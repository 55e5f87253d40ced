"""Fixtures that several of these tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.applets import build_applets
from tests.support.registry import RegistryServer, open_registry_server
from tests.support.registry_images import Builder


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("builder"))
    try:
        made.buildah("from", "scratch")
    except RuntimeError as exc:
        pytest.skip(f"capability missing: buildah does not work here: {exc}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with open_registry_server(tmp_path_factory.mktemp("registry")) as opened:
        yield opened


@pytest.fixture(scope="module")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's built-ins, as a program of this host, under sanitizers."""
    return build_applets(tmp_path_factory.mktemp("applets"))

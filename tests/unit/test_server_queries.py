"""Lists in a query: a parameter for each value, as the client writes them and the daemon reads them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from banger.api import images as verbs
from banger.client import calls
from banger.errors import Error
from banger.server.calls import read_request


def read(path: str) -> Any:
    query = path.partition("?")[2].encode()
    scope = {"type": "http", "method": "GET", "path_params": {}, "headers": [], "query_string": query}
    return asyncio.run(read_request(verbs.SAVE, Request(scope)))


@pytest.mark.parametrize("also", [[], ["b"], ["b:1", "c/d&e=f", "b:1", "ü"]])
def test_the_daemon_reads_what_the_client_writes(also: list[str]) -> None:
    assert read(calls.images_save("a", also).target) == verbs.SaveImages(name="a", also=also)


def test_a_client_without_the_list_is_understood() -> None:
    assert read(calls.images_save("a").target) == verbs.SaveImages(name="a")


@pytest.mark.parametrize(
    "query",
    ["also=b", "name=a&also=%00", f"name=a&also={'x' * 2000}", "name=a" + "&also=b" * 32],
)
def test_a_list_that_does_not_fit_is_refused(query: str) -> None:
    with pytest.raises(Error) as caught:
        read(f"?{query}")
    assert caught.value.code in ("bad_request", "bad_spec")

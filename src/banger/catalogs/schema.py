"""docs/catalog.schema.json, made from the structs: `python -m banger.catalogs.schema > docs/catalog.schema.json`."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from banger.model.catalog import Index


def index_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an index. Patterns in JavaScript end with $ where Python's end with \\Z."""
    text = msgspec.json.encode(msgspec.json.schema(Index)).decode().replace(r"\\Z", "$")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A catalog of images and kernels for banger",
        **msgspec.json.decode(text),
    }


if __name__ == "__main__":
    print(json.dumps(index_schema(), indent=2))

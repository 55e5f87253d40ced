"""A publisher of catalogs: keys, indexes, and the directory that a web server shows."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from banger.catalogs.minisign import SecretKey, sign
from banger.catalogs.subscription import format_moment

DAY_S = 86400.0
DIGEST = "sha256:" + "ab" * 32


def image_entry(name: str = "app", **fields: Any) -> dict[str, Any]:
    """For both architectures' hosts it is the amd64 one that counts: tests say which they want."""
    source = {"type": "oci", "reference": f"registry.example.org/{name}@{DIGEST}"}
    return {"name": name, "architecture": "amd64", "sources": [source], **fields}


class Clock:
    """The time, `ahead_s` seconds from now."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Publisher:
    """Writes `directory`/index.json and its signature."""

    def __init__(self, directory: Path, name: str = "lab") -> None:
        self.directory = directory
        self.name = name
        self.key = SecretKey(os.urandom(8), os.urandom(32))
        self.version = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def public(self) -> str:
        return str(self.key.public)

    def publish(self, *images: dict[str, Any], days: float = 30, **fields: Any) -> bytes:
        """The index that was published; of the next version unless `fields` say otherwise."""
        self.version += 1
        now = time.time()
        index = {
            "format": 1,
            "name": self.name,
            "version": self.version,
            "created": format_moment(now),
            "expires": format_moment(now + days * DAY_S),
            "images": list(images),
            **fields,
        }
        data = json.dumps(index).encode()
        self.write(data, sign(self.key, data, "by a test"))
        return data

    def write(self, data: bytes, signature: bytes) -> None:
        (self.directory / "index.json").write_bytes(data)
        (self.directory / "index.json.minisig").write_bytes(signature)

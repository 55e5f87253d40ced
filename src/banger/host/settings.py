"""`<config>/config.toml`: what a user may set. Everything has a default; unknown keys are refused by name.

[images]
max_inflated = "64GiB"      # all layers of an image together
max_entries = 2000000
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from banger.errors import Error
from banger.model.sizes import GIB, parse_size


class ImageSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    max_inflated: str = f"{64 * GIB}B"
    max_entries: int = 2_000_000

    @property
    def max_inflated_bytes(self) -> int:
        return parse_size(self.max_inflated)


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    images: ImageSettings = msgspec.field(default_factory=ImageSettings)


def read_settings(config: Path) -> Settings:
    """Of the directory `config`; a missing file is all defaults. Raises `bad_config`."""
    path = config / "config.toml"
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
        if settings.images.max_inflated_bytes <= 0 or settings.images.max_entries <= 0:
            raise Error("bad_size", "limits are above 0")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, Error) as exc:
        raise Error("bad_config", f"{path}: {exc}", "docs/oci-import.md has what may be set") from exc
    return settings

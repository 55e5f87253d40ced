"""The catalog that comes with banger: `builtin.json` beside this file. It is as trustworthy as the program, needs no
signature and never expires. Everything in it is built on this host from Debian's archive."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from banger.catalogs.index import parse_index
from banger.model.catalog import Index

NAME = "builtin"
FILE = Path(__file__).with_name("builtin.json")


@cache
def builtin_index() -> Index:
    """The index, read once, when a name is first looked up."""
    return parse_index(FILE.read_bytes())

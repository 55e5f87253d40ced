"""Firecracker's OpenAPI document (Swagger 2, in YAML), as far as a request is checked against it: which fields a
definition has, of which type, and which of them must be there.

The document is not ours and is not here: `BANGER_FIRECRACKER_OPENAPI` is the path of a copy, of any
version; without it, one among the data that developers share beside the checkout counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "BANGER_FIRECRACKER_OPENAPI"
_SHARED = Path(__file__).parents[3] / "shared/data/firecracker-openapi.yaml"
_KEY = re.compile(r'( *)(?:- )?"?([\w$/{}.-]+)"?:(?: +(.*))?$')
_ITEM = re.compile(r"( *)- ([\w.-]+)$")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "integer": int, "string": str, "boolean": bool, "array": list, "object": dict, "number": (int, float),
}  # fmt: skip
Tree = dict[str, Any]


def find_document() -> Path | None:
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else _SHARED
    return path if named or path.exists() else None


def read_tree(text: str) -> Tree:
    """Mappings by their indentation; the items of a list of words are keys of their parent. Text on several lines is
    left out, or becomes a key that no reader looks for."""
    root: Tree = {}
    open_at: list[tuple[int, Tree]] = [(-1, root)]
    for line in text.splitlines():
        item = _ITEM.match(line)
        found = None if item else _KEY.match(line)
        match = item or found
        if match is None or line.lstrip().startswith("#"):
            continue
        indent = len(match[1]) + (0 if found else 1)
        while open_at[-1][0] >= indent:
            open_at.pop()
        parent = open_at[-1][1]
        if item:
            parent[item[2]] = {}
        elif found:
            value = (found[3] or "").strip("\"'")
            child: Tree = {"": value} if value else {}
            parent[found[2]] = child
            open_at.append((indent, child))
    return root


class Definitions:
    def __init__(self, document: Path) -> None:
        self._definitions: Tree = read_tree(document.read_text())["definitions"]

    def fields(self, name: str) -> set[str]:
        return {*self._definitions[name]["properties"]}

    def faults(self, name: str, body: Mapping[str, Any]) -> list[str]:
        """What is wrong with a body of that definition."""
        definition = self._definitions[name]
        properties = definition.get("properties", {})
        found = [f"{name} needs {key}" for key in definition.get("required", {}) if key not in body]
        for key, value in body.items():
            if key not in properties:
                found.append(f"{name} has no {key}")
            else:
                found += self._faults_of_value(f"{name}.{key}", properties[key], value)
        return found

    def _faults_of_value(self, where: str, schema: Tree, value: Any) -> list[str]:
        reference = schema.get("$ref", {}).get("", "").rpartition("/")[2]
        if reference and isinstance(value, Mapping):
            return self.faults(reference, value)
        wanted = schema.get("type", {}).get("", "")
        if not wanted or (isinstance(value, _TYPES[wanted]) and not (wanted == "integer" and value is True)):
            return []
        return [f"{where} is no {wanted}: {value!r}"]

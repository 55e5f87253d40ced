"""A table of the store, in memory."""

from __future__ import annotations

from typing import Generic, TypeVar

from banger.model.image import Image, Kernel

R = TypeVar("R", Image, Kernel)


class Records(Generic[R]):
    """Records by name; `kept` has them all."""

    def __init__(self, *records: R) -> None:
        self.kept: dict[str, R] = {record.name: record for record in records}

    def put(self, record: R) -> None:
        self.kept[record.name] = record

    def get(self, name: str) -> R | None:
        return self.kept.get(name)

    def all(self) -> list[R]:
        return list(self.kept.values())

    def delete(self, name: str) -> bool:
        return self.kept.pop(name, None) is not None

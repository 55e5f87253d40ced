"""The store as other rooms see it: its tables."""

from __future__ import annotations

from pathlib import Path

from banger.model.image import Image, Kernel
from banger.model.network import Network
from banger.model.volume import Volume
from banger.store.damage import Damage
from banger.store.database import Database
from banger.store.events import EventTable
from banger.store.keys import KeyTable
from banger.store.resources import ResourceTable
from banger.store.secrets import SecretTable
from banger.store.tables import MachineTable, NamedTable, OperationTable
from banger.store.tokens import TokenTable


class Store:
    """Open from `Store(path)` to `close()`; owned by the daemon."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.damage = Damage(self.database)
        self.machines = MachineTable(self.database, self.damage)
        self.images = NamedTable(self.database, self.damage, "images", Image)
        self.kernels = NamedTable(self.database, self.damage, "kernels", Kernel)
        self.networks = NamedTable(self.database, self.damage, "networks", Network)
        self.volumes = NamedTable(self.database, self.damage, "volumes", Volume)
        self.operations = OperationTable(self.database, self.damage)
        self.resources = ResourceTable(self.database, self.damage)
        self.events = EventTable(self.database)
        self.keys = KeyTable(self.database)
        self.tokens = TokenTable(self.database, self.damage)
        self.secrets = SecretTable(self.database, self.damage)

    def close(self) -> None:
        self.database.close()

"""banger: microVMs as easily as containers."""

from banger.client.aio import AsyncClient as AsyncClient
from banger.client.aio_vm import AsyncVm as AsyncVm
from banger.client.sync import Client as Client
from banger.client.sync_vm import Vm as Vm
from banger.errors import Error as Error

__version__: str
__all__ = ["AsyncClient", "AsyncVm", "Client", "Error", "Vm", "__version__"]

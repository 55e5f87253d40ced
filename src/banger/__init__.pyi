"""banger: microVMs as easily as containers."""

from banger.client.aio import AsyncClient as AsyncClient
from banger.client.sync import Client as Client
from banger.errors import Error as Error

__version__: str
__all__ = ["AsyncClient", "Client", "Error", "__version__"]

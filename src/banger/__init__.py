"""banger: microVMs as easily as containers.

Public names are loaded on first use, so that importing a leaf of the package costs no more
than that leaf. `__init__.pyi` has their types.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["AsyncClient", "AsyncVm", "Client", "Error", "Vm", "__version__"]

_LAZY = {
    "AsyncClient": "banger.client.aio",
    "AsyncVm": "banger.client.aio_vm",
    "Client": "banger.client.sync",
    "Vm": "banger.client.sync_vm",
    "Error": "banger.errors",
}


def __getattr__(name: str) -> object:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

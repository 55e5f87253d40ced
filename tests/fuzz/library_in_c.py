"""Functions in C as targets: they are built so that libFuzzer sees which ways the bytes take in them."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

NETWORK = Path(__file__).parents[2] / "native/network"
BUILT = NETWORK.parents[1] / "build/native/network/check/fuzzed.so"


class Function:
    """A function of native/network/tests/programs/fuzzed.c, to be called with bytes. A bug ends the process.

    It is loaded at the first call: by then atheris has chosen its libFuzzer, which the library reports to.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._call: Callable[[bytes, int], None] | None = None
        options = ["-s", "-C", str(NETWORK), f"PYTHON={sys.executable}"]
        subprocess.run(["make", *options, "fuzzed"], stdin=subprocess.DEVNULL, check=True, timeout=300)

    def __call__(self, data: bytes) -> None:
        if self._call is None:
            self._call = self._load()
        self._call(data, len(data))

    def _load(self) -> Callable[[bytes, int], None]:
        fuzzer = find_spec("atheris.core_with_libfuzzer")
        assert fuzzer is not None and fuzzer.origin is not None
        ctypes.CDLL(fuzzer.origin, mode=ctypes.RTLD_GLOBAL)
        function = ctypes.CDLL(str(BUILT))[self._name]
        function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        function.restype = None
        return function

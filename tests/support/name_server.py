"""A real name server (Debian's dnsmasq) in a space, with the names that a test gives it; it logs what it was asked."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.network_spaces import Missing, Space

_SERVER_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_WAIT_S = 20.0


class NameServer:
    def __init__(self, log: Path) -> None:
        self._log = log

    def asked(self) -> str:
        """All that it was asked, a line each."""
        return "\n".join(line for line in self._log.read_text().splitlines() if " query[" in line)


@contextlib.contextmanager
def name_server(
    space: Space, address: str, directory: Path, names: Mapping[str, str], aliases: Mapping[str, str]
) -> Iterator[NameServer]:
    """`names`: addresses by name, several joined by commas; `aliases`: what each is another name of. All other names do
    not exist. Raises `Missing`."""
    program = shutil.which("dnsmasq", path=_SERVER_PATH)
    if program is None:
        raise Missing("dnsmasq is not installed")
    log = directory / "names.log"
    process = subprocess.Popen(
        [
            *space.entrance(),
            *(program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"),
            *("--user=", "--group=", "--pid-file=", f"--listen-address={address}", "--bind-interfaces"),
            *("--log-queries", f"--log-facility={log}", "--local=/example/", "--local-ttl=60"),
            *(f"--host-record={name},{addresses}" for name, addresses in names.items()),
            *(f"--cname={alias},{name}" for alias, name in aliases.items()),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + _WAIT_S
        while not (log.exists() and "started" in log.read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise Missing(process.communicate()[1].decode("utf-8", "replace"))
            time.sleep(0.02)
        yield NameServer(log)
    finally:
        process.kill()
        process.communicate()

"""A relay for tests: the real program on a host that is a space, in a directory of its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

from banger.host.packets import PacketConnection, listen
from banger.network.relay import MachineTold, Relay
from tests.support.network_spaces import Space

T = TypeVar("T")


class RunningRelay:
    """From `start` until `close`, beside a keeper in the same directory. A new one may follow one that was killed."""

    def __init__(self, host: Space, program: Path, directory: Path) -> None:
        self.host = host
        self.path = directory / "relay.sock"
        self._program = program
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, etc: Path | None = None, lent: Sequence[int] = ()) -> None:
        """`etc`: a directory that the relay sees as /etc; `lent`: descriptors that the options name."""
        own_etc = ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc; exec "$@"', str(etc)]
        with listen(self.path) as listener:
            self.process = subprocess.Popen(
                [
                    *self.host.entrance(),
                    *(own_etc if etc else ()),
                    str(self._program),
                    f"--listen={listener.fileno()}",
                    "--keeper=keeper.sock",
                    *options,
                ],
                pass_fds=[listener.fileno(), *lent],
                cwd=self.path.parent,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """A relay that a sanitizer has ended fails the test."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait() in (0, -signal.SIGTERM)

    def ask(self, work: Callable[[Relay], Coroutine[None, None, T]]) -> T:
        async def ask() -> T:
            with await PacketConnection.connect(self.path) as connection:
                return await work(Relay(connection.ask))

        return asyncio.run(ask())

    def tell(self, machine: MachineTold) -> None:
        self.ask(lambda relay: relay.tell(machine))

    def memory_kib(self) -> int:
        """Private memory of the relay."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

    def ticks(self) -> int:
        """Processor time of the relay."""
        assert self.process is not None
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

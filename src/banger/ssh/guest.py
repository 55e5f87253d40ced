"""The machine behind a connection: what is run in it for a user, and how its services are reached."""

from __future__ import annotations

import ipaddress
import re
import shlex

from banger.client import calls, results
from banger.client.aio import AsyncClient
from banger.client.aio_methods import begin
from banger.client.aio_vm import AsyncVm
from banger.client.answers import encode
from banger.client.messages import STDOUT, Event, Exited, Output
from banger.errors import CommandMissing, Error
from banger.model.octets import text_of
from banger.ssh.config import DOMAIN
from banger.ssh.leg import Leg
from banger.ssh.listener import Listener, Take

_SHELL = "/bin/sh"
_COMPLAINT_BYTES = 1000
# As a server of SSH: in the user's home, by the user's shell, unless that lets no user in.
_BEGIN = (
    'cd 2>/dev/null; case "$SHELL" in */nologin|*/false) SHELL=;; esac; [ -x "$SHELL" ] || SHELL=/bin/sh; '
)
_LOGIN = _BEGIN + 'exec "$SHELL" -l'
_COMMAND = _BEGIN + 'exec "$SHELL" -c "$1"'
_ONLY_SHELLS_KNOW = frozenset("|&;<>()$`\n*?[")
# What a client may set: as servers of Debian take it, and what git and programs with colours ask for.
_ACCEPTED = re.compile(rb"LANG|LC_[A-Z]+|TZ|COLORTERM|NO_COLOR|GIT_PROTOCOL")


class Guest:
    """Lives as long as the connection. `user` is the one who logged in."""

    def __init__(self, client: AsyncClient, vm: AsyncVm, user: str) -> None:
        self._client = client
        self._vm = vm
        self.user = user

    async def run(
        self, command: str | None, variables: dict[bytes, bytes], terminal: tuple[int, int] | None
    ) -> tuple[Leg, list[Event]]:
        """Begin the login shell, or a command. An image without a shell can run a command of plain words. Raises what
        `machines.exec` raises, and `unsupported`."""
        argv = [_SHELL, "-c", _LOGIN] if command is None else [_SHELL, "-c", _COMMAND, "sh", command]
        try:
            return await self._exec(argv, variables, terminal)
        except CommandMissing:
            words = [] if command is None else split_words(command)
        return await self._exec(words, variables, terminal)

    async def _exec(
        self, argv: list[str], variables: dict[bytes, bytes], terminal: tuple[int, int] | None
    ) -> tuple[Leg, list[Event]]:
        command = results.plan_command(argv, stdin=True, env=variables, cwd="/", user=self.user, tty=terminal)
        return await self._open(calls.machines_exec_target(self._vm.id), results.encode_exec(command))

    async def serve_files(self) -> tuple[Leg, list[Event]]:
        """Begin a server of SFTP that the agent brings along."""
        return await self._begin("sftp")

    async def connect(self, host: str, port: int) -> tuple[Leg, list[Event]]:
        """Connect to a service of the machine, or to another host as the machine reaches it. Raises `port_refused`."""
        if is_own(host, self._vm.name, self._vm.record.address):
            return await self._open(calls.machines_tunnel_target(self._vm.id), encode({"port": port}))
        return await self._connect("tcp", host, str(port))

    async def connect_to_socket(self, path: str) -> tuple[Leg, list[Event]]:
        """Connect to a Unix socket of the machine. Raises `port_refused`."""
        return await self._connect("unix", path)

    async def listen(self, take: Take, *words: str) -> Listener:
        """Listen in the machine, at `unix PATH`, at `tcp HOST PORT`, or where only this user finds it (`agent`). `take`
        carries each connection. Raises `listen_failed`."""
        leg, events = await self._begin("listen", *words)
        listener = Listener(leg, take)
        try:
            await listener.begin(events)
        except BaseException:
            leg.close()
            raise
        return listener

    async def _connect(self, *words: str) -> tuple[Leg, list[Event]]:
        leg, events = await self._begin("connect", *words)
        try:
            return leg, await accepted(leg, events)
        except BaseException:
            leg.close()
            raise

    async def _begin(self, applet: str, *words: str) -> tuple[Leg, list[Event]]:
        request = encode({"applet": applet, "argv": [text_of(word) for word in words], "user": self.user})
        return await self._open(calls.machines_applet_target(self._vm.id), request)

    async def _open(self, target: str, first: bytes) -> tuple[Leg, list[Event]]:
        leg = Leg(await begin(self._client, target, first))
        try:
            return leg, await leg.begun()
        except BaseException:
            leg.close()
            raise


async def accepted(leg: Leg, events: list[Event]) -> list[Event]:
    """What follows the byte with which the agent says that a service accepted. Raises `port_refused`."""
    complaint = b""
    while True:
        for at, event in enumerate(events):
            if isinstance(event, Output) and event.channel == STDOUT:
                return [Output(STDOUT, event.data[1:]), *events[at + 1 :]]
            if isinstance(event, Output):
                complaint = (complaint + event.data)[:_COMPLAINT_BYTES]
            elif isinstance(event, Exited):
                said = complaint.decode("utf-8", "replace").strip()
                raise Error("port_refused", said or "nothing accepts connections there")
        events = await leg.hear()


def split_words(command: str) -> list[str]:
    """The words of a command that needs no shell. Raises `unsupported`. Pure."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or _ONLY_SHELLS_KNOW & set(command):
        raise Error(
            "unsupported",
            f"the image has no {_SHELL}, which this command needs",
            "give a program and its arguments as plain words",
        )
    return words


def choose_variables(given: dict[bytes, bytes], terminal: str | None) -> dict[bytes, bytes]:
    """The variables of a command: what a client sent, as far as a client may set it. Pure."""
    chosen = {
        name: value for name, value in given.items() if _ACCEPTED.fullmatch(name) and b"\0" not in value
    }
    if terminal:
        chosen[b"TERM"] = terminal.replace("\0", "").encode("utf-8", "surrogateescape")
    return chosen


def is_own(host: str, name: str, address: str) -> bool:
    """Whether a client means the machine itself. Pure."""
    if host.lower() in ("", "localhost", name, name + DOMAIN, address):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified

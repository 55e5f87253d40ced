"""What a program of ours holds for a machine: a tap that the keeper gave, or the policy that the relay was told.

Identity: `socket` (path of the program's control socket) and `key`. The program forgets it on request; a program that
is gone holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.packets import PacketConnection, Refused, Unknown, ask_once, lines_of
from banger.host.paths import Paths
from banger.resources.kind import AGAIN, Found, Kind, Target, Told
from banger.store.resources import Identity

_GONE = (FileNotFoundError, ConnectionRefusedError, Unknown)


class Words(NamedTuple):
    """How a program speaks of what it holds: the requests to forget it and to list all, the first word of the lines of
    the list that tell of it (empty: any), and the noun for people. The second word of these lines is the key."""

    forget: str
    list: str
    first: str
    noun: str


class ToldProgram(Kind):
    is_runtime = True

    def __init__(self, name: str, words: Words, socket: Callable[[Paths], Path]) -> None:
        self.name = name
        self._words = words
        self._socket = socket

    async def release(self, identity: Identity) -> None:
        await self._forget(Told(Path(str(identity["socket"])), str(identity["key"])))

    def describe(self, identity: Identity) -> str:
        return f"{self._words.noun} {identity.get('key', '')}"

    def find(self, paths: Paths) -> Iterator[Found]:
        socket = self._socket(paths)
        for first, key, *_ in self._list(socket):
            if self._words.first in ("", first) and key != "-":
                yield Found(self, self._words.noun, key, key, Told(socket, key))

    def _list(self, socket: Path) -> Iterator[list[str]]:
        """The lines of the program's list; none if the program does not answer. A list may come in pages."""
        seen = 0
        while True:
            try:
                text = ask_once(socket, f"{self._words.list} {seen}" if seen else self._words.list)
            except (OSError, Refused):
                return
            page = [*lines_of(text)]
            yield from (words for words in page if len(words) > 1)
            if not page:
                return
            seen += len(page)

    async def remove(self, target: Target) -> bool:
        assert isinstance(target, Told)
        await self._forget(target)
        return True

    async def _forget(self, told: Told) -> None:
        try:
            try:
                await self._ask_to_forget(told)
            except ConnectionError:
                # The program ended amid the request. Its successor decides, if there is one yet.
                await self._ask_to_forget(told)
        except _GONE:
            return
        except Refused as exc:
            raise Error("not_released", f"{self._words.noun} {told.key}: {exc.message}", AGAIN) from exc
        except TimeoutError as exc:
            raise Error("not_released", f"{self._words.noun} {told.key}: no answer", AGAIN) from exc

    async def _ask_to_forget(self, told: Told) -> None:
        with await PacketConnection.connect(told.socket) as program:
            await program.ask(f"{self._words.forget} {told.key}")

"""Facts for every check: places, settings, and what a running daemon said."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from banger.client.call import Call
from banger.client.calls import system_info
from banger.client.exchange import decode_json, encode_json, open_answer
from banger.errors import Error, TimedOut
from banger.host.paths import Paths
from banger.model.settings import Settings, read_settings
from banger.places import socket_path

_ANSWER_S = 3.0
# The errors of a connection if no daemon listens.
_ABSENT = (FileNotFoundError, ConnectionRefusedError, NotADirectoryError)


@dataclass(frozen=True)
class Daemon:
    """The daemon on `socket`. `facts` is its SystemInfo as JSON: another version may have other fields. No daemon runs
    if there are neither `facts` nor a `problem`."""

    socket: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def answers(self) -> bool:
        return bool(self.facts)

    def ask(self, call: Call[object]) -> object:
        """Ask the daemon. Blocking: each wait takes some seconds at most. Raises `Error`, OSError."""
        answer = open_answer(lambda: _dial(self.socket), call, encode_json, _ANSWER_S)
        return decode_json(answer.read())


@dataclass(frozen=True)
class Host:
    """The host at the beginning. If a daemon answers, the places are the daemon's."""

    paths: Paths
    daemon: Daemon
    settings: Settings
    user: str


def look_around() -> Host:
    """Blocking, some seconds at most."""
    daemon = find_daemon(socket_path())
    paths = _paths_of(daemon)
    try:
        settings = read_settings(paths.config)
    except Error:
        settings = Settings()
    return Host(paths, daemon, settings, _user_name())


def unknown_host(problem: str) -> Host:
    """A host with the usual places, which were not looked at."""
    return Host(Paths.user(), Daemon(socket_path(), problem=problem), Settings(), _user_name())


def find_daemon(path: str) -> Daemon:
    nobody = Daemon(path)
    try:
        facts = nobody.ask(system_info())
    except _ABSENT:
        return nobody
    except (Error, OSError) as exc:
        silent = isinstance(exc, TimedOut)
        return Daemon(path, problem=f"it did not answer within {_ANSWER_S:g} s" if silent else str(exc))
    if isinstance(facts, dict) and facts:
        return Daemon(path, facts)
    return Daemon(path, problem="it does not answer as a daemon of banger")


def _dial(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_S)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _paths_of(daemon: Daemon) -> Paths:
    said = daemon.facts.get("places")
    places = said if isinstance(said, dict) else {}
    own = Paths.user()
    return Paths(
        Path(str(places.get("state", own.state))),
        Path(str(places.get("cache", own.cache))),
        Path(str(places.get("run", own.run))),
        Path(str(places.get("config", own.config))),
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.geteuid())
